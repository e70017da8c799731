//! Capture files in the classic format (draft-ietf-opsawg-pcap), for
//! people who want to look with their own tools.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;

/// A capture file being written.
#[derive(Debug)]
pub(super) struct Recording {
    file: BufWriter<File>,
}

impl Recording {
    pub(super) fn create(path: &Path, longest: u32) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&MAGIC.to_ne_bytes())?;
        file.write_all(&[2_u16.to_ne_bytes(), 4_u16.to_ne_bytes()].concat())?;
        for word in [0, 0, longest, ETHERNET] {
            file.write_all(&word.to_ne_bytes())?;
        }
        Ok(Self { file })
    }

    /// Appends the captured part of a frame that was `length` bytes long.
    pub(super) fn write(&mut self, at: Duration, captured: &[u8], length: usize) -> io::Result<()> {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let sizes = [captured.len(), length].map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        for word in [number(at.as_secs()), at.subsec_micros(), sizes[0], sizes[1]] {
            self.file.write_all(&word.to_ne_bytes())?;
        }
        self.file.write_all(captured)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
