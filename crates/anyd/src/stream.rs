//! A connected socket in a runtime.
//!
//! The runtime waits for bytes to read only. A Unix socket can be written to
//! anew each time that its other end has taken something: who waits for that
//! as well is woken once per message, for nothing.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
#[cfg(feature = "client")]
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
#[cfg(feature = "client")]
use std::time::Instant;

use rustix::net::RecvFlags;
use rustix::net::SendFlags;
use tokio::io::Interest;
use tokio::task::coop::consume_budget;

use crate::descriptors;
use crate::sys::{self, Watched};

/// A connected socket that does not block.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<OwnedFd>,
    /// There from the first time that bytes must be waited for, which a short
    /// conversation may never have to.
    watched: OnceLock<Watched>,
}

/// What a read has come to.
struct Taken<T> {
    value: T,
    /// The kernel has no more for now: not worth asking.
    drained: bool,
}

/// How long an answer is waited for without going to sleep. Putting a
/// processor to sleep and waking it was measured at 20 to 40 us, twice a call.
#[cfg(feature = "client")]
const SOON: Duration = Duration::from_micros(50);

/// Who gives way and gets its turn back later than this is not alone. It was
/// measured at 1 to 2 us.
#[cfg(feature = "client")]
const TURN: Duration = Duration::from_micros(8);

/// How long to wait for what the runtime cannot watch.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

impl Stream {
    /// Takes a connected socket that does not block.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket: Arc::new(socket),
            watched: OnceLock::new(),
        }
    }

    /// Takes a connected socket, which does not block from now on.
    pub(crate) fn unblocked(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self::new(socket))
    }

    /// Connects; waits while the other end's queue is full.
    #[cfg(feature = "client")]
    pub(crate) async fn connect(path: &std::path::Path) -> io::Result<Self> {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        while let Err(error) = rustix::net::connect(&socket, &address) {
            if error != rustix::io::Errno::AGAIN {
                return Err(error.into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Self::new(socket))
    }

    /// Waits for an answer that is about to come, at most [`SOON`], without going
    /// to sleep: waking up costs more than most answers take. Gives way to all
    /// others, and up as soon as there are any.
    #[cfg(feature = "client")]
    pub(crate) async fn expect_soon(&self) -> Waiting {
        let (waiting, is_alone) = Waiting::begin();
        let begun = Instant::now();
        let mut tried = begun;
        while is_alone && tried - begun < SOON {
            let mut byte = [0];
            let looked = rustix::net::recv(&self.socket, &mut byte, RecvFlags::PEEK);
            if looked != Err(rustix::io::Errno::AGAIN) {
                break;
            }
            std::thread::yield_now();
            tokio::task::yield_now().await;
            let again = Instant::now();
            if again - tried > TURN {
                break;
            }
            tried = again;
        }
        waiting
    }

    /// Waits for bytes; 0 when there will be none. Descriptors that come with
    /// them are dropped by the kernel.
    #[cfg(feature = "server")]
    pub(crate) async fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        self.read(|socket| {
            let (count, dropped) = descriptors::receive_none(socket, room)?;
            // The kernel stops at descriptors, whatever is behind them.
            let drained = (1..room.len()).contains(&count) && !dropped;
            Ok(Taken {
                value: count,
                drained,
            })
        })
        .await
    }

    /// Waits for bytes and for what comes with them: see
    /// [`descriptors::receive`].
    pub(crate) async fn receive_with_fds(
        &self,
        room: &mut [u8],
        fds: &mut Vec<OwnedFd>,
        most: usize,
    ) -> io::Result<usize> {
        let before = fds.len();
        self.read(|socket| {
            let count = descriptors::receive(socket, room, fds, most)?;
            // The kernel stops at descriptors, whatever is behind them.
            let drained = (1..room.len()).contains(&count) && fds.len() == before;
            Ok(Taken {
                value: count,
                drained,
            })
        })
        .await
    }

    /// Waits for a byte and leaves it where it is; `None` when there will be
    /// none.
    #[cfg(feature = "server")]
    pub(crate) async fn peek(&self) -> io::Result<Option<u8>> {
        self.read(|socket| {
            let mut byte = [0];
            let (count, _) = rustix::net::recv(socket, &mut byte, RecvFlags::PEEK)?;
            let [byte] = byte;
            Ok(Taken {
                value: (count > 0).then_some(byte),
                drained: false,
            })
        })
        .await
    }

    /// Reads as soon as there is something.
    async fn read<T>(
        &self,
        mut read: impl FnMut(&OwnedFd) -> io::Result<Taken<T>>,
    ) -> io::Result<T> {
        loop {
            let taken = match self.watched.get() {
                Some(watched) => {
                    let mut ready = watched.readable().await?;
                    let Ok(taken) = ready.try_io(|socket| read(socket.get_ref())) else {
                        continue;
                    };
                    if matches!(&taken, Ok(taken) if taken.drained) {
                        ready.clear_ready();
                    }
                    taken
                }
                None => {
                    // Who is never kept waiting must wait for others' turns.
                    consume_budget().await;
                    read(&self.socket)
                }
            };
            match taken {
                Ok(taken) => return Ok(taken.value),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.watch()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn watch(&self) -> io::Result<()> {
        if self.watched.get().is_some() {
            return Ok(());
        }
        let watched = sys::watched(Arc::clone(&self.socket), Interest::READABLE)?;
        // The kernel would have refused to watch it twice.
        let _was_empty = self.watched.set(watched);
        Ok(())
    }

    /// Sends all bytes, and the descriptors with the first of them.
    pub(crate) async fn send(
        &self,
        mut bytes: &[u8],
        mut fds: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        descriptors::make_room(self, bytes.len());
        let mut turn = None;
        while !bytes.is_empty() {
            let sent = match fds {
                [] => rustix::net::send(self, bytes, SendFlags::NOSIGNAL).map_err(io::Error::from),
                fds => descriptors::send(self, bytes, fds),
            };
            match sent {
                Ok(sent) => {
                    fds = &[];
                    bytes = bytes.get(sent..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable(&mut turn).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the other end has taken something, by a second descriptor,
    /// which is there for as long as one message needs it.
    async fn writable(&self, turn: &mut Option<Watched>) -> io::Result<()> {
        if turn.is_none() {
            let Ok(twin) = self.socket.try_clone() else {
                tokio::time::sleep(LOOK_AGAIN).await;
                return Ok(());
            };
            *turn = Some(sys::watched(Arc::new(twin), Interest::WRITABLE)?);
        }
        if let Some(turn) = turn {
            turn.writable().await?.clear_ready();
        }
        Ok(())
    }
}

/// Somebody waits for an answer, for as long as this is there.
#[cfg(feature = "client")]
#[derive(Debug)]
pub(crate) struct Waiting(());

/// How many wait in this process.
#[cfg(feature = "client")]
static WAITING: AtomicUsize = AtomicUsize::new(0);

#[cfg(feature = "client")]
impl Waiting {
    /// Also says whether nobody else waits, and another processor can answer.
    fn begin() -> (Self, bool) {
        static SEVERAL: OnceLock<bool> = OnceLock::new();
        let several = *SEVERAL
            .get_or_init(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1));
        let others = WAITING.fetch_add(1, Ordering::Relaxed);
        (Self(()), several && others == 0)
    }
}

#[cfg(feature = "client")]
impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn bytes_behind_dropped_descriptors_are_read_at_once() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ours = Stream::unblocked(ours.into()).unwrap();
        ours.watch().unwrap();
        let writes = async {
            tokio::task::yield_now().await;
            descriptors::send(&theirs, b"one", &[theirs.as_fd()]).unwrap();
            descriptors::send(&theirs, b"two", &[]).unwrap();
        };
        let mut room = [0; 16];
        let (first, ()) = tokio::join!(ours.receive(&mut room), writes);
        assert_eq!(first.unwrap(), 3, "the kernel stops at descriptors");
        let second = tokio::time::timeout(Duration::from_secs(10), ours.receive(&mut room));
        assert_eq!(second.await.expect("nobody would wake it").unwrap(), 3);
    }
}
