//! Services that end in the ways a relay has to pass on, and say what they saw.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::seen::{pattern, seen_of};

/// Reads to the end and answers only then.
pub(crate) const LATE: u16 = 2_001;
/// Greets, ends its half, and reads to the end.
pub(crate) const GREET: u16 = 2_002;
/// Resets the connection when it has read a byte.
pub(crate) const RESET: u16 = 2_003;
/// Reads to the end.
pub(crate) const READ: u16 = 2_004;
/// Reads nothing for longer than anybody sends.
pub(crate) const DEAF: u16 = 2_005;
/// All of them.
pub(super) const PORTS: [u16; 5] = [LATE, GREET, RESET, READ, DEAF];

/// How long [`DEAF`] reads nothing.
const SILENCE: Duration = Duration::from_secs(4);

/// What the services saw last, by port.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<u16, String>>>);

impl Seen {
    /// Takes what the service of a port saw, if it has seen an end.
    pub(crate) fn take(&self, port: u16) -> Option<String> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(&port)
    }

    fn set(&self, port: u16, what: String) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(port, what);
    }
}

/// Serves one connection.
pub(super) async fn serve(mut stream: TcpStream, port: u16, seen: Seen) -> io::Result<()> {
    match port {
        LATE => {
            seen.set(port, read_all(&mut stream).await);
            tokio::time::sleep(Duration::from_millis(300)).await;
            stream.write_all(&pattern(1 << 20)).await?;
            stream.shutdown().await
        }
        GREET => {
            stream.write_all(&pattern(65_536)).await?;
            stream.shutdown().await?;
            seen.set(port, read_all(&mut stream).await);
            Ok(())
        }
        RESET => {
            stream.read_u8().await?;
            stream.set_zero_linger()
        }
        READ => {
            seen.set(port, read_all(&mut stream).await);
            Ok(())
        }
        _ => {
            tokio::time::sleep(SILENCE).await;
            Ok(())
        }
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all).await;
    seen_of(ended, &all)
}
