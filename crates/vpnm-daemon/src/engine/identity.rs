//! The user the engine runs as.

use std::fs;

use vpnm_host::{accounts, names};

/// A uid and a gid that own nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Identity {
    /// The user `_vpnm` of this system, or the number reserved for it.
    pub(crate) fn of_system() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::in_passwd(&passwd)
    }

    fn in_passwd(passwd: &str) -> Self {
        // A root account of that name would undo the separation.
        let user = accounts::user(passwd, names::ENGINE_USER);
        match user.filter(|user| user.uid != 0 && user.gid != 0) {
            Some(user) => Self {
                uid: user.uid,
                gid: user.gid,
            },
            None => Self {
                uid: names::ENGINE_FALLBACK_ID,
                gid: names::ENGINE_FALLBACK_ID,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_never_root() {
        let found = Identity::in_passwd("_vpnm:x:990:991::/:/bin/false\n");
        assert_eq!((found.uid, found.gid), (990, 991));
        let fallback = Identity {
            uid: names::ENGINE_FALLBACK_ID,
            gid: names::ENGINE_FALLBACK_ID,
        };
        for passwd in [
            "",
            "_vpnm:x:0:991::/:",
            "_vpnm:x:990:0::/:",
            "other:x:1:1::/:",
        ] {
            assert_eq!(Identity::in_passwd(passwd), fallback, "{passwd}");
        }
    }
}
