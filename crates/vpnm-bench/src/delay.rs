//! How long datagrams are under way: each says when it was sent, and both ends are threads
//! of this process.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the times in datagrams count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// More than this is no time but other content.
const LONGEST: Duration = Duration::from_secs(10);

/// Bytes of a time.
const LENGTH: usize = size_of::<u64>();

/// Writes the time into the first bytes of a payload, if there is room.
pub(crate) fn stamp(payload: &mut [u8]) {
    let now = u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX);
    if let Some(place) = payload.first_chunk_mut::<LENGTH>() {
        *place = now.to_be_bytes();
    }
}

/// Microseconds that passed since [`stamp`].
fn since(payload: &[u8], now: Duration) -> Option<f64> {
    let sent = Duration::from_nanos(u64::from_be_bytes(*payload.first_chunk()?));
    let delay = now.checked_sub(sent).filter(|delay| *delay < LONGEST)?;
    Some(delay.as_secs_f64() * 1e6)
}

/// The delays of what arrived.
#[derive(Debug, Default)]
pub(crate) struct Delays(Mutex<Vec<f64>>);

impl Delays {
    /// These arrived just now.
    pub(crate) fn note(&self, payloads: impl Iterator<Item: AsRef<[u8]>>) {
        let now = START.elapsed();
        let mut delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        delays.extend(payloads.filter_map(|payload| since(payload.as_ref(), now)));
    }

    /// All since the last call, in microseconds.
    pub(crate) fn take(&self) -> Vec<f64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_from_other_content() {
        let mut payload = [0x55; 64];
        stamp(&mut payload);
        let delays = Delays::default();
        delays.note([payload.to_vec(), vec![0x55; 64], vec![0; 7]].into_iter());
        let taken = delays.take();
        assert!(matches!(taken.as_slice(), [delay] if (0.0..1e7).contains(delay)));
        assert!(delays.take().is_empty());
    }
}
