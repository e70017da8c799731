//! As much of an ELF file as tells whether a binary is static and hardened.
//!
//! 64-bit, little-endian; names and numbers as in the System V ABI, chapters
//! "Program Header" and "Dynamic Section".

use anyhow::{Context as _, Result, bail, ensure};

const ET_DYN: u16 = 3;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const PF_X: u32 = 1;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_RPATH: u64 = 15;
const DT_TEXTREL: u64 = 22;
const DT_FLAGS: u64 = 30;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_BIND_NOW: u64 = 8;
const DF_1_NOW: u64 = 1;

/// What was read of the file.
#[derive(Debug)]
pub(crate) struct Elf {
    kind: u16,
    segments: Vec<Segment>,
    dynamic: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

impl Elf {
    /// Reads the headers.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(
            bytes.get(..6) == Some(b"\x7fELF\x02\x01"),
            "no 64-bit little-endian ELF file"
        );
        let table = u64_at(bytes, 32)?;
        let size = u64::from(u16_at(bytes, 54)?);
        let count = u64::from(u16_at(bytes, 56)?);
        let segments = (0..count)
            .map(|index| Segment::parse(bytes, table + index * size))
            .collect::<Result<Vec<_>>>()?;
        let mut dynamic = Vec::new();
        for segment in segments.iter().filter(|one| one.kind == PT_DYNAMIC) {
            for index in 0..segment.size / 16 {
                let at = segment.offset + index * 16;
                let tag = u64_at(bytes, at)?;
                if tag == DT_NULL {
                    break;
                }
                dynamic.push((tag, u64_at(bytes, at + 8)?));
            }
        }
        Ok(Self {
            kind: u16_at(bytes, 16)?,
            segments,
            dynamic,
        })
    }

    /// What keeps the file from being a static, hardened binary.
    pub(crate) fn faults(&self) -> Vec<&'static str> {
        let tag = |wanted: u64| self.dynamic.iter().any(|(tag, _)| *tag == wanted);
        let flag = |wanted: u64, bit: u64| {
            self.dynamic
                .iter()
                .any(|(tag, value)| *tag == wanted && value & bit != 0)
        };
        let stack = self.segment(PT_GNU_STACK);
        let checks = [
            (self.kind != ET_DYN, "not position-independent"),
            (self.segment(PT_INTERP).is_some(), "needs a dynamic linker"),
            (tag(DT_NEEDED), "needs shared libraries"),
            (tag(DT_RPATH) || tag(DT_RUNPATH), "has a library path"),
            (tag(DT_TEXTREL), "relocates its code"),
            (
                self.segment(PT_GNU_RELRO).is_none(),
                "leaves its relocations writable",
            ),
            (
                !flag(DT_FLAGS, DF_BIND_NOW) && !flag(DT_FLAGS_1, DF_1_NOW),
                "binds lazily",
            ),
            (
                stack.is_none_or(|segment| segment.flags & PF_X != 0),
                "has an executable stack",
            ),
        ];
        checks
            .into_iter()
            .filter(|(is_fault, _)| *is_fault)
            .map(|(_, text)| text)
            .collect()
    }

    fn segment(&self, kind: u32) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }
}

impl Segment {
    fn parse(bytes: &[u8], at: u64) -> Result<Self> {
        Ok(Self {
            kind: u32_at(bytes, at)?,
            flags: u32_at(bytes, at + 4)?,
            offset: u64_at(bytes, at + 8)?,
            size: u64_at(bytes, at + 32)?,
        })
    }
}

fn field<const N: usize>(bytes: &[u8], at: u64) -> Result<[u8; N]> {
    let start = usize::try_from(at).context("an offset of the file")?;
    let Some(field) = bytes.get(start..).and_then(|rest| rest.first_chunk()) else {
        bail!("the file ends before offset {at}");
    };
    Ok(*field)
}

fn u16_at(bytes: &[u8], at: u64) -> Result<u16> {
    field(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: u64) -> Result<u32> {
    field(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: u64) -> Result<u64> {
    field(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one header and the given segments and dynamic entries.
    fn file(kind: u16, segments: &[(u32, u32)], dynamic: &[(u64, u64)]) -> Vec<u8> {
        let count = u16::try_from(segments.len() + 1).unwrap();
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(64, 0);
        bytes[16..18].copy_from_slice(&kind.to_le_bytes());
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&count.to_le_bytes());
        let data = 64 + 56 * u64::from(count);
        let size = 16 * (dynamic.len() as u64 + 1);
        let rows = segments
            .iter()
            .map(|&(kind, flags)| (kind, flags, 0, 0))
            .chain([(PT_DYNAMIC, 6, data, size)]);
        for (kind, flags, offset, size) in rows {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            for value in [offset, 0, 0, size, size, 0u64] {
                bytes.extend(value.to_le_bytes());
            }
        }
        for (tag, value) in dynamic.iter().chain([&(DT_NULL, 0)]) {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_static_hardened_file_has_no_faults() {
        let bytes = file(
            ET_DYN,
            &[(PT_GNU_STACK, 6), (PT_GNU_RELRO, 4)],
            &[(DT_FLAGS_1, DF_1_NOW)],
        );
        assert!(Elf::parse(&bytes).unwrap().faults().is_empty());
    }

    #[test]
    fn every_weakness_is_named() {
        let bytes = file(
            2,
            &[(PT_INTERP, 4), (PT_GNU_STACK, 7)],
            &[(DT_NEEDED, 1), (DT_RUNPATH, 1), (DT_TEXTREL, 0)],
        );
        assert_eq!(Elf::parse(&bytes).unwrap().faults().len(), 8);
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let bytes = file(ET_DYN, &[], &[]);
        for length in [0, 6, 40, 80, bytes.len() - 9] {
            assert!(Elf::parse(&bytes[..length]).is_err(), "{length}");
        }
    }
}
