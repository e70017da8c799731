//! Accepting connections, for every service over TCP.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// Pause after a failed accept, so that a lack of descriptors does not spin.
const PAUSE: Duration = Duration::from_millis(10);
/// After so long without a word, and then so many questions without an answer, who was
/// there is dead: a client that is blocked dies without a word, and its connections
/// would be kept for ever.
const SILENCE: Duration = Duration::from_secs(30);
const BETWEEN: Duration = Duration::from_secs(15);
const QUESTIONS: u32 = 4;

/// Accepts for ever; every connection is a task of its own.
pub(super) async fn accept(
    listener: TcpListener,
    converse: impl AsyncFn(TcpStream) -> io::Result<()> + 'static,
) {
    let converse = Rc::new(converse);
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let converse = Rc::clone(&converse);
        spawn_local(async move {
            // Without it only timing differs.
            stream.set_nodelay(true).ok();
            forget_the_dead(&stream).ok();
            if let Err(error) = converse(stream).await {
                tracing::debug!(%from, %error, "a connection ended");
            }
        });
    }
}

fn forget_the_dead(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_tcp_keepidle(stream, SILENCE)?;
    sockopt::set_tcp_keepintvl(stream, BETWEEN)?;
    sockopt::set_tcp_keepcnt(stream, QUESTIONS)?;
    Ok(sockopt::set_socket_keepalive(stream, true)?)
}
