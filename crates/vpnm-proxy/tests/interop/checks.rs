//! What every cell must do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};
use vpnm_proxy::{CertificateFault, DialError, Outbound, TcpDialer, is_rejection, recv, send};
use vpnm_wire::Target;

use crate::authority::NAME;
use crate::cell::{Cell, NOBODY, Protocol, Transport, USER};
use crate::origin::{Order, Origin, digest_of, give, take};
use crate::peer::{Kind, Peer, free_port};
use crate::report::Report;

type Outcome = Result<String, String>;

const BULK: u64 = 64 * 1024 * 1024;
const PARALLEL: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs every check that a cell has.
pub(crate) async fn run(peer: &Peer, cell: &Cell, origin: &Origin, report: &mut Report) {
    let port = peer.port(cell);
    let out = outbound(peer, &cell.link(port, USER), port);
    report.note(cell, "tcp", within(bulk(&out, origin)).await);
    report.note(cell, "udp", within(datagrams(&out, origin)).await);
    report.note(cell, "half-close", within(half_close(&out, origin)).await);
    report.note(cell, "parallel", within(parallel(&out, origin)).await);
    let wrong = outbound(peer, &cell.link(port, NOBODY), port);
    report.note(cell, "wrong-id", within(wrong_id(&wrong, origin)).await);
    let closed = free_port();
    let gone = outbound(peer, &cell.link(closed, USER), closed);
    report.note(
        cell,
        "closed-port",
        within(refusal(&gone, origin, "refused")).await,
    );
    if cell.is_ws() && !(peer.kind == Kind::Mihomo || cell.transport == Transport::WsEarlyPath) {
        let elsewhere = cell.link_with(port, USER, "/elsewhere", NAME);
        let lost = outbound(peer, &elsewhere, port);
        report.note(cell, "wrong-path", within(wrong_path(&lost, origin)).await);
    }
    if cell.protocol == Protocol::Vless && cell.tls && cell.transport == Transport::Tcp {
        report.note(
            cell,
            "certificates",
            within(certificates(peer, cell, origin)).await,
        );
    }
}

async fn within(check: impl Future<Output = Outcome>) -> Outcome {
    timeout(PATIENCE, check)
        .await
        .unwrap_or_else(|_| Err("not done within 60 s".into()))
}

fn outbound(peer: &Peer, link: &str, port: u16) -> Outbound {
    let server = vec![SocketAddr::from(([127, 0, 0, 1], port))];
    let roots = Arc::clone(&peer.authority.roots);
    Outbound::new(&link.parse().unwrap(), server, Arc::new(TcpDialer), roots).unwrap()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn bulk(out: &Outbound, origin: &Origin) -> Outcome {
    let begin = Instant::now();
    exchange(out, origin, BULK).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let both = 2.0 * 8.0 * 64.0 * 1.048_576 / seconds / 1000.0;
    Ok(format!("64 MiB both ways, {both:.1} Gb/s"))
}

/// Sends and receives so many bytes at the same time, and compares both digests.
async fn exchange(out: &Outbound, origin: &Origin, size: u64) -> Result<(), String> {
    let order = Order {
        up: size,
        down: size,
        pause: Duration::ZERO,
    };
    let target = Target::from(origin.tcp);
    let stream = out.dial_tcp(&target, &order.encode()).await.map_err(text)?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (got, sent) = tokio::join!(take(&mut reader, size), give(&mut writer, size));
    let (got, ()) = (got.map_err(text)?, sent.map_err(text)?);
    let mut theirs = [0; 32];
    reader.read_exact(&mut theirs).await.map_err(text)?;
    let right = digest_of(size);
    if got != right || theirs.as_slice() != right {
        return Err("the bytes differ".into());
    }
    match reader.read(&mut theirs).await {
        Ok(0) => Ok(()),
        other => Err(format!("the stream does not end: {other:?}")),
    }
}

async fn datagrams(out: &Outbound, origin: &Origin) -> Outcome {
    let mut session = out
        .dial_udp(&Target::from(origin.udp))
        .await
        .map_err(text)?;
    let mut space = vec![0; 65_535];
    let mut count = 0;
    for size in (1..1400).step_by(13) {
        let datagram: Vec<u8> = (0..size)
            .map(|i| u8::try_from((i + size) % 251).unwrap())
            .collect();
        send(&mut *session, &datagram).await.map_err(text)?;
        let length = recv(&mut *session, &mut space).await.map_err(text)?;
        if space[..length] != datagram {
            return Err(format!(
                "the datagram of {size} bytes came back as {length} others"
            ));
        }
        count += 1;
    }
    Ok(count.to_string())
}

async fn half_close(out: &Outbound, origin: &Origin) -> Outcome {
    let order = Order {
        up: 1000,
        down: 1 << 20,
        pause: Duration::from_millis(300),
    };
    let target = Target::from(origin.tcp);
    let mut stream = out.dial_tcp(&target, &order.encode()).await.map_err(text)?;
    give(&mut stream, order.up).await.map_err(text)?;
    stream.shutdown().await.map_err(text)?;
    let got = take(&mut stream, order.down).await.map_err(text)?;
    if got != digest_of(order.down) {
        return Err("the bytes differ".into());
    }
    Ok(String::new())
}

async fn parallel(out: &Outbound, origin: &Origin) -> Outcome {
    let (tcp, udp) = (origin.tcp, origin.udp);
    let flows: Vec<_> = (0..PARALLEL)
        .map(|_| {
            let out = out.clone();
            tokio::spawn(async move { exchange(&out, &Origin { tcp, udp }, 64 * 1024).await })
        })
        .collect();
    for flow in flows {
        flow.await.map_err(text)??;
    }
    Ok(PARALLEL.to_string())
}

/// A wrong id shows in a read that fails before any answer. A VMess server first
/// swallows some kilobytes, so as not to show what it takes for an id.
async fn wrong_id(out: &Outbound, origin: &Origin) -> Outcome {
    let target = Target::from(origin.tcp);
    if !out.is_unknown(&target, Duration::from_secs(10)).await {
        return Err("the server is not found to refuse".into());
    }
    let begin = Instant::now();
    let mut stream = match out.dial_tcp(&Target::from(origin.tcp), &[0; 8192]).await {
        Ok(stream) => stream,
        Err(DialError::Rejected) => return Ok("at once".into()),
        Err(error) => return Err(text(error)),
    };
    match stream.read(&mut [0; 100]).await {
        Err(error) if is_rejection(&error) => Ok(format!("{:.1} s", begin.elapsed().as_secs_f64())),
        other => Err(format!("not a rejection: {other:?}")),
    }
}

async fn wrong_path(out: &Outbound, origin: &Origin) -> Outcome {
    match out.dial_tcp(&Target::from(origin.tcp), &[]).await {
        Err(DialError::WebSocket { status }) => Ok(status.to_string()),
        Err(other) => Err(text(other)),
        Ok(_) => Err("the WebSocket was opened".into()),
    }
}

async fn refusal(out: &Outbound, origin: &Origin, code: &str) -> Outcome {
    match out.dial_tcp(&Target::from(origin.tcp), &[]).await {
        Err(error) if error.code() == code => Ok(String::new()),
        Err(other) => Err(text(other)),
        Ok(_) => Err("the flow was opened".into()),
    }
}

async fn certificates(peer: &Peer, cell: &Cell, origin: &Origin) -> Outcome {
    let wrong_name = CertificateFault::WrongName {
        expected: NAME.into(),
    };
    let cases = [
        (peer.expired, CertificateFault::Expired),
        (peer.other_name, wrong_name),
        (peer.stranger, CertificateFault::UnknownIssuer),
        (peer.self_signed, CertificateFault::UnknownIssuer),
    ];
    for (port, expected) in cases {
        let out = outbound(peer, &cell.link(port, USER), port);
        match out.dial_tcp(&Target::from(origin.tcp), &[]).await {
            Err(DialError::Certificate { reason }) if reason == expected => {}
            Err(other) => return Err(format!("{expected}: {other}")),
            Ok(_) => return Err(format!("{expected}: the flow was opened")),
        }
    }
    Ok("expired, name, issuer, self-signed".into())
}
