//! Message frames: 16 bytes of header, then a body.

use super::attributes::{Attributes, Writer};
use super::failure::Failure;

/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

const NLMSGERR_ATTR_MSG: u16 = 1;

/// A message to the kernel, without the sequence number it is sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    kind: u16,
    flags: u16,
    body: Writer,
}

impl Request {
    /// Asks for one object or removes one; the kernel acknowledges.
    pub(crate) fn new(kind: u16, body: Writer) -> Self {
        Self {
            kind,
            flags: NLM_F_REQUEST | NLM_F_ACK,
            body,
        }
    }

    /// Creates an object or changes the one that exists.
    pub(crate) fn set(kind: u16, body: Writer) -> Self {
        Self::new(kind, body).with(NLM_F_CREATE)
    }

    /// Creates an object; it must not exist.
    pub(crate) fn create(kind: u16, body: Writer) -> Self {
        Self::new(kind, body).with(NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Creates an object in the place of the one that exists.
    pub(crate) fn replace(kind: u16, body: Writer) -> Self {
        Self::new(kind, body).with(NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Creates an object behind those that exist.
    pub(crate) fn append(kind: u16, body: Writer) -> Self {
        Self::new(kind, body).with(NLM_F_CREATE | NLM_F_APPEND)
    }

    /// Asks for all objects.
    pub(crate) fn dump(kind: u16, body: Writer) -> Self {
        Self {
            kind,
            flags: NLM_F_REQUEST | NLM_F_DUMP,
            body,
        }
    }

    /// A message that is not answered: the brackets around a batch.
    pub(crate) fn silent(kind: u16, body: Writer) -> Self {
        Self {
            kind,
            flags: NLM_F_REQUEST,
            body,
        }
    }

    pub(crate) fn expects_ack(&self) -> bool {
        self.flags & NLM_F_ACK != 0
    }

    /// Appends the whole message, padded, to `out`.
    pub(crate) fn encode(&self, sequence: u32, out: &mut Vec<u8>) {
        let body = self.body.as_bytes();
        let length =
            u32::try_from(HEADER + body.len()).expect("invariant: a message is a few kilobytes");
        out.extend_from_slice(&length.to_ne_bytes());
        out.extend_from_slice(&self.kind.to_ne_bytes());
        out.extend_from_slice(&self.flags.to_ne_bytes());
        out.extend_from_slice(&sequence.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    fn with(mut self, flags: u16) -> Self {
        self.flags |= flags;
        self
    }
}

/// A message from the kernel.
#[derive(Debug, Clone)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    /// Whether the dump it belongs to was overtaken by a change.
    pub(crate) interrupted: bool,
    pub(crate) body: Body<'a>,
}

/// What a message from the kernel says.
#[derive(Debug, Clone)]
pub(crate) enum Body<'a> {
    /// An object or an event: the fixed header and the attributes, undivided.
    Object(&'a [u8]),
    /// The request was carried out.
    Done,
    /// The request was refused.
    Refused { errno: i32, detail: Option<String> },
}

impl Body<'_> {
    /// Splits an object into the fixed header of its family and its attributes.
    pub(crate) fn split<const N: usize>(&self) -> Result<([u8; N], Attributes<'_>), Failure> {
        let Self::Object(bytes) = self else {
            return Err(Failure::Malformed);
        };
        let (header, rest) = bytes.split_first_chunk().ok_or(Failure::Malformed)?;
        Ok((*header, Attributes::parse(rest)?))
    }
}

/// Splits a datagram into messages.
pub(crate) fn messages(mut datagram: &[u8]) -> Result<Vec<Message<'_>>, Failure> {
    let mut list = Vec::new();
    while !datagram.is_empty() {
        let header: &[u8; HEADER] = datagram.first_chunk().ok_or(Failure::Malformed)?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3]))
            .map_err(|_| Failure::Malformed)?;
        let body = datagram.get(HEADER..length).ok_or(Failure::Malformed)?;
        let kind = u16::from_ne_bytes([k0, k1]);
        let flags = u16::from_ne_bytes([f0, f1]);
        list.push(Message {
            kind,
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            interrupted: flags & NLM_F_DUMP_INTR != 0,
            body: body_of(kind, flags, body)?,
        });
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    Ok(list)
}

fn body_of(kind: u16, flags: u16, body: &[u8]) -> Result<Body<'_>, Failure> {
    if kind != NLMSG_ERROR && kind != NLMSG_DONE {
        return Ok(Body::Object(body));
    }
    let code = body
        .first_chunk()
        .map_or(0, |code| i32::from_ne_bytes(*code));
    if code == 0 {
        return Ok(Body::Done);
    }
    Ok(Body::Refused {
        errno: code.checked_neg().ok_or(Failure::Malformed)?,
        detail: detail(kind, flags, body),
    })
}

/// The kernel's words about an error: attributes behind the code and, in an error
/// message, behind the header of the request it is about.
fn detail(kind: u16, flags: u16, body: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let skip = if kind == NLMSG_ERROR { 4 + HEADER } else { 4 };
    let attributes = Attributes::parse(body.get(skip..)?).ok()?;
    attributes.text(NLMSGERR_ATTR_MSG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_message(code: i32, detail: Option<&str>) -> Vec<u8> {
        let mut body = Writer::new(&code.to_ne_bytes());
        body = Writer::new(&[body.as_bytes(), &[0; HEADER]].concat());
        let mut request = Request::silent(NLMSG_ERROR, Writer::default());
        if let Some(detail) = detail {
            body.text(NLMSGERR_ATTR_MSG, detail);
            request = request.with(NLM_F_ACK_TLVS);
        }
        request.body = body;
        let mut out = Vec::new();
        request.encode(7, &mut out);
        out
    }

    #[test]
    fn a_request_has_the_kernels_layout() {
        let mut out = Vec::new();
        Request::create(24, Writer::new(&[1, 2, 3])).encode(5, &mut out);
        let mut want = Vec::new();
        want.extend_from_slice(&19_u32.to_ne_bytes());
        want.extend_from_slice(&24_u16.to_ne_bytes());
        want.extend_from_slice(&0x605_u16.to_ne_bytes());
        want.extend_from_slice(&5_u32.to_ne_bytes());
        want.extend_from_slice(&[0, 0, 0, 0, 1, 2, 3, 0]);
        assert_eq!(out, want);
    }

    #[test]
    fn an_error_carries_the_kernels_words() {
        let bytes = error_message(-22, Some("bad thing"));
        let list = messages(&bytes).unwrap();
        let [
            Message {
                sequence: 7,
                body: Body::Refused { errno: 22, detail },
                ..
            },
        ] = &list[..]
        else {
            panic!("{list:?}");
        };
        assert_eq!(detail.as_deref(), Some("bad thing"));
    }

    #[test]
    fn an_acknowledgement_is_done() {
        let bytes = error_message(0, None);
        let list = messages(&bytes).unwrap();
        assert!(matches!(list[0].body, Body::Done));
    }

    #[test]
    fn a_cut_or_changed_datagram_never_panics() {
        let mut bytes = error_message(-1, Some("words"));
        Request::new(16, Writer::new(&[0; 16])).encode(1, &mut bytes);
        for cut in 0..bytes.len() {
            let _outcome = messages(&bytes[..cut]);
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 15, 16, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                let _outcome = messages(&bad);
            }
        }
        assert!(messages(&[0; 16]).is_err());
    }
}
