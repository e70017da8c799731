//! The packet filters of others, as they are told apart.

use crate::support::{in_namespace, run};
use vpnm_host::Host;

/// Chains at the output hook: their names say whether they drop what they do not name.
const OTHERS: &str = "table inet others {
    chain dead-end { counter log reject with icmpx admin-prohibited; }
    chain open-end { ip daddr 192.0.2.1 drop; }
    chain drops-by-policy { type filter hook output priority 10; policy drop; }
    chain drops-at-its-end { type filter hook output priority 11; oifname lo accept; counter drop; }
    chain drops-elsewhere { type filter hook output priority 12; oifname lo accept; jump dead-end; }
    chain passes { type filter hook output priority 13; ip daddr 192.0.2.1 reject; }
    chain passes-in-the-end { type filter hook output priority 14; oifname eth9 drop; accept; }
    chain passes-elsewhere { type filter hook output priority 15; goto open-end; }
    chain passes-all { type filter hook output priority 16; }
}";

#[test]
fn a_chain_that_ends_in_a_drop_is_told_from_one_that_lets_pass() {
    in_namespace(|| {
        let path = std::env::temp_dir().join(format!("vpnm-others-{}", std::process::id()));
        std::fs::write(&path, OTHERS).unwrap();
        run("nft", &format!("-f {}", path.display()));
        std::fs::remove_file(&path).unwrap();
        let found = Host::open().unwrap().foreign_chains().unwrap();
        assert_eq!(found.len(), 7, "{found:?}");
        for chain in found {
            assert_eq!(chain.drops, chain.chain.starts_with("drops"), "{chain}");
        }
    });
}
