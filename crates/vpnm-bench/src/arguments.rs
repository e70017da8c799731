//! What is to be measured.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::metric::Load;

/// How a run is made.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Rounds; the median over them is reported.
    pub(crate) rounds: usize,
    /// How long each load runs.
    pub(crate) each: Duration,
    /// What programs see is compared instead of how fast it goes.
    pub(crate) cells: bool,
    /// One JSON object instead of a table.
    pub(crate) json: bool,
    /// What is run.
    pub(crate) loads: Vec<Load>,
    /// Who is measured, all if empty.
    pub(crate) engines: Vec<String>,
    /// Where samples of earlier runs are, and where this run leaves its own.
    pub(crate) samples: Option<PathBuf>,
    /// The `vpnm` binary.
    pub(crate) ours: PathBuf,
    /// Where peers are kept between runs.
    pub(crate) peers: PathBuf,
    /// A hev-socks5-tunnel binary, if there is one.
    pub(crate) hev: Option<PathBuf>,
    /// A tun2proxy binary, if it is not to be installed.
    pub(crate) tun2proxy: Option<PathBuf>,
}

const USAGE: &str = "--quick              one round of half a second each
--rounds N           rounds, of which the median is reported (3)
--seconds S          how long each load runs (2)
--only LOAD,...      memory, bulk, records, forwarded, ping, pinned, beside,
                     connections, datagrams, flows, many, flood
--cells              compare what programs see instead of how fast it goes
--engines NAME,...   vpnm, direct, bare, sing-box system, ... (all that can be had)
--samples FILE       go on with the samples in FILE, and leave them there
--hev PATH           a hev-socks5-tunnel to measure beside
--tun2proxy PATH     a tun2proxy, which is installed otherwise
--json               one object for machines";

/// Reads the arguments.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Options> {
    let mut options = Options {
        rounds: 3,
        each: Duration::from_secs(2),
        cells: false,
        json: false,
        loads: Load::ALL.to_vec(),
        engines: Vec::new(),
        samples: None,
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
            "--cells" => options.cells = true,
            "--json" => options.json = true,
            "--quick" => (options.rounds, options.each) = (1, Duration::from_millis(500)),
            "--rounds" => options.rounds = number(&value()?)?,
            "--seconds" => options.each = Duration::from_secs(u64::try_from(number(&value()?)?)?),
            "--only" => options.loads = loads(&value()?)?,
            "--engines" => options.engines = words(&value()?),
            "--samples" => options.samples = Some(value()?.into()),
            "--vpnm" => options.ours = value()?.into(),
            "--peers" => options.peers = value()?.into(),
            "--hev" => options.hev = Some(value()?.into()),
            "--tun2proxy" => options.tun2proxy = Some(value()?.into()),
            _ => bail!("unknown argument {name}\n{USAGE}"),
        }
    }
    Ok(options)
}

fn number(text: &OsString) -> anyhow::Result<usize> {
    let text = text.to_string_lossy();
    text.parse()
        .with_context(|| format!("{text} is not a number"))
}

fn words(text: &OsString) -> Vec<String> {
    let text = text.to_string_lossy();
    text.split(',').map(|word| word.trim().to_owned()).collect()
}

/// The loads that are named, in the order in which they are run.
fn loads(text: &OsString) -> anyhow::Result<Vec<Load>> {
    let mut loads: Vec<Load> = words(text)
        .iter()
        .map(|name| Load::named(name).with_context(|| format!("there is no load \"{name}\"")))
        .collect::<anyhow::Result<_>>()?;
    loads.sort_by_key(|load| Load::ALL.iter().position(|one| one == load));
    Ok(loads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> anyhow::Result<Options> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn engines_and_loads_are_named() {
        let words = [
            "--engines",
            "vpnm, bare,sing-box system",
            "--only",
            "pinned,bulk",
        ];
        let options = parsed(&words).unwrap();
        assert_eq!(options.engines, ["vpnm", "bare", "sing-box system"]);
        assert_eq!(options.loads, [Load::Bulk, Load::Pinned], "as they are run");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for words in [
            &["--only", "nothing"][..],
            &["--rounds", "x"],
            &["--only"],
            &["bare"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }
}
