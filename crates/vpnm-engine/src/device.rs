//! A TUN queue: whole packets in, whole packets out, with segmentation offload where
//! the descriptor has it.
//!
//! With `IFF_VNET_HDR` one read yields up to 64 KiB of one flow and one write takes as
//! much, or 256 KiB over IPv4 since Linux 6.3, no matter that the MTU is 1500, and nobody
//! computes checksums; that is five to ten times cheaper per byte than packets of the
//! MTU's size.

mod sys;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use vpnm_netstack::{Ingress, Transmit};
use vpnm_wire::{BufferPool, Chunk, VNET_LENGTH, VnetHeader};

pub(crate) use sys::watch;

/// Most bytes of virtio header: with the buffer count of merged receive buffers,
/// which is always zero here.
const MAX_HEADER: usize = 12;

/// Where a packet is read to in its buffer: with virtio, IPv4 and TCP headers in front, its
/// payload then begins at a multiple of 16 bytes. Measured: some processors copy fifteen
/// times slower to an address that is 1 to 15 bytes ahead of its source within a page.
const FRONT: usize = 14;

/// Longest packet whose IPv4 length field can tell its length.
pub(crate) const MAX_PACKET: usize = 65_535;
/// The first Linux that takes longer ones from a device (major and minor version).
const OVERSIZE_SINCE: (u32, u32) = (6, 3);

/// A TUN queue that was taken over.
#[derive(Debug)]
pub struct Device {
    fd: Rc<AsyncFd<OwnedFd>>,
    /// Bytes of virtio header in front of each packet; 0 without offload.
    header: usize,
    /// A packet the kernel had no room for.
    stalled: Option<Vec<u8>>,
}

/// What became of a packet that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The kernel took it, or it is kept until the kernel has room.
    Taken,
    /// The kernel refused it: the link is down, or it is of a kind it does not know.
    Refused,
}

/// What a read yielded.
#[derive(Debug)]
pub enum Read {
    /// A packet.
    Packet(Ingress),
    /// Nothing usable, for instance a packet with a header nobody understands.
    Nothing,
}

impl Device {
    /// Takes over a descriptor: a TUN queue without packet information, or a datagram
    /// socket that carries one IP packet per message. It is made non-blocking.
    ///
    /// # Errors
    /// The system's; `InvalidInput` if the queue prepends packet information.
    pub fn attach(fd: OwnedFd) -> io::Result<Self> {
        let header = sys::header_length(fd.as_fd())?;
        if header > MAX_HEADER || (1..VNET_LENGTH).contains(&header) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the TUN queue has a virtio header of a length nobody knows",
            ));
        }
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self {
            fd: Rc::new(watch(fd)?),
            header,
            stalled: None,
        })
    }

    /// Completes when the link was deleted, which makes the descriptor neither readable
    /// nor writable; the error says what reading it says then.
    pub fn end(&self) -> impl Future<Output = io::Error> + use<> {
        let fd = Rc::clone(&self.fd);
        async move {
            loop {
                let mut ready = match fd.ready(Interest::ERROR).await {
                    Ok(ready) => ready,
                    Err(error) => return error,
                };
                if let Err(error) = sys::header_length(fd.as_fd()) {
                    return error;
                }
                ready.clear_ready();
            }
        }
    }

    /// Whether super-packets can be written.
    #[must_use]
    pub fn has_offload(&self) -> bool {
        self.header > 0
    }

    /// Whether super-packets of TCP over IPv4 may be longer than their length field can tell.
    #[must_use]
    pub fn takes_oversize(&self) -> bool {
        self.has_offload() && runs_on_linux(OVERSIZE_SINCE)
    }

    /// Whether the kernel had no room for a packet, which is kept; then nothing may be
    /// sent until [`Self::poll_resume`] is ready.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// Reads one packet into a buffer of `pool`.
    ///
    /// # Errors
    /// The device is gone.
    pub fn poll_read(&self, cx: &mut Context<'_>, pool: &BufferPool) -> Poll<io::Result<Read>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            let mut buffer = pool.large();
            let room = buffer.get_mut(FRONT..).unwrap_or_default();
            match rustix::io::read(self.fd.get_ref(), room) {
                Ok(count) => {
                    let packet = Chunk::new(buffer, FRONT, FRONT + count);
                    return Poll::Ready(Ok(self.packet(packet)));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                // The link is being deleted, or it is set down and nothing arrives until
                // it is up again.
                Err(Errno::IO | Errno::FAULT) => {
                    sys::header_length(self.fd.get_ref().as_fd())?;
                    ready.clear_ready();
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn packet(&self, mut content: Chunk) -> Read {
        if self.header == 0 {
            return Read::Packet(Ingress::plain(content));
        }
        let Some(header) = VnetHeader::decode(&content) else {
            return Read::Nothing;
        };
        content.advance(self.header);
        Read::Packet(Ingress::offloaded(content, header))
    }

    /// Writes one packet. What the kernel refuses is lost, as on any link; what it has
    /// no room for is kept and makes the device stall.
    pub fn send(&mut self, packet: &Transmit<'_>) -> Written {
        let offload = packet.offload().encode();
        let mut header = [0; MAX_HEADER];
        if let Some(start) = header.first_chunk_mut() {
            *start = offload;
        }
        let [head, first, second] = packet.parts();
        let header = header.get(..self.header).unwrap_or_default();
        let parts = [header, head, first, second];
        let slices = parts.map(IoSlice::new);
        match rustix::io::writev(self.fd.get_ref(), &slices) {
            Ok(_) => Written::Taken,
            // The memory for an oversize packet must be in large pieces, which may be gone.
            Err(Errno::AGAIN | Errno::NOBUFS) if packet.len() <= MAX_PACKET => {
                self.stalled = Some(parts.concat());
                Written::Taken
            }
            Err(error) => {
                tracing::trace!(%error, "the device refused a packet");
                Written::Refused
            }
        }
    }

    /// Tries again to write what the kernel had no room for.
    ///
    /// # Errors
    /// The device is gone.
    pub fn poll_resume(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(packet) = &self.stalled else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let mut ready = ready!(self.fd.poll_write_ready(cx))?;
            match rustix::io::write(self.fd.get_ref(), packet) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => {
                    self.stalled = None;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

/// Whether the kernel is of this version (major and minor) or later.
pub(crate) fn runs_on_linux(since: (u32, u32)) -> bool {
    let system = rustix::system::uname();
    version(&system.release().to_string_lossy()).is_some_and(|running| running >= since)
}

/// Major and minor version of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_its_numbers() {
        for (release, takes) in [
            ("6.18.44-fc-v595", true),
            ("6.3.0", true),
            ("10.0-rc1", true),
            ("6.2.16-amd64", false),
            ("5.15.0-91-generic", false),
            ("6", false),
            ("unknown", false),
        ] {
            let found = version(release).is_some_and(|running| running >= OVERSIZE_SINCE);
            assert_eq!(found, takes, "{release}");
        }
    }
}
