//! Type-length-value attributes: 2 bytes length, 2 bytes kind, value, padding to 4.

use super::failure::Failure;
use super::link_name::{link_name, link_name_bytes};

/// Bits of the kind that say how the value is encoded, not what it is.
const KIND_FLAGS: u16 = 0xc000;
/// Set on attributes that hold attributes.
const NESTED: u16 = 0x8000;
const HEADER: usize = 4;

/// Builds the body of a message: a fixed header, then attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts with the fixed header of a message family.
    pub(crate) fn new(header: &[u8]) -> Self {
        Self {
            bytes: header.to_vec(),
        }
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.header(kind, value.len());
        self.bytes.extend_from_slice(value);
        self.pad();
    }

    /// A text with its terminating zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        self.header(kind, value.len() + 1);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    /// The name of a link with its terminating zero.
    pub(crate) fn link_name(&mut self, kind: u16, name: &str) {
        let mut value = link_name_bytes(name);
        value.push(0);
        self.bytes(kind, &value);
    }

    /// A number in the machine's byte order, as rtnetlink has them.
    pub(crate) fn native(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A number in network byte order, as nf_tables has them.
    pub(crate) fn network(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.header(kind | NESTED, 0);
        fill(self);
        let length = attribute_length(self.bytes.len() - start).to_ne_bytes();
        for (to, from) in self.bytes.iter_mut().skip(start).zip(length) {
            *to = from;
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn header(&mut self, kind: u16, value: usize) {
        let length = attribute_length(value + HEADER);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn attribute_length(length: usize) -> u16 {
    u16::try_from(length).expect("invariant: callers keep attributes below 64 KiB")
}

/// The attributes of a message or of another attribute, in order.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a> {
    list: Vec<(u16, &'a [u8])>,
}

impl<'a> Attributes<'a> {
    /// Splits bytes into attributes; their values are not looked at.
    pub(crate) fn parse(mut bytes: &'a [u8]) -> Result<Self, Failure> {
        let mut list = Vec::new();
        while bytes.len() >= HEADER {
            let (length, kind) = header(bytes).ok_or(Failure::Malformed)?;
            let value = bytes.get(HEADER..length).ok_or(Failure::Malformed)?;
            list.push((kind & !KIND_FLAGS, value));
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(Self { list })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &'a [u8])> + '_ {
        self.list.iter().copied()
    }

    pub(crate) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.iter()
            .find(|(k, _)| *k == kind)
            .map(|(_, value)| value)
    }

    pub(crate) fn nested(&self, kind: u16) -> Result<Option<Self>, Failure> {
        self.get(kind).map(Self::parse).transpose()
    }

    /// A number in the machine's byte order.
    pub(crate) fn native(&self, kind: u16) -> Option<u32> {
        self.array(kind).map(u32::from_ne_bytes)
    }

    /// A number in network byte order.
    pub(crate) fn network(&self, kind: u16) -> Option<u32> {
        self.array(kind).map(u32::from_be_bytes)
    }

    pub(crate) fn byte(&self, kind: u16) -> Option<u8> {
        self.array(kind).map(|[byte]| byte)
    }

    /// A text without its terminating zero; what is no UTF-8 is replaced.
    pub(crate) fn text(&self, kind: u16) -> Option<String> {
        self.get(kind).map(text)
    }

    pub(crate) fn link_name(&self, kind: u16) -> Option<String> {
        self.get(kind).map(link_name)
    }

    pub(crate) fn array<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        self.get(kind)?.try_into().ok()
    }
}

/// The text in an attribute, which ends at the first zero.
fn text(value: &[u8]) -> String {
    let value = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let kind = rest.first_chunk::<2>()?;
    Some((
        u16::from_ne_bytes(*length).into(),
        u16::from_ne_bytes(*kind),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_back_as_written() {
        let mut writer = Writer::default();
        writer.text(1, "vpnm");
        writer.nested(2, |inner| {
            inner.network(3, 0x0102_0304);
            inner.bytes(4, &[7]);
        });
        writer.native(5, 9);
        let attributes = Attributes::parse(writer.as_bytes()).unwrap();
        assert_eq!(attributes.text(1).unwrap(), "vpnm");
        assert_eq!(attributes.native(5), Some(9));
        let inner = attributes.nested(2).unwrap().unwrap();
        assert_eq!(inner.network(3), Some(0x0102_0304));
        assert_eq!(inner.byte(4), Some(7));
        assert_eq!(inner.get(9), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_attribute_has_the_kernels_layout() {
        let mut writer = Writer::default();
        writer.nested(2, |inner| inner.text(1, "ab"));
        assert_eq!(
            writer.as_bytes(),
            [12, 0, 2, 0x80, 7, 0, 1, 0, b'a', b'b', 0, 0]
        );
    }

    #[test]
    fn any_cut_or_changed_byte_is_an_error_or_other_attributes_never_a_panic() {
        let mut writer = Writer::default();
        writer.text(1, "some text");
        writer.nested(2, |inner| inner.native(3, 4));
        let good = writer.as_bytes();
        for cut in 0..good.len() {
            let _outcome = Attributes::parse(good.get(..cut).unwrap());
        }
        for at in 0..good.len() {
            for value in [0, 1, 3, 4, 0x7f, 0xff] {
                let mut bad = good.to_vec();
                bad[at] = value;
                let _outcome = Attributes::parse(&bad);
            }
        }
        assert!(Attributes::parse(&[2, 0, 1, 0]).is_err());
        assert!(Attributes::parse(&[9, 0, 1, 0, 0]).is_err());
    }
}
