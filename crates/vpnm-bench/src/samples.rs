//! What was measured so far.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::metric::{Load, Metric};
use crate::statistics::median;

/// The engine under test.
pub(crate) const OURS: &str = "vpnm";
/// No engine at all, and the least that one can take: neither is a peer.
pub(crate) const DIRECT: &str = "direct";
pub(crate) const BARE: &str = "bare";

/// Samples by metric and engine, and what could not be measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Samples {
    values: BTreeMap<Metric, BTreeMap<String, Vec<f64>>>,
    failures: BTreeMap<Load, BTreeMap<String, String>>,
}

impl Samples {
    /// What an earlier run left in a file; nothing if there is none.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} holds no samples", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Leaves everything for a later run.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, serde_json::to_vec(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// One more sample.
    pub(crate) fn add(&mut self, metric: Metric, engine: &str, value: f64) {
        let of_engine = self.values.entry(metric).or_default();
        of_engine.entry(engine.to_owned()).or_default().push(value);
    }

    /// A load could not be measured in this round.
    pub(crate) fn fail(&mut self, load: Load, engine: &str, why: String) {
        let of_load = self.failures.entry(load).or_default();
        of_load.insert(engine.to_owned(), why);
    }

    /// The middle of all rounds.
    pub(crate) fn median(&self, metric: Metric, engine: &str) -> Option<f64> {
        let values = self.values.get(&metric)?.get(engine)?;
        Some(median(values))
    }

    /// Why there is nothing of an engine under a load.
    pub(crate) fn failure(&self, load: Load, engine: &str) -> Option<&str> {
        let why = self.failures.get(&load)?.get(engine)?;
        Some(why)
    }

    /// Who could not be measured under which load, and why.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (Load, &str, &str)> {
        self.failures.iter().flat_map(|(load, engines)| {
            engines
                .iter()
                .map(|(engine, why)| (*load, engine.as_str(), why.as_str()))
        })
    }

    /// Who was measured.
    pub(crate) fn engines(&self, metric: Metric) -> impl Iterator<Item = &str> {
        let of_metric = self.values.get(&metric).into_iter();
        of_metric.flat_map(|engines| engines.keys().map(String::as_str))
    }

    /// Who was measured in anything, the engine under test first, what is no peer last.
    pub(crate) fn all_engines(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .values
            .values()
            .flat_map(|engines| engines.keys().map(String::as_str))
            .collect();
        names.sort_by_key(|name| match *name {
            OURS => (0, *name),
            BARE => (2, *name),
            DIRECT => (3, *name),
            _ => (1, *name),
        });
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_where_another_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("samples");
        let mut samples = Samples::load(&path).unwrap();
        samples.add(Metric::Up, "vpnm", 1.0);
        samples.fail(Load::Flows, "hev", "stuck".to_owned());
        samples.save(&path).unwrap();
        let mut samples = Samples::load(&path).unwrap();
        samples.add(Metric::Up, "vpnm", 3.0);
        samples.add(Metric::Up, "vpnm", 2.0);
        for engine in [DIRECT, BARE, "hev"] {
            samples.add(Metric::Ping50, engine, 1.0);
        }
        assert_eq!(samples.median(Metric::Up, "vpnm"), Some(2.0));
        assert_eq!(samples.failure(Load::Flows, "hev"), Some("stuck"));
        let failures: Vec<_> = samples.failures().collect();
        assert_eq!(failures, [(Load::Flows, "hev", "stuck")]);
        assert_eq!(samples.all_engines(), ["vpnm", "hev", "bare", "direct"]);
    }
}
