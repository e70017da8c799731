//! How long to wait before trying again.

use std::time::Duration;

/// A tunnel that held this long was a good one: counting starts anew.
pub(super) const STABLE: Duration = Duration::from_secs(10);
/// How often the host is read back without a reason.
pub(super) const REFRESH: Duration = Duration::from_secs(30);

const TUNNEL: [u64; 7] = [0, 500, 1_000, 2_000, 5_000, 10_000, 30_000];
const HOST: [u64; 5] = [100, 250, 500, 1_000, 5_000];

/// Before the `attempt`th attempt at a lost tunnel, counted from 1: at once, then
/// half a second growing to thirty.
pub(super) fn before_attempt(attempt: u32) -> Duration {
    delay(&TUNNEL, attempt)
}

/// After the `failures`th failure in a row to bring the host to a state, counted from 1.
pub(super) fn after_host_failure(failures: u32) -> Duration {
    delay(&HOST, failures)
}

fn delay(table: &[u64], count: u32) -> Duration {
    let last = table.len().saturating_sub(1);
    let index = usize::try_from(count.saturating_sub(1)).map_or(last, |i| i.min(last));
    Duration::from_millis(table.get(index).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_made_at_once_and_the_wait_is_bounded() {
        assert_eq!(before_attempt(1), Duration::ZERO);
        assert_eq!(before_attempt(2), Duration::from_millis(500));
        assert_eq!(before_attempt(u32::MAX), Duration::from_secs(30));
        assert_eq!(after_host_failure(1), Duration::from_millis(100));
        assert_eq!(after_host_failure(u32::MAX), Duration::from_secs(5));
    }
}
