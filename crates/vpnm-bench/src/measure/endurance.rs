//! What an engine keeps of very many connections, and of attempts that nobody completes.

use std::thread;
use std::time::Duration;

use super::{GIVE_BACK, Measurement, Subject, WARM_UP};
use crate::load::{flood, flooded, idle, many};
use crate::metric::Metric;
use crate::processor;

/// Short connections that are opened one after another, 32 at a time.
const CONNECTIONS: u32 = 100_000;
/// Who needs longer for them is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections at a time, beside such attempts.
const CLIENTS: usize = 8;
/// Attempts from addresses nobody has.
const SYNS: u32 = 1_000_000;

impl Measurement<'_> {
    pub(super) fn many(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        let Some(pid) = subject.running.pid().filter(|_| self.first) else {
            return Ok(());
        };
        idle(self.place, WARM_UP, || Ok(()))?;
        thread::sleep(GIVE_BACK);
        let before = processor::resident(pid)?;
        let descriptors = processor::descriptors(pid)?;
        let served = many(self.place, CONNECTIONS, PATIENCE)?;
        subject.note(Metric::ManyServed, served);
        thread::sleep(GIVE_BACK);
        subject.note(Metric::ManyAfter, processor::resident(pid)? / before);
        let left = processor::descriptors(pid)? - descriptors;
        subject.note(Metric::ManyDescriptors, left.max(0.0));
        Ok(())
    }

    pub(super) fn flood(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        let Some(pid) = subject.running.pid().filter(|_| self.first) else {
            return Ok(());
        };
        let mut most = 0.0_f64;
        let served = flood(self.place, SYNS, || {
            most = most.max(processor::resident(pid)?);
            Ok(())
        })?;
        subject.note(Metric::FloodMemory, most / 1024.0);
        subject.note(Metric::FloodServed, served);
        let beside = flooded(self.place, CLIENTS, self.each)?;
        subject.note(Metric::FloodConnections, beside.per_second);
        Ok(())
    }
}
