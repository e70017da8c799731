//! HTTP/1.1 (RFC 9112), as far as the site needs it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use super::page::{self, Page};

const LONGEST_HEAD: u64 = 16 * 1024;
const CHUNK: usize = 128 * 1024;

struct Head {
    method: String,
    path: String,
    length: u64,
    close: bool,
    expects: bool,
}

/// Answers requests until the visitor has had enough.
pub(super) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    visitor: SocketAddr,
) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(CHUNK, stream);
    while let Some(head) = read_head(&mut stream).await? {
        if head.expects {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        answer(&mut stream, &head, visitor).await?;
        stream.flush().await?;
        if head.close {
            break;
        }
    }
    stream.shutdown().await
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    head: &Head,
    visitor: SocketAddr,
) -> io::Result<()> {
    let page = page::of(&head.method, &head.path, visitor, "HTTP/1.1");
    let received = skip(stream, head.length).await?;
    let (status, length, text) = match page {
        Page::Text(text) => ("200 OK", size(text.len()), text),
        Page::Upload => {
            let text = format!("{received}\n");
            ("200 OK", size(text.len()), text)
        }
        Page::Zeros(count) => ("200 OK", count, String::new()),
        Page::NotFound => ("404 Not Found", 0, String::new()),
    };
    let fields = "Content-Type: text/plain\r\nCache-Control: no-store\r\n";
    let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n");
    stream.write_all(reply.as_bytes()).await?;
    if head.method == "HEAD" {
        return Ok(());
    }
    stream.write_all(text.as_bytes()).await?;
    write_zeros(stream, length - size(text.len())).await
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The next request's head; nothing at the end of the connection.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> io::Result<Option<Head>> {
    let mut limited = stream.take(LONGEST_HEAD);
    let mut line = String::new();
    if limited.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP request");
    let mut words = line.split_ascii_whitespace();
    let (method, path) = words.next().zip(words.next()).ok_or_else(malformed)?;
    let mut head = Head {
        method: method.to_owned(),
        path: path.to_owned(),
        length: 0,
        close: words.next() != Some("HTTP/1.1"),
        expects: false,
    };
    loop {
        line.clear();
        if limited.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if text.is_empty() {
            return Ok(Some(head));
        }
        let (name, value) = text.split_once(':').ok_or_else(malformed)?;
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => head.length = value.parse().map_err(|_| malformed())?,
            ("connection", value) => head.close |= value.eq_ignore_ascii_case("close"),
            ("expect", _) => head.expects = true,
            // Uploads say how long they are.
            ("transfer-encoding", _) => return Err(malformed()),
            _ => {}
        }
    }
}

async fn skip<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, length: u64) -> io::Result<u64> {
    let mut body = stream.take(length);
    tokio::io::copy_buf(&mut body, &mut tokio::io::sink()).await
}

async fn write_zeros(stream: &mut (impl AsyncWrite + Unpin), mut count: u64) -> io::Result<()> {
    let zeros = vec![0; CHUNK];
    while count > 0 {
        let length = usize::try_from(count).unwrap_or(CHUNK).min(CHUNK);
        stream
            .write_all(zeros.get(..length).unwrap_or_default())
            .await?;
        count -= size(length);
    }
    Ok(())
}
