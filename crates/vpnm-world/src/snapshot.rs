//! The state of a host's network, to be compared before and after.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Host;
use crate::netlink::{Message, Netlink, Request, attributes};

/// A table the kernel lists: its name, the request for it, the length of the
/// fixed header of each entry, and the attributes that change by themselves.
struct Table {
    name: &'static str,
    kind: u16,
    header: usize,
    volatile: &'static [u16],
}

const ROUTE_TABLES: [Table; 4] = [
    // Statistics, address family details with timestamps, carrier counts.
    Table {
        name: "link",
        kind: 18,
        header: 16,
        volatile: &[7, 23, 26, 35, 36, 47, 48],
    },
    // Lifetimes.
    Table {
        name: "address",
        kind: ADDRESSES,
        header: 8,
        volatile: &[6],
    },
    // Cache information.
    Table {
        name: "route",
        kind: 26,
        header: 12,
        volatile: &[12],
    },
    Table {
        name: "rule",
        kind: 34,
        header: 12,
        volatile: &[],
    },
];

/// `NFNL_SUBSYS_NFTABLES << 8`.
const NFTABLES: u16 = 10 << 8;
const FILTER_TABLES: [Table; 4] = [
    Table {
        name: "nft table",
        kind: NFTABLES | 1,
        header: 4,
        volatile: &[],
    },
    Table {
        name: "nft chain",
        kind: NFTABLES | 4,
        header: 4,
        volatile: &[],
    },
    Table {
        name: "nft rule",
        kind: NFTABLES | 7,
        header: 4,
        volatile: &[],
    },
    Table {
        name: "nft set",
        kind: NFTABLES | 10,
        header: 4,
        volatile: &[],
    },
];

/// Links, addresses, routes, rules, packet filter, network settings and
/// resolver settings of a host at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    entries: BTreeMap<String, String>,
}

/// The request for all addresses.
const ADDRESSES: u16 = 22;

/// How long new addresses may take until the kernel knows that nobody else has them.
const SETTLING: Duration = Duration::from_secs(5);

impl Snapshot {
    /// Takes one, as soon as no address is new to the kernel.
    ///
    /// # Errors
    ///
    /// Those of netlink and of reading files.
    pub fn take(host: &Host) -> io::Result<Self> {
        host.run(|| {
            let mut entries = BTreeMap::new();
            let mut routes = Netlink::route()?;
            settle(&mut routes)?;
            list(&mut routes, &ROUTE_TABLES, &mut entries)?;
            list(&mut Netlink::netfilter()?, &FILTER_TABLES, &mut entries)?;
            for directory in ["/proc/sys/net/ipv4", "/proc/sys/net/ipv6", "/etc"] {
                read_files(Path::new(directory), &mut entries)?;
            }
            Ok(Self { entries })
        })
    }

    /// What differs from `earlier`: one line each, empty if nothing does.
    #[must_use]
    pub fn changes_since(&self, earlier: &Self) -> Vec<String> {
        let gone = earlier
            .entries
            .iter()
            .filter_map(|(name, then)| match self.entries.get(name) {
                None => Some(format!("{name} is gone (was {then})")),
                Some(now) if now != then => Some(format!("{name} is {now} (was {then})")),
                Some(_) => None,
            });
        let new = self
            .entries
            .iter()
            .filter(|(name, _)| !earlier.entries.contains_key(*name))
            .map(|(name, now)| format!("{name} is new: {now}"));
        gone.chain(new).collect()
    }
}

/// Waits until the kernel has asked for its new addresses whether others have them:
/// routes come and flags go with the end of that.
fn settle(routes: &mut Netlink) -> io::Result<()> {
    let deadline = Instant::now() + SETTLING;
    while routes
        .dump(&Request::new(ADDRESSES, 0, &[0; 8]))?
        .iter()
        .any(is_tentative)
        && Instant::now() < deadline
    {
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// `IFA_F_TENTATIVE`, and not `IFA_F_DADFAILED`.
fn is_tentative(address: &Message) -> bool {
    let flags = address.body.get(2).copied().unwrap_or_default();
    flags & 0x40 != 0 && flags & 0x08 == 0
}

fn list(
    netlink: &mut Netlink,
    tables: &[Table],
    entries: &mut BTreeMap<String, String>,
) -> io::Result<()> {
    for table in tables {
        let messages = netlink.dump(&Request::new(table.kind, 0, &vec![0; table.header]))?;
        // Not their order, which says when entries were made; but how many are equal.
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for message in messages.iter().filter(|message| !is_cached(table, message)) {
            let name = format!("{} {}", table.name, describe(table, message));
            *counts.entry(name).or_default() += 1;
        }
        entries.extend(
            counts
                .into_iter()
                .map(|(name, count)| (name, format!("there {count} times"))),
        );
    }
    Ok(())
}

/// `RTM_F_CLONED`: what the kernel has learnt about a way by using it.
const CLONED: u32 = 0x200;

/// Whether it is no setting, but a route's cached exception.
fn is_cached(table: &Table, message: &Message) -> bool {
    let flags = message.body.get(8..).and_then(|rest| rest.first_chunk());
    table.name == "route" && flags.is_some_and(|flags| u32::from_ne_bytes(*flags) & CLONED != 0)
}

fn describe(table: &Table, message: &Message) -> String {
    let (header, rest) = message
        .body
        .split_at_checked(table.header)
        .unwrap_or_default();
    let mut line = hex(header);
    for (kind, value) in attributes(rest) {
        if !table.volatile.contains(&kind) {
            // Writing to a string cannot fail.
            write!(line, " {kind}={}", hex(value)).ok();
        }
    }
    line
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every readable file below a directory; links as what they point at.
fn read_files(directory: &Path, entries: &mut BTreeMap<String, String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let kind = path.symlink_metadata()?.file_type();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if kind.is_dir() && !hidden {
            read_files(&path, entries)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&path)?;
            entries.insert(path.display().to_string(), target.display().to_string());
        } else if let Ok(bytes) = fs::read(&path) {
            // Write-only and not yet set settings cannot be read, and have nothing to say.
            entries.insert(
                path.display().to_string(),
                String::from_utf8_lossy(&bytes).into_owned(),
            );
        }
    }
    Ok(())
}
