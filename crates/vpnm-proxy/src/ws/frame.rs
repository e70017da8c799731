//! Frames (RFC 6455 section 5).

use std::ops::Range;

/// The longest header: two bytes, eight of length, four of mask.
pub const MAX_HEADER: usize = 14;
/// The longest payload of a control frame (section 5.5).
pub const MAX_CONTROL: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// What a frame is (section 11.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// A message of text.
    Text,
    /// A message of bytes.
    Binary,
    /// The end of the connection.
    Close,
    /// A request for a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

/// Which end of the connection one is: a client masks, a server does not (section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that asked for the WebSocket.
    Client,
    /// The one that was asked.
    Server,
}

/// What stands in front of a frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// What the payload is masked with, if it is.
    pub mask: Option<[u8; 4]>,
    /// The length of the payload in bytes.
    pub length: u64,
}

/// Why bytes are no frame that may stand here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A reserved bit is set, though no extension was agreed on.
    #[error("a reserved bit is set")]
    Reserved,
    /// The opcode means nothing.
    #[error("the opcode {0} is unknown")]
    Opcode(u8),
    /// The length is not written in the shortest way, or has its highest bit set.
    #[error("the length is written in a wrong way")]
    Length,
    /// A control frame is longer than 125 bytes or cut into fragments.
    #[error("a control frame is too long or fragmented")]
    Control,
    /// A frame of a server is masked, or one of a client is not.
    #[error("the frame is masked where it must not be, or not masked where it must be")]
    Mask,
    /// A continuation of nothing, or a new message inside another.
    #[error("the fragments are out of order")]
    Order,
}

/// What a frame brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Bytes of a message: this range of the input, unmasked in place.
    Data(Range<usize>),
    /// A ping, to be answered by a pong with the same payload.
    Ping(Vec<u8>),
    /// The other side closes, with this status code if it gives one.
    Close(Option<u16>),
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn from_code(code: u8) -> Result<Self, FrameError> {
        Ok(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => return Err(FrameError::Opcode(other)),
        })
    }

    const fn is_control(self) -> bool {
        self.code() >= 8
    }
}

impl Header {
    /// Appends the header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        out.push(self.opcode.code() | if self.fin { FIN } else { 0 });
        match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short @ 0..=125), _) => out.push(masked | short),
            (_, Ok(middle)) => {
                out.push(masked | 126);
                out.extend(middle.to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend(self.length.to_be_bytes());
            }
        }
        out.extend(
            self.mask
                .unwrap_or_default()
                .iter()
                .take(if masked == 0 { 0 } else { 4 }),
        );
    }

    /// Reads a header and how long it is; nothing while it is not complete.
    ///
    /// # Errors
    /// [`FrameError`] for what can be seen from the header alone.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk::<2>() else {
            return Ok(None);
        };
        if first & RESERVED != 0 {
            return Err(FrameError::Reserved);
        }
        let (fin, opcode) = (first & FIN != 0, Opcode::from_code(first & 0x0f)?);
        let short = second & !MASKED;
        if opcode.is_control() && (!fin || short > 125) {
            return Err(FrameError::Control);
        }
        let Some((length, rest)) = length(short, rest)? else {
            return Ok(None);
        };
        let (mask, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            match rest.split_first_chunk::<4>() {
                Some((mask, rest)) => (Some(*mask), rest),
                None => return Ok(None),
            }
        };
        let header = Self {
            fin,
            opcode,
            mask,
            length,
        };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

/// Reads what follows the seven bits of length (section 5.2).
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, FrameError> {
    let (length, least, rest) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((length, rest)) => (u16::from_be_bytes(*length).into(), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((length, rest)) => (u64::from_be_bytes(*length), 1 << 16, rest),
            None => return Ok(None),
        },
        short => (short.into(), 0, rest),
    };
    if length < least || length > i64::MAX.unsigned_abs() {
        return Err(FrameError::Length);
    }
    Ok(Some((length, rest)))
}

/// Masks or unmasks a payload, of which the first byte is number `offset` of its frame
/// (section 5.3).
pub fn apply_mask(mask: [u8; 4], offset: u64, bytes: &mut [u8]) {
    let turn = u32::try_from(offset % 4).unwrap_or(0) * 8;
    let turned = u32::from_le_bytes(mask).rotate_right(turn);
    let wide = u64::from(turned) << 32 | u64::from(turned);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(wide.to_le_bytes()) {
        *byte ^= key;
    }
}

/// Appends a whole message of bytes; a client gives a fresh random mask.
pub fn encode_message(payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    encode_frame(Opcode::Binary, payload, mask, out);
}

/// Appends the answer to a ping.
pub fn encode_pong(payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    encode_frame(Opcode::Pong, payload, mask, out);
}

/// Appends the end of the connection, with a status code (section 7.4).
pub fn encode_close(code: u16, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    encode_frame(Opcode::Close, &code.to_be_bytes(), mask, out);
}

fn encode_frame(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let header = Header {
        fin: true,
        opcode,
        mask,
        length: u64::try_from(payload.len()).unwrap_or(u64::MAX),
    };
    header.encode(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(mask), Some(payload)) = (mask, out.get_mut(start..)) {
        apply_mask(mask, 0, payload);
    }
}

/// Takes frames apart as they come in, in pieces of any size.
#[derive(Debug)]
pub struct Receiver {
    role: Role,
    /// Whether a fragmented message is under way.
    in_message: bool,
    /// The data frame under way: what is left of it, its mask, and how much of it is past.
    frame: Option<(u64, Option<[u8; 4]>, u64)>,
}

impl Receiver {
    /// For the end of the connection that one is.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self {
            role,
            in_message: false,
            frame: None,
        }
    }

    /// Whether no message is under way: where the connection may end.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        self.frame.is_none() && !self.in_message
    }

    /// Takes the next step: how many bytes of `input` are used up, and what they bring.
    ///
    /// Zero bytes and no event mean that more input is needed. At most `limit`
    /// bytes of data come at once; `limit` must not be 0. Bytes that are used up
    /// must not be offered again.
    ///
    /// # Errors
    /// [`FrameError`], after which the connection is of no use.
    pub fn handle(
        &mut self,
        input: &mut [u8],
        limit: usize,
    ) -> Result<(usize, Option<Event>), FrameError> {
        if let Some((left, mask, past)) = &mut self.frame {
            let left_here = usize::try_from(*left).unwrap_or(usize::MAX);
            let count = left_here.min(limit).min(input.len());
            if let (Some(mask), Some(data)) = (*mask, input.get_mut(..count)) {
                apply_mask(mask, *past, data);
            }
            let counted = u64::try_from(count).unwrap_or(u64::MAX);
            *left = left.saturating_sub(counted);
            *past = past.saturating_add(counted);
            if *left == 0 {
                self.frame = None;
            }
            return Ok((count, (count > 0).then_some(Event::Data(0..count))));
        }
        let Some((header, length)) = Header::decode(input)? else {
            return Ok((0, None));
        };
        if header.mask.is_some() != (self.role == Role::Server) {
            return Err(FrameError::Mask);
        }
        if header.opcode.is_control() {
            return Ok(control(&header, length, input));
        }
        let continues = header.opcode == Opcode::Continuation;
        if continues != self.in_message {
            return Err(FrameError::Order);
        }
        self.in_message = !header.fin;
        if header.length > 0 {
            self.frame = Some((header.length, header.mask, 0));
        }
        Ok((length, None))
    }
}

/// Takes a control frame once all of it is there; it has at most 125 bytes.
fn control(header: &Header, at: usize, input: &[u8]) -> (usize, Option<Event>) {
    let end = at + usize::try_from(header.length).unwrap_or(usize::MAX - at);
    let Some(payload) = input.get(at..end) else {
        return (0, None);
    };
    let mut payload = payload.to_vec();
    apply_mask(header.mask.unwrap_or_default(), 0, &mut payload);
    let event = match header.opcode {
        Opcode::Ping => Some(Event::Ping(payload)),
        Opcode::Close => Some(Event::Close(
            payload
                .first_chunk::<2>()
                .map(|code| u16::from_be_bytes(*code)),
        )),
        Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => None,
    };
    (end, event)
}

#[cfg(test)]
mod tests;
