//! What is to be measured.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// How a run is made.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Rounds; the median over them is reported.
    pub(crate) rounds: usize,
    /// How long each load runs.
    pub(crate) each: Duration,
    /// One JSON object instead of a table.
    pub(crate) json: bool,
    /// The `vpnm` binary.
    pub(crate) ours: PathBuf,
    /// Where peers are kept between runs.
    pub(crate) peers: PathBuf,
    /// A hev-socks5-tunnel binary, if there is one.
    pub(crate) hev: Option<PathBuf>,
    /// A tun2proxy binary, if there is one.
    pub(crate) tun2proxy: Option<PathBuf>,
}

/// Reads `--rounds N --seconds S --json --vpnm PATH --peers DIR [--hev PATH] [--tun2proxy PATH]`.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Options> {
    let mut options = Options {
        rounds: 3,
        each: Duration::from_secs(2),
        json: false,
        ours: PathBuf::from("target/release/vpnm"),
        peers: PathBuf::from("target/peers"),
        hev: None,
        tun2proxy: None,
    };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let name = argument.to_string_lossy().into_owned();
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{name} needs a value"))
        };
        match name.as_str() {
            "--json" => options.json = true,
            "--rounds" => options.rounds = number(&value()?)?.max(1),
            "--seconds" => options.each = Duration::from_secs(u64::try_from(number(&value()?)?)?),
            "--vpnm" => options.ours = value()?.into(),
            "--peers" => options.peers = value()?.into(),
            "--hev" => options.hev = Some(value()?.into()),
            "--tun2proxy" => options.tun2proxy = Some(value()?.into()),
            _ => bail!("unknown argument {name}"),
        }
    }
    Ok(options)
}

fn number(text: &OsString) -> anyhow::Result<usize> {
    let text = text.to_string_lossy();
    text.parse()
        .with_context(|| format!("{text} is not a number"))
}
