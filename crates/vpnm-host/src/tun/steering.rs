//! A program for the kernel that puts each packet into the queue that it belongs to.
//!
//! It computes [`vpnm_wire::Affinity`], which says why, for all packets but rare ones:
//! those with IPv6 extension headers and ICMP errors get into any queue, whose reader
//! hands them on.

use std::collections::BTreeMap;

use vpnm_wire::{AFFINITY_MULTIPLIER, IPV6_HEADER, protocol};

/// One instruction as the kernel reads it: `struct bpf_insn` (include/uapi/linux/bpf.h).
pub(crate) type Instruction = [u8; 8];

/// Registers: the result of a load, the packet, the state, its multiplier, where the
/// transport header begins.
const LOADED: u8 = 0;
const ARGUMENT: u8 = 1;
const PACKET: u8 = 6;
const STATE: u8 = 7;
const MULTIPLIER: u8 = 8;
const TRANSPORT: u8 = 9;

/// Operations on 64 bits, with a constant.
const SHIFT_LEFT: u8 = 0x67;
const SHIFT_RIGHT: u8 = 0x77;
const AND: u8 = 0x57;
const SET: u8 = 0xb7;
/// With a register.
const COPY: u8 = 0xbf;
const XOR: u8 = 0xaf;
const MULTIPLY: u8 = 0x2f;
/// A constant of 64 bits, in two instructions.
const SET_WIDE: u8 = 0x18;
/// Jumps.
const IF_EQUAL: u8 = 0x15;
const IF_NOT: u8 = 0x55;
const EXIT: u8 = 0x95;
const ALWAYS: u8 = 0x05;
/// Loads in network byte order; beyond the packet's end they end the program with 0.
const WORD: u8 = 0x20;
const HALF: u8 = 0x28;
const BYTE: u8 = 0x30;
/// Added to a load: from where the transport header begins.
const INDIRECT: u8 = 0x20;

/// The header of the parts of an IPv6 packet.
const FRAGMENT: u8 = 44;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Version6,
    Part4,
    Connection6,
    Ports,
    SourcePort,
    Message,
    Last,
    End,
}

#[derive(Debug, Default)]
struct Program {
    code: Vec<Instruction>,
    jumps: Vec<(usize, Label)>,
    labels: BTreeMap<Label, usize>,
}

/// The program; what it returns is divided by the number of queues.
pub(crate) fn program() -> Vec<Instruction> {
    let mut program = Program::default();
    program.begin();
    program.version_4();
    program.version_6();
    program.transport();
    program.finish()
}

impl Program {
    fn begin(&mut self) {
        let [low, high] = [AFFINITY_MULTIPLIER, AFFINITY_MULTIPLIER >> 32].map(lower_half);
        self.push(COPY, PACKET, ARGUMENT, 0);
        self.push(SET_WIDE, MULTIPLIER, 0, low);
        self.push(0, 0, 0, high);
        self.push(SET, STATE, 0, 0);
        self.load(BYTE, 0);
        self.push(SHIFT_RIGHT, LOADED, 0, 4);
        self.jump(IF_EQUAL, 6, Label::Version6);
        self.jump(IF_NOT, 4, Label::End);
    }

    fn version_4(&mut self) {
        self.mix_words(12..16);
        self.load(HALF, 6);
        self.push(AND, LOADED, 0, 0x3fff);
        self.jump(IF_NOT, 0, Label::Part4);
        self.load(BYTE, 0);
        self.push(AND, LOADED, 0, 0xf);
        self.push(SHIFT_LEFT, LOADED, 0, 2);
        self.push(COPY, TRANSPORT, LOADED, 0);
        self.load(BYTE, 9);
        self.jump(IF_EQUAL, protocol::UDP, Label::SourcePort);
        self.jump(IF_EQUAL, protocol::ICMP, Label::Message);
        self.jump(IF_NOT, protocol::TCP, Label::End);
        self.mix_words(16..20);
        self.jump(ALWAYS, 0, Label::Ports);
        self.label(Label::Part4);
        self.mix_words(16..20);
        self.load(HALF, 4);
        self.jump(ALWAYS, 0, Label::Last);
    }

    fn version_6(&mut self) {
        self.label(Label::Version6);
        self.mix_words(8..24);
        let header = i32::try_from(IPV6_HEADER).unwrap_or(0);
        self.push(SET, TRANSPORT, 0, header);
        self.load(BYTE, 6);
        self.jump(IF_EQUAL, protocol::UDP, Label::SourcePort);
        self.jump(IF_EQUAL, protocol::ICMPV6, Label::Message);
        self.jump(IF_EQUAL, protocol::TCP, Label::Connection6);
        self.jump(IF_NOT, FRAGMENT, Label::End);
        self.mix_words(24..40);
        self.load(WORD, 44);
        self.jump(ALWAYS, 0, Label::Last);
        self.label(Label::Connection6);
        self.mix_words(24..40);
    }

    /// Mixes the last word in, and returns the upper half.
    fn transport(&mut self) {
        self.label(Label::Ports);
        self.push(WORD + INDIRECT, 0, TRANSPORT, 0);
        self.jump(ALWAYS, 0, Label::Last);
        self.label(Label::SourcePort);
        self.push(HALF + INDIRECT, 0, TRANSPORT, 0);
        self.jump(ALWAYS, 0, Label::Last);
        self.label(Label::Message);
        self.push(HALF + INDIRECT, 0, TRANSPORT, 4);
        self.label(Label::Last);
        self.mix();
        self.label(Label::End);
        self.push(COPY, LOADED, STATE, 0);
        self.push(SHIFT_RIGHT, LOADED, 0, 32);
        self.push(EXIT, 0, 0, 0);
    }

    fn mix_words(&mut self, bytes: std::ops::Range<i32>) {
        for at in bytes.step_by(4) {
            self.load(WORD, at);
            self.mix();
        }
    }

    fn mix(&mut self) {
        self.push(XOR, STATE, LOADED, 0);
        self.push(MULTIPLY, STATE, MULTIPLIER, 0);
    }

    fn load(&mut self, size: u8, at: i32) {
        self.push(size, 0, 0, at);
    }

    fn push(&mut self, code: u8, to: u8, from: u8, value: i32) {
        let registers = if cfg!(target_endian = "big") {
            to << 4 | from
        } else {
            from << 4 | to
        };
        let [v0, v1, v2, v3] = value.to_ne_bytes();
        self.code.push([code, registers, 0, 0, v0, v1, v2, v3]);
    }

    fn jump(&mut self, code: u8, value: u8, to: Label) {
        self.jumps.push((self.code.len(), to));
        self.push(code, LOADED, 0, value.into());
    }

    fn label(&mut self, label: Label) {
        self.labels.insert(label, self.code.len());
    }

    fn finish(mut self) -> Vec<Instruction> {
        for (at, label) in self.jumps {
            let target = self.labels.get(&label).copied().unwrap_or(at + 1);
            let distance = i16::try_from(target - at - 1).unwrap_or(0).to_ne_bytes();
            if let Some([_, _, d0, d1, ..]) = self.code.get_mut(at) {
                [*d0, *d1] = distance;
            }
        }
        self.code
    }
}

fn lower_half(value: u64) -> i32 {
    let [.., b0, b1, b2, b3] = value.to_be_bytes();
    i32::from_be_bytes([b0, b1, b2, b3])
}
