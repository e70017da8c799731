//! Accepting connections, for every service over TCP.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

/// Pause after a failed accept, so that a lack of descriptors does not spin.
const PAUSE: Duration = Duration::from_millis(10);

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
            if let Err(error) = converse(stream).await {
                tracing::debug!(%from, %error, "a connection ended");
            }
        });
    }
}
