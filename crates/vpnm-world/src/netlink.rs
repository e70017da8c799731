//! Netlink messages and a blocking socket to the kernel, as far as a world
//! needs them (`rtnetlink(7)`, `netlink(7)`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`.
const ACK: u16 = 0x4;
/// `NLM_F_ROOT | NLM_F_MATCH`.
const DUMP: u16 = 0x300;
/// `NLM_F_EXCL | NLM_F_CREATE`: make it, and fail if it is there.
pub(crate) const CREATE: u16 = 0x200 | 0x400;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

/// One request under construction.
#[derive(Debug)]
pub(crate) struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Request {
    /// A request of message type `kind` with its fixed header.
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut request = Self {
            kind,
            flags,
            body: Vec::new(),
        };
        request.raw(header);
        request
    }

    /// Appends an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.body.extend_from_slice(&length.to_ne_bytes());
        self.body.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value)
    }

    /// Appends an attribute whose value is what `fill` appends.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self {
            kind: 0,
            flags: 0,
            body: Vec::new(),
        };
        fill(&mut inner);
        self.attribute(kind | NESTED, &inner.body)
    }

    /// Appends bytes as they are, padded to four.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.body.extend_from_slice(bytes);
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        self
    }

    fn encode(&self, flags: u16, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(HEADER + self.body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + self.body.len());
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&(self.flags | flags | REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// One message from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u16,
    /// Fixed header and attributes.
    pub(crate) body: Vec<u8>,
}

/// A socket to one netlink family of the calling thread's network namespace.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

impl Netlink {
    /// A socket for links, addresses, routes and rules.
    pub(crate) fn route() -> io::Result<Self> {
        // NETLINK_ROUTE is number zero: the family's default.
        Self::open(None)
    }

    /// A socket for nftables.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(Some(netlink::NETFILTER))
    }

    fn open(family: Option<rustix::net::Protocol>) -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            family,
        )?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Sends a request and waits for the kernel's verdict.
    pub(crate) fn apply(&mut self, request: &Request) -> io::Result<()> {
        self.send(request, ACK)?;
        self.collect().map(drop)
    }

    /// Asks for a whole table.
    pub(crate) fn dump(&mut self, request: &Request) -> io::Result<Vec<Message>> {
        self.send(request, DUMP)?;
        self.collect()
    }

    fn send(&mut self, request: &Request, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.encode(flags, self.sequence);
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        Ok(())
    }

    /// Messages up to the closing one.
    fn collect(&self) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (length, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((message, tail)) = split_message(rest) {
                rest = tail;
                match message.kind {
                    ERROR => return verdict(&message.body).map(|()| messages),
                    DONE => return Ok(messages),
                    _ => messages.push(message),
                }
            }
        }
    }
}

fn split_message(bytes: &[u8]) -> Option<(Message, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..length)?.to_vec();
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((Message { kind, body }, bytes.get(next..)?))
}

fn verdict(body: &[u8]) -> io::Result<()> {
    let code = body
        .first_chunk()
        .map_or(-libc::EPROTO, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(-code))
    }
}

/// The attributes in `bytes`: kind without flags, and value.
pub(crate) fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while let Some((kind, value, rest)) = split_attribute(bytes) {
        found.push((kind & 0x3fff, value));
        bytes = rest;
    }
    found
}

fn split_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?);
    let value = bytes.get(4..length)?;
    let next = length.next_multiple_of(4).min(bytes.len());
    Some((kind, value, bytes.get(next..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_padded_and_counts_its_own_length() {
        let mut request = Request::new(16, CREATE, &[1, 2, 3, 4]);
        request.attribute(3, b"lo\0");
        let bytes = request.encode(ACK, 7);
        assert_eq!(bytes.len(), 16 + 4 + 8);
        assert_eq!(bytes[..4], 28_u32.to_ne_bytes());
        assert_eq!(attributes(&bytes[20..]), [(3, &b"lo\0"[..])]);
    }

    #[test]
    fn nested_attributes_are_read_back() {
        let mut request = Request::new(16, 0, &[]);
        request.nested(18, |inner| {
            inner.attribute(1, b"veth");
        });
        let outer = attributes(&request.body);
        assert_eq!(outer.len(), 1);
        assert_eq!(outer[0].0, 18);
        assert_eq!(attributes(outer[0].1), [(1, &b"veth"[..])]);
    }

    #[test]
    fn truncated_bytes_end_the_list() {
        assert!(attributes(&[9, 0, 1, 0, 5]).is_empty());
        assert!(split_message(&[0; 8]).is_none());
        assert!(split_message(&[200, 0, 0, 0, 1, 0, 0, 0]).is_none());
    }
}
