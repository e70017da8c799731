//! Facts about the kernel's settings, read from /proc and never written.

use std::fs;
use std::io;
use std::path::Path;

use crate::names::LINK;

/// The congestion control for connections that end in our own stack: it does not
/// pace, and a local link needs no pacing.
pub(crate) const CONGESTION: &str = "cubic";

/// What the plan has to know about the network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelFacts {
    /// The kernel has IPv6 at all.
    pub ipv6: bool,
    /// The tunnel link may have IPv6 addresses (`disable_ipv6` is 0).
    pub ipv6_on_link: bool,
    /// Some interface drops IPv4 packets whose answer would leave by another one
    /// (`rp_filter` is 1).
    pub strict_reverse_path: bool,
    /// The congestion control cubic can be asked for.
    pub cubic: bool,
    /// Some socket of this host listens for DNS queries on a loopback address.
    pub local_resolver: bool,
}

impl KernelFacts {
    /// Reads the settings of the calling thread's network namespace.
    pub(crate) fn read() -> Self {
        let controls = text("/proc/sys/net/ipv4/tcp_available_congestion_control");
        let udp = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"].map(text);
        Self {
            ipv6: Path::new("/proc/thread-self/net/if_inet6").exists(),
            ipv6_on_link: text(&format!("/proc/sys/net/ipv6/conf/{LINK}/disable_ipv6")).trim()
                == "0",
            strict_reverse_path: strict_reverse_path().unwrap_or(false),
            cubic: controls.split_whitespace().any(|name| name == CONGESTION),
            local_resolver: udp.iter().any(|table| listens_on_53(table)),
        }
    }
}

/// The text of a file that may not exist.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Whether the stronger of the setting for all and the interface's own is 1, for
/// any interface but the loopback and the tunnel.
fn strict_reverse_path() -> io::Result<bool> {
    const BASE: &str = "/proc/sys/net/ipv4/conf";
    let setting = |name: &str| -> u8 {
        text(&format!("{BASE}/{name}/rp_filter"))
            .trim()
            .parse()
            .unwrap_or_default()
    };
    let all = setting("all");
    for entry in fs::read_dir(BASE)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        let own = !["all", "default", "lo", LINK].contains(&name);
        if own && setting(name).max(all) == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a table of /proc/net/udp or udp6 has a socket bound to port 53 of a
/// loopback address or of any address.
fn listens_on_53(table: &str) -> bool {
    let addresses = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().nth(1));
    let mut on_53 = addresses.filter_map(|address| address.strip_suffix(":0035"));
    on_53.any(|ip| {
        let v4_loopback = ip.len() == 8 && is_v4_loopback(ip);
        v4_loopback || ip.bytes().all(|b| b == b'0') || is_v6_loopback(ip)
    })
}

/// Addresses are shown as 32-bit numbers in the machine's byte order.
fn is_v4_loopback(ip: &str) -> bool {
    u32::from_str_radix(ip, 16).is_ok_and(|bits| bits.to_ne_bytes().first() == Some(&127))
}

fn is_v6_loopback(ip: &str) -> bool {
    let last = ip.strip_prefix("000000000000000000000000");
    let last = last.and_then(|last| u32::from_str_radix(last, 16).ok());
    last.is_some_and(|bits| bits.to_ne_bytes() == [0, 0, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "  sl  local_address rem_address   st tx_queue\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn a_local_resolver_is_seen_by_its_socket() {
        let listens = |line: &str| listens_on_53(&format!("{HEADER}  12: {line} 00 07 0\n"));
        assert!(listens("3500007F:0035 00000000:0000"));
        assert!(listens("00000000:0035 00000000:0000"));
        assert!(listens("00000000000000000000000001000000:0035 0:0000"));
        assert!(listens("00000000000000000000000000000000:0035 0:0000"));
        assert!(!listens("0A4DA8C0:0035 00000000:0000"));
        assert!(!listens("3500007F:0043 00000000:0000"));
        assert!(!listens_on_53(HEADER));
        assert!(!listens_on_53(""));
    }
}
