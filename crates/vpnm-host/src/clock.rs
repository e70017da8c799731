//! Whether somebody keeps this machine's clock right.

use std::time::Duration;

use crate::sys;

/// What the kernel knows of its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discipline {
    /// A time service compares it with others (`STA_UNSYNC` is not set).
    pub is_kept: bool,
    /// How far it is off at most, by that service's estimate.
    pub error: Duration,
}

impl Discipline {
    /// What the kernel says now; `None` where it does not tell, as in some containers.
    #[must_use]
    pub fn read() -> Option<Self> {
        sys::clock::discipline().ok().map(|timex| Self::of(&timex))
    }

    fn of(timex: &libc::timex) -> Self {
        let micros = u64::try_from(timex.maxerror).unwrap_or_default();
        Self {
            is_kept: timex.status & libc::STA_UNSYNC == 0,
            error: Duration::from_micros(micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_understood() {
        let Ok(mut timex) = sys::clock::discipline() else {
            return;
        };
        timex.status = libc::STA_PLL;
        timex.maxerror = 2_500_000;
        let kept = Discipline::of(&timex);
        assert!(kept.is_kept);
        assert_eq!(kept.error, Duration::from_millis(2_500));
        timex.status |= libc::STA_UNSYNC;
        assert!(!Discipline::of(&timex).is_kept);
    }
}
