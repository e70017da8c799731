//! Messages of D-Bus on the wire (D-Bus Specification, "Message Protocol").
//!
//! No more of it than calls need whose arguments are known: what is sent is always
//! little-endian, what comes may be either.

/// Longest message that is read, in bytes; the answers we ask for are far shorter.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// The part of a message that says how long it is.
pub(crate) const PREFIX: usize = 16;

const CALL: u8 = 1;
const REPLY: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
const VERSION: u8 = 1;
/// The bus must not start a service that does not run.
const NO_AUTO_START: u8 = 2;

mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SENDER: u8 = 7;
    pub(super) const SIGNATURE: u8 = 8;
}

/// Whom a call is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) destination: &'a str,
    pub(crate) path: &'a str,
    pub(crate) interface: &'a str,
    pub(crate) member: &'a str,
}

/// The arguments of a call, and what they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    signature: String,
    body: Writer,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    /// Who sent it, by the word of the bus; empty before the bus knows us.
    pub(crate) sender: String,
    signature: String,
    body: Vec<u8>,
    big_endian: bool,
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer to the call of this number.
    Reply(u32),
    /// The refusal of the call of this number, and its name.
    Error(u32, String),
    /// Something happened: the interface it belongs to, and its name.
    Signal(String, String),
    /// Anything else.
    Other,
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no message of D-Bus")]
pub(crate) struct Malformed;

impl Arguments {
    /// One argument more.
    #[must_use]
    pub(crate) fn with(mut self, signature: &str, write: impl FnOnce(&mut Writer)) -> Self {
        self.signature.push_str(signature);
        write(&mut self.body);
        self
    }

    /// A text more.
    #[must_use]
    pub(crate) fn text(self, text: &str) -> Self {
        self.with("s", |body| body.text(text))
    }
}

/// Writes a call with this number.
pub(crate) fn encode_call(serial: u32, call: &Call<'_>, arguments: &Arguments) -> Vec<u8> {
    let mut writer = Writer::default();
    let body = &arguments.body.bytes;
    writer.bytes = vec![b'l', CALL, NO_AUTO_START, VERSION];
    writer.u32(length(body.len()));
    writer.u32(serial);
    writer.array(8, |fields| {
        let texts = [
            (field::PATH, "o", call.path),
            (field::INTERFACE, "s", call.interface),
            (field::MEMBER, "s", call.member),
            (field::DESTINATION, "s", call.destination),
        ];
        for (code, signature, text) in texts {
            fields.align(8);
            fields.bytes.push(code);
            fields.signature(signature);
            fields.text(text);
        }
        if !arguments.signature.is_empty() {
            fields.align(8);
            fields.bytes.push(field::SIGNATURE);
            fields.signature("g");
            fields.signature(&arguments.signature);
        }
    });
    writer.align(8);
    writer.bytes.extend_from_slice(body);
    writer.bytes
}

/// How long the message is that begins with these bytes.
pub(crate) fn message_length(prefix: &[u8; PREFIX]) -> Result<usize, Malformed> {
    let mut reader = Reader::begin(prefix)?;
    reader.skip(3)?;
    let body = reader.size()?;
    reader.skip(4)?;
    let fields = reader.size()?;
    let total = (PREFIX + fields).next_multiple_of(8) + body;
    if total > MAX_BYTES {
        return Err(Malformed);
    }
    Ok(total)
}

impl Message {
    /// Reads a whole message.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::begin(bytes)?;
        let kind = reader.u8()?;
        reader.skip(1)?;
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let body_length = reader.size()?;
        reader.skip(4)?;
        let fields = Fields::read(&mut reader)?;
        reader.align(8)?;
        let body = reader.take(body_length)?.to_vec();
        let kind = match (kind, fields.reply_serial) {
            (REPLY, Some(serial)) => Kind::Reply(serial),
            (ERROR, Some(serial)) => Kind::Error(serial, fields.error_name),
            (SIGNAL, _) => Kind::Signal(fields.interface, fields.member),
            _ => Kind::Other,
        };
        Ok(Self {
            kind,
            sender: fields.sender,
            signature: fields.signature,
            body,
            big_endian: reader.big_endian,
        })
    }

    /// The body, if its arguments are of these types.
    pub(crate) fn body(&self, signature: &str) -> Option<Reader<'_>> {
        let matches = self.signature == signature;
        matches.then_some(Reader {
            bytes: &self.body,
            at: 0,
            big_endian: self.big_endian,
        })
    }

    /// The first argument, if it is a text: what an error says for people.
    pub(crate) fn leading_text(&self) -> Option<String> {
        let body = self.body(&self.signature)?;
        let is_text = self.signature.starts_with('s');
        is_text.then_some(body)?.text().ok()
    }
}

#[derive(Default)]
struct Fields {
    reply_serial: Option<u32>,
    error_name: String,
    interface: String,
    member: String,
    sender: String,
    signature: String,
}

impl Fields {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        reader.array(8, |reader| {
            reader.align(8)?;
            let code = reader.u8()?;
            match (code, reader.signature()?.as_str()) {
                (field::REPLY_SERIAL, "u") => fields.reply_serial = Some(reader.u32()?),
                (field::ERROR_NAME, "s") => fields.error_name = reader.text()?,
                (field::INTERFACE, "s") => fields.interface = reader.text()?,
                (field::MEMBER, "s") => fields.member = reader.text()?,
                (field::SENDER, "s") => fields.sender = reader.text()?,
                (field::SIGNATURE, "g") => fields.signature = reader.signature()?,
                (_, "s" | "o") => drop(reader.text()?),
                (_, "g") => drop(reader.signature()?),
                (_, "u") => drop(reader.u32()?),
                _ => return Err(Malformed),
            }
            Ok(())
        })?;
        Ok(fields)
    }
}

/// Writes values, each at a multiple of its own size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn align(&mut self, to: usize) {
        let length = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(length, 0);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.u32(value.into());
    }

    /// A text, or an object's path.
    pub(crate) fn text(&mut self, text: &str) {
        self.u32(length(text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        let known = "invariant: signatures are written here and short";
        self.bytes.push(u8::try_from(text.len()).expect(known));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.u32(length(octets.len()));
        self.bytes.extend_from_slice(octets);
    }

    /// An array whose elements begin at a multiple of `alignment`.
    pub(crate) fn array(&mut self, alignment: usize, write: impl FnOnce(&mut Self)) {
        self.u32(0);
        let at = self.bytes.len();
        self.align(alignment);
        let first = self.bytes.len();
        write(self);
        let size = length(self.bytes.len() - first).to_le_bytes();
        if let Some(place) = self.bytes.get_mut(at - 4..at) {
            place.copy_from_slice(&size);
        }
    }
}

/// Reads values one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> Reader<'a> {
    fn begin(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let big_endian = match bytes.first() {
            Some(b'l') => false,
            Some(b'B') => true,
            _ => return Err(Malformed),
        };
        Ok(Self {
            bytes,
            at: 1,
            big_endian,
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), Malformed> {
        self.take(length).map(drop)
    }

    pub(crate) fn align(&mut self, to: usize) -> Result<(), Malformed> {
        self.skip(self.at.next_multiple_of(to) - self.at)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().map_err(|_| Malformed)?;
        Ok(if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    }

    fn size(&mut self) -> Result<usize, Malformed> {
        let size = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        if size > MAX_BYTES {
            return Err(Malformed);
        }
        Ok(size)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Malformed> {
        Ok(self.u32()? != 0)
    }

    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        let length = self.size()?;
        self.terminated(length)
    }

    pub(crate) fn signature(&mut self) -> Result<String, Malformed> {
        let length = self.u8()?;
        self.terminated(length.into())
    }

    fn terminated(&mut self, length: usize) -> Result<String, Malformed> {
        let text = self.take(length)?.to_vec();
        self.skip(1)?;
        String::from_utf8(text).map_err(|_| Malformed)
    }

    pub(crate) fn octets(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.size()?;
        self.take(length)
    }

    /// Reads the elements of an array until its end.
    pub(crate) fn array(
        &mut self,
        alignment: usize,
        mut read: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let length = self.size()?;
        self.align(alignment)?;
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        while self.at < end {
            read(self)?;
        }
        if self.at == end {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

/// The length of what we write ourselves.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("invariant: what is sent is short")
}

#[cfg(test)]
pub(super) mod tests;
