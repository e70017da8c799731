//! A server with one service in zlink, whose size is looked at too.

use std::path::Path;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("usage: serve-zlink SOCKET")?;
    anyd_bench::frameworks::zlink::serve(Path::new(&path))
}
