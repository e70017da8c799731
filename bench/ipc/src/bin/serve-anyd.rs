//! A server with one service in anyd, whose size is looked at too.

use std::path::Path;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("usage: serve-anyd SOCKET")?;
    anyd_bench::frameworks::ours::serve(Path::new(&path))
}
