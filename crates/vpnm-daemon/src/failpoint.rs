//! Dying on purpose, to prove that dying anywhere does no harm.
//!
//! With `VPNM_FAILPOINT=N` in its environment the daemon aborts at the `N`th
//! point it comes to, counted from 1. There is a point before and after every
//! effect of the state machine and before and after every change of the kernel.
//! Only root starts a daemon, and nothing but its environment reaches this.

use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that says where.
pub(crate) const VARIABLE: &str = "VPNM_FAILPOINT";

/// Counts the points; shared by the daemon's threads.
#[derive(Debug, Default)]
pub(crate) struct FailPoints {
    passed: AtomicU64,
    fatal: Option<u64>,
}

impl FailPoints {
    /// The points of a daemon with this value of the variable; a value that is no
    /// number means that it is not meant to die.
    pub(crate) fn new(value: Option<&str>) -> Self {
        Self {
            passed: AtomicU64::new(0),
            fatal: value.and_then(|text| text.parse().ok()),
        }
    }

    /// Comes to a point, and perhaps no further.
    pub(crate) fn pass(&self, what: std::fmt::Arguments<'_>) {
        let Some(fatal) = self.fatal else {
            return;
        };
        let passed = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::debug!(point = passed, "fail point: {what}");
        if passed == fatal {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_counts_and_only_its_point_is_fatal() {
        for value in [None, Some(""), Some("x"), Some("-1")] {
            assert_eq!(FailPoints::new(value).fatal, None);
        }
        let points = FailPoints::new(Some("3"));
        points.pass(format_args!("one"));
        points.pass(format_args!("two"));
        assert_eq!(points.passed.load(Ordering::Relaxed), 2);
    }
}
