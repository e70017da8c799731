//! The frameworks, each with its server and its client.

pub mod ours;
pub mod python;
pub mod tonic;
pub mod zlink;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Result;

/// A framework's client.
pub trait Client: Sized + 'static {
    /// Connects to the server at `path`.
    fn open(path: &Path) -> impl Future<Output = Result<Self>>;

    /// Calls `echo`; how many bytes came back.
    fn echo(&mut self, text: &str) -> impl Future<Output = Result<usize>>;

    /// Calls `ticks` and takes the whole stream; how many came.
    fn ticks(&mut self, count: u32) -> impl Future<Output = Result<u32>>;
}

/// The longest message that the servers must take: a text of 1 MiB and what is
/// around it.
const LONGEST: usize = 4 << 20;

/// The user that this process runs as, the only one served beside root.
fn own_uid() -> std::io::Result<u32> {
    Ok(std::fs::metadata("/proc/self")?.uid())
}
