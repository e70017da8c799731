//! The stack machine that a pickle is a program for: only those instructions
//! that make plain data.

use super::Unreadable;

/// A place in the arena.
pub(super) type Id = u32;

/// A value, whose parts are elsewhere in the arena: a list may be part of
/// several others, and of itself.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Above the range of `Int`.
    Large(u64),
    Float(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Lists, tuples and sets.
    Items(Vec<Id>),
    Dict(Vec<(Id, Id)>),
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    Mark,
    Value(Id),
}

/// The most values of a pickle, and the most places of its memo.
pub(super) const MOST: usize = 100_000;

/// What a pickle has made.
#[derive(Debug)]
pub(super) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
}

impl<'a> Arena<'a> {
    pub(super) fn node(&self, id: Id) -> Result<&Node<'a>, Unreadable> {
        usize::try_from(id)
            .ok()
            .and_then(|at| self.nodes.get(at))
            .ok_or(Unreadable::Malformed)
    }

    fn node_mut(&mut self, id: Id) -> Result<&mut Node<'a>, Unreadable> {
        usize::try_from(id)
            .ok()
            .and_then(|at| self.nodes.get_mut(at))
            .ok_or(Unreadable::Malformed)
    }
}

/// Runs a pickle: the arena, and where its result is in it.
pub(super) fn run(pickle: &[u8]) -> Result<(Arena<'_>, Id), Unreadable> {
    let mut machine = Machine {
        input: pickle,
        arena: Arena { nodes: Vec::new() },
        stack: Vec::new(),
        memo: Vec::new(),
    };
    loop {
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let result = machine.pop()?;
            return Ok((machine.arena, result));
        }
        machine.step(opcode)?;
    }
}

struct Machine<'a> {
    input: &'a [u8],
    arena: Arena<'a>,
    stack: Vec<Slot>,
    memo: Vec<Option<Id>>,
}

impl<'a> Machine<'a> {
    fn step(&mut self, opcode: u8) -> Result<(), Unreadable> {
        match opcode {
            0x80 => self.bytes(1).map(drop), // PROTO
            0x95 => self.bytes(8).map(drop), // FRAME
            b'(' => self.place(Slot::Mark),
            b'0' => self.stack.pop().map(drop).ok_or(Unreadable::Malformed),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' | b'M' | b'J' | 0x8a | b'G' => self.number(opcode),
            0x8c | b'X' | 0x8d => self.text(opcode),
            b'C' | b'B' | 0x8e | 0x96 => self.binary(opcode),
            b']' | 0x8f | b')' => self.push(Node::Items(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            b't' | 0x91 => self.marked().and_then(|ids| self.push(Node::Items(ids))),
            0x85..=0x87 => self.tuple(usize::from(opcode - 0x84)),
            b'a' => self.tail(1).and_then(|ids| self.extend(&ids)),
            b'e' | 0x90 => self.marked().and_then(|ids| self.extend(&ids)),
            b's' => self.tail(2).and_then(|ids| self.insert(&ids)),
            b'u' => self.marked().and_then(|ids| self.insert(&ids)),
            0x94 | b'q' | b'r' => self.memoize(opcode),
            b'h' | b'j' => self.recall(opcode),
            other => Err(Unreadable::Opcode(other)),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self
            .input
            .split_at_checked(count)
            .ok_or(Unreadable::Truncated)?;
        self.input = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self
            .input
            .split_first_chunk()
            .ok_or(Unreadable::Truncated)?;
        self.input = rest;
        Ok(*taken)
    }

    fn place(&mut self, slot: Slot) -> Result<(), Unreadable> {
        if self.stack.len() >= MOST {
            return Err(Unreadable::TooMany);
        }
        self.stack.push(slot);
        Ok(())
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), Unreadable> {
        if self.arena.nodes.len() >= MOST {
            return Err(Unreadable::TooMany);
        }
        let id = Id::try_from(self.arena.nodes.len()).map_err(|_| Unreadable::TooMany)?;
        self.arena.nodes.push(node);
        self.place(Slot::Value(id))
    }

    fn pop(&mut self) -> Result<Id, Unreadable> {
        match self.stack.pop() {
            Some(Slot::Value(id)) => Ok(id),
            Some(Slot::Mark) | None => Err(Unreadable::Malformed),
        }
    }

    fn top(&self) -> Result<Id, Unreadable> {
        match self.stack.last() {
            Some(Slot::Value(id)) => Ok(*id),
            Some(Slot::Mark) | None => Err(Unreadable::Malformed),
        }
    }

    /// Takes the values above the last mark, and the mark.
    fn marked(&mut self) -> Result<Vec<Id>, Unreadable> {
        let mark = self
            .stack
            .iter()
            .rposition(|slot| matches!(slot, Slot::Mark))
            .ok_or(Unreadable::Malformed)?;
        let taken = self.stack.split_off(mark);
        Ok(taken.into_iter().filter_map(Slot::value).collect())
    }

    /// Takes the last `count` values.
    fn tail(&mut self, count: usize) -> Result<Vec<Id>, Unreadable> {
        let mut ids = Vec::with_capacity(count);
        for _ in 0..count {
            ids.push(self.pop()?);
        }
        ids.reverse();
        Ok(ids)
    }

    fn number(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let node = match opcode {
            b'K' => Node::Int(self.byte()?.into()),
            b'M' => Node::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Node::Int(i32::from_le_bytes(self.array()?).into()),
            b'G' => Node::Float(f64::from_be_bytes(self.array()?)),
            _ => {
                let count = self.byte()?;
                long(self.bytes(count.into())?)?
            }
        };
        self.push(node)
    }

    /// The bytes of a text or of bytes: their number is in 1, 4 or 8 bytes.
    fn counted(&mut self, width: usize) -> Result<&'a [u8], Unreadable> {
        let mut number = [0; 8];
        for (place, byte) in number.iter_mut().zip(self.bytes(width)?) {
            *place = *byte;
        }
        let count = usize::try_from(u64::from_le_bytes(number));
        self.bytes(count.map_err(|_| Unreadable::Truncated)?)
    }

    fn text(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let width = match opcode {
            0x8c => 1,
            b'X' => 4,
            _ => 8,
        };
        let text = std::str::from_utf8(self.counted(width)?).map_err(|_| Unreadable::Text)?;
        self.push(Node::Text(text))
    }

    fn binary(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let width = match opcode {
            b'C' => 1,
            b'B' => 4,
            _ => 8,
        };
        let bytes = self.counted(width)?;
        self.push(Node::Bytes(bytes))
    }

    fn tuple(&mut self, count: usize) -> Result<(), Unreadable> {
        let ids = self.tail(count)?;
        self.push(Node::Items(ids))
    }

    fn extend(&mut self, ids: &[Id]) -> Result<(), Unreadable> {
        let list = self.top()?;
        let Node::Items(items) = self.arena.node_mut(list)? else {
            return Err(Unreadable::Malformed);
        };
        items.extend_from_slice(ids);
        Ok(())
    }

    fn insert(&mut self, ids: &[Id]) -> Result<(), Unreadable> {
        let dict = self.top()?;
        let (pairs, rest) = ids.as_chunks::<2>();
        let (Node::Dict(entries), []) = (self.arena.node_mut(dict)?, rest) else {
            return Err(Unreadable::Malformed);
        };
        entries.extend(pairs.iter().map(|[key, value]| (*key, *value)));
        Ok(())
    }

    fn memo_place(&mut self, opcode: u8) -> Result<usize, Unreadable> {
        match opcode {
            0x94 => Ok(self.memo.len()),
            b'q' | b'h' => Ok(self.byte()?.into()),
            _ => {
                let place = u32::from_le_bytes(self.array()?);
                usize::try_from(place).map_err(|_| Unreadable::TooMany)
            }
        }
    }

    fn memoize(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let place = self.memo_place(opcode)?;
        if place >= MOST {
            return Err(Unreadable::TooMany);
        }
        let id = self.top()?;
        if self.memo.len() <= place {
            self.memo.resize(place + 1, None);
        }
        if let Some(known) = self.memo.get_mut(place) {
            *known = Some(id);
        }
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), Unreadable> {
        let place = self.memo_place(opcode)?;
        let known = self.memo.get(place).copied().flatten();
        self.place(Slot::Value(known.ok_or(Unreadable::Malformed)?))
    }
}

impl Slot {
    fn value(self) -> Option<Id> {
        match self {
            Self::Mark => None,
            Self::Value(id) => Some(id),
        }
    }
}

/// A whole number in as many bytes as it needs, the least significant first.
fn long(bytes: &[u8]) -> Result<Node<'static>, Unreadable> {
    if bytes.len() > 9 {
        return Err(Unreadable::Number);
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    for (place, byte) in wide.iter_mut().zip(bytes) {
        *place = *byte;
    }
    let number = i128::from_le_bytes(wide);
    i64::try_from(number)
        .map(Node::Int)
        .or_else(|_| u64::try_from(number).map(Node::Large))
        .map_err(|_| Unreadable::Number)
}
