//! Conversations over TCP.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use crate::seen::{kind, pattern, seen_of};
use crate::target::{CLOSED, ECHO, conduct};

/// Nobody is waited for any longer.
const LIMIT: Duration = Duration::from_secs(5);

fn connect(host: IpAddr, port: u16) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&(host, port).into(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all);
    seen_of(ended, &all)
}

/// Ends its half and is answered nevertheless.
pub(super) fn ask_and_wait(host: IpAddr) -> anyhow::Result<String> {
    let mut stream = connect(host, conduct::LATE)?;
    stream.write_all(&pattern(300_000))?;
    stream.shutdown(Shutdown::Write)?;
    Ok(read_all(&mut stream))
}

/// Goes on sending when the server has ended its half.
pub(super) fn be_greeted(host: IpAddr) -> anyhow::Result<String> {
    let mut stream = connect(host, conduct::GREET)?;
    let seen = read_all(&mut stream);
    stream.write_all(&pattern(200_000))?;
    Ok(seen)
}

/// Learns of the server's reset.
pub(super) fn be_reset(host: IpAddr) -> anyhow::Result<String> {
    let mut stream = connect(host, conduct::RESET)?;
    stream.write_all(b"x")?;
    Ok(read_all(&mut stream))
}

/// Resets the connection.
pub(super) fn reset(host: IpAddr) -> anyhow::Result<String> {
    let mut stream = connect(host, conduct::READ)?;
    stream.write_all(&pattern(1_000))?;
    thread::sleep(Duration::from_millis(200));
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok("reset".to_owned())
}

/// Asks for what nobody serves.
pub(super) fn knock(host: IpAddr) -> anyhow::Result<String> {
    match connect(host, CLOSED) {
        Ok(_) => Ok("connected".to_owned()),
        Err(error) => Ok(kind(&error.downcast()?)),
    }
}

/// Sends for as long as anything is taken.
pub(super) fn send_until_stopped(host: IpAddr) -> anyhow::Result<String> {
    /// More than the kernels' buffers on the way hold.
    const MUCH: usize = 64 << 20;
    let mut stream = connect(host, conduct::DEAF)?;
    stream.set_write_timeout(Some(Duration::from_millis(500)))?;
    let chunk = vec![0; 64 * 1024];
    let mut sent = 0;
    while sent < MUCH
        && let Ok(count) = stream.write(&chunk)
    {
        sent += count;
    }
    let held = if sent < MUCH {
        "stopped"
    } else {
        "not stopped"
    };
    Ok(held.to_owned())
}

/// Sends while it receives.
pub(super) fn echo(host: IpAddr) -> anyhow::Result<String> {
    let mut stream = connect(host, ECHO)?;
    let mut writer = stream.try_clone()?;
    let sender = thread::spawn(move || {
        writer.write_all(&pattern(8 << 20))?;
        writer.shutdown(Shutdown::Write)
    });
    let seen = read_all(&mut stream);
    let sent = sender.join();
    sent.map_err(|_| anyhow::anyhow!("a sender panicked"))??;
    Ok(seen)
}
