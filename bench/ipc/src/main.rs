//! What a call costs in anyd, beside its peers.
//!
//! ```text
//! cargo xtask bench ipc [--json] [--rounds N]
//! ```
//!
//! Every server and every client is a process of its own on a Unix socket. In
//! every round each framework has its turn; the medians of all rounds are
//! shown. The Python package is used as it is on PyPI, but for one line
//! without which it cannot serve Unix sockets at all.

mod report;
mod run;

use std::path::Path;

use anyd_bench::frameworks::{ours, tonic, zlink};
use anyd_bench::load::{Figures, measure};
use anyhow::{Context as _, Result, bail};

const USAGE: &str = "usage: anyd-bench [--json] [--rounds N]";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["load", framework, path] = words.as_slice() {
        let figures = load(framework, Path::new(path))?;
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    let (mut json, mut rounds) = (false, 5);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "--json" => json = true,
            "--rounds" => {
                let number = words.next().context("--rounds needs a number")?;
                rounds = number.parse().context("--rounds")?;
            }
            other => bail!("there is no option \"{other}\"\n{USAGE}"),
        }
    }
    let measured = run::run(rounds, |progress| {
        if !json {
            eprintln!("{progress}");
        }
    })?;
    if json {
        println!("{}", report::json(&measured));
    } else {
        print!("{}", report::table(&measured));
    }
    Ok(())
}

/// The client's part of a round.
fn load(framework: &str, path: &Path) -> Result<Figures> {
    match framework {
        "anyd" => measure::<ours::Client>(path),
        "zlink" => measure::<zlink::Client>(path),
        "tonic" => measure::<tonic::Client>(path),
        other => bail!("there is no framework \"{other}\""),
    }
}
