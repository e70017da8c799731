//! A netlink socket: one request at a time, each with its own answers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags};
use rustix::net::netlink::{NETFILTER, SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::failure::Failure;
use super::message::{Body, Message, Request, messages};
use crate::sys::netlink::{Feature, enable, namespace};

/// The kernel writes dumps in datagrams of at most 32 KiB.
const DATAGRAM: usize = 64 * 1024;
/// Room for the acknowledgements of a whole batch, or for a burst of events.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
const SEND_BUFFER: usize = 1024 * 1024;
/// An answer of the kernel is there when the request returns; waiting longer means
/// that it was lost.
const ANSWER: Timespec = Timespec {
    tv_sec: 5,
    tv_nsec: 0,
};
/// Datagrams that one who used a socket before may have left on it: a dump of a large
/// packet filter at most.
const LEFT: usize = 4096;
/// How often a dump that was overtaken by a change is read anew.
const DUMP_ATTEMPTS: usize = 8;

/// Which part of the kernel to talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// rtnetlink: links, addresses, routes, rules.
    Route,
    /// nfnetlink: the packet filter.
    Netfilter,
    /// sock_diag: the sockets of programs.
    Diagnosis,
}

#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    port: u32,
}

impl Socket {
    /// Opens a socket that hears the given multicast groups (a bit for each group,
    /// group 1 lowest).
    pub(crate) fn open(protocol: Protocol, groups: u32) -> Result<Self, Failure> {
        let number = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(NETFILTER),
            Protocol::Diagnosis => Some(SOCK_DIAG),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, number)?;
        for feature in [Feature::ShortErrors, Feature::ErrorWords] {
            enable(&fd, feature);
        }
        if protocol == Protocol::Route {
            enable(&fd, Feature::FilteredDumps);
        }
        // Above the administrator's limit only with CAP_NET_ADMIN; without, the
        // default has to do.
        if sockopt::set_socket_recv_buffer_size_force(&fd, RECEIVE_BUFFER).is_ok() {
            sockopt::set_socket_send_buffer_size(&fd, SEND_BUFFER)?;
        }
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        let port = port(&fd)?;
        Ok(Self {
            fd,
            sequence: 0,
            port,
        })
    }

    /// Goes on with a socket of [`Socket::open`] that another process used, which must
    /// have ended. What the kernel answered that one is thrown away, and `sequence`,
    /// which is to be random, is not one that it waited for.
    pub(crate) fn take_over(fd: OwnedFd, sequence: u32) -> Result<Self, Failure> {
        rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&fd, OFlags::NONBLOCK)?;
        let port = port(&fd)?;
        let socket = Self { fd, sequence, port };
        // A dump that was not read to its end stands in the way of the next.
        for _ in 0..LEFT {
            match socket.try_receive() {
                Ok(None) => return Ok(socket),
                Ok(Some(_)) | Err(Errno::NOBUFS) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Failure::Malformed)
    }

    /// Whether a descriptor is a socket of this part of the kernel, and in the network
    /// namespace of this one.
    pub(crate) fn is_like(&self, other: &OwnedFd) -> bool {
        let protocol = |fd| sockopt::socket_protocol(fd).ok();
        let ours = [namespace(&self.fd).ok(), namespace(other).ok()];
        sockopt::socket_domain(other) == Ok(AddressFamily::NETLINK)
            && protocol(other) == protocol(&self.fd)
            && matches!(ours, [Some(here), Some(there)] if here == there)
    }

    /// The number by which the kernel knows this socket.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Sends one request and waits until it was carried out.
    pub(crate) fn request(&mut self, request: &Request) -> Result<(), Failure> {
        self.exchange(request, |_| Ok(()))?;
        Ok(())
    }

    /// Asks for objects, one or all; `take` sees each of them once.
    pub(crate) fn query<T>(
        &mut self,
        request: &Request,
        mut take: impl FnMut(&Message<'_>) -> Result<Option<T>, Failure>,
    ) -> Result<Vec<T>, Failure> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut list = Vec::new();
            let whole = self.exchange(request, |message| {
                list.extend(take(message)?);
                Ok(())
            })?;
            if whole {
                return Ok(list);
            }
        }
        Err(Failure::Kernel {
            errno: libc::EINTR,
            detail: Some("the state changes faster than it can be read".to_owned()),
        })
    }

    /// Sends messages as one datagram; the kernel carries out all of them or none.
    /// Returns the refused ones by their index.
    pub(crate) fn batch(&mut self, batch: &[Request]) -> Result<Vec<(usize, Failure)>, Failure> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        for request in batch {
            self.sequence = self.sequence.wrapping_add(1);
            request.encode(self.sequence, &mut bytes);
        }
        self.send(&bytes)?;
        let mut waiting: Vec<bool> = batch.iter().map(Request::expects_ack).collect();
        let mut refused = Vec::new();
        // A batch that is refused as a whole is answered once, for its first message.
        while waiting.contains(&true) && !refused.iter().any(|(index, _)| *index == 0) {
            let datagram = self.receive()?;
            for message in messages(&datagram)? {
                let index = usize::try_from(message.sequence.wrapping_sub(first)).ok();
                let Some((index, slot)) = index.and_then(|i| Some((i, waiting.get_mut(i)?))) else {
                    continue;
                };
                *slot = false;
                if let Body::Refused { errno, detail } = message.body {
                    refused.push((index, Failure::Kernel { errno, detail }));
                }
            }
        }
        Ok(refused)
    }

    /// Takes a datagram if one has arrived.
    ///
    /// `Ok(None)` when there is none; the error ENOBUFS when events were lost.
    pub(crate) fn try_receive(&self) -> Result<Option<Vec<u8>>, Errno> {
        let mut buffer = vec![0; DATAGRAM];
        match rustix::net::recv(&self.fd, buffer.as_mut_slice(), RecvFlags::empty()) {
            Ok((length, _)) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sends and reads until the answer ends; says whether a dump was whole.
    fn exchange(
        &mut self,
        request: &Request,
        mut take: impl FnMut(&Message<'_>) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        request.encode(self.sequence, &mut bytes);
        self.send(&bytes)?;
        let mut whole = true;
        loop {
            let datagram = self.receive()?;
            for message in messages(&datagram)? {
                if message.sequence != self.sequence {
                    continue;
                }
                whole &= !message.interrupted;
                match message.body {
                    Body::Done => return Ok(whole),
                    Body::Refused { errno, detail } => {
                        return Err(Failure::Kernel { errno, detail });
                    }
                    Body::Object(_) => take(&message)?,
                }
            }
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, bytes, SendFlags::empty(), &kernel)?;
        Ok(())
    }

    fn receive(&self) -> Result<Vec<u8>, Failure> {
        loop {
            if let Some(datagram) = self.try_receive()? {
                return Ok(datagram);
            }
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&ANSWER)) {
                Ok(0) => return Err(Failure::Io(io::ErrorKind::TimedOut.into())),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The number by which the kernel knows a socket.
fn port(fd: &OwnedFd) -> Result<u32, Failure> {
    Ok(SocketAddrNetlink::try_from(rustix::net::getsockname(fd)?)?.pid())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
