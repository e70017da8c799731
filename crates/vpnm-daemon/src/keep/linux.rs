//! Being taken for an older kernel, to prove what is done on those on any.
//!
//! With `VPNM_LINUX=6.1` in its environment the daemon goes no further than that version, nor
//! does a check for leaks. Only root starts either, and nothing but its environment reaches this.

use vpnm_host::Capabilities;

/// The variable that says which.
const VARIABLE: &str = "VPNM_LINUX";
/// The first that names the process behind a connection (`SO_PEERPIDFD`).
const PEER_PROCESS: (u32, u32) = (6, 5);

/// What this kernel is not taken to go beyond: its major and its minor number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Linux {
    version: (u32, u32),
}

impl Linux {
    /// Of the environment's kernel, if it names one.
    pub(crate) fn of_environment() -> Self {
        let value = std::env::var(VARIABLE).ok();
        let named = value.as_deref().and_then(Self::named);
        named.unwrap_or(Self {
            version: (u32::MAX, u32::MAX),
        })
    }

    fn named(version: &str) -> Option<Self> {
        let (major, minor) = version.split_once('.')?;
        let version = (major.parse().ok()?, minor.parse().ok()?);
        Some(Self { version })
    }

    pub(crate) fn capabilities(self) -> Capabilities {
        let (major, minor) = self.version;
        Capabilities::of_linux(major, minor)
    }

    pub(super) fn names_peers(self) -> bool {
        self.version >= PEER_PROCESS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers() {
        assert_eq!(Linux::named("6.1"), Some(Linux { version: (6, 1) }));
        for wrong in ["", "6", "6.", ".1", "6.1.2", "6.x", "-1.2"] {
            assert_eq!(Linux::named(wrong), None, "{wrong}");
        }
        assert!(!Linux::named("6.1").unwrap().names_peers());
        assert_eq!(Linux::of_environment().capabilities(), Capabilities::ALL);
    }
}
