//! A server with one service in tonic, whose size is looked at too.

use std::path::Path;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("usage: serve-tonic SOCKET")?;
    anyd_bench::frameworks::tonic::serve(Path::new(&path))
}
