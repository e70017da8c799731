//! Somebody wants to know something new while the machine is blocked. The program
//! under test fetches no subscriptions; what it refreshes by itself is where its
//! server is.

use vpnm_world::User;

use super::{PLAIN, UP, ours};
use crate::scenario::Step::{
    ByName, Client, Expect, Fetch, KillDaemon, LoseServer, MoveServer, Order, Probe, StartDaemon,
};
use crate::scenario::{Row, Step};

/// Counts what leaves the interface behind all other chains, by who sent it: the engine
/// (7670) to the resolvers over HTTPS, to the server where it went, and anybody else.
const WITNESS: Step = Client(
    "nft 'add table inet witness; \
     add counter inet witness asked; add counter inet witness found; \
     add counter inet witness elsewhere; add counter inet witness others; \
     add chain inet witness w { type filter hook postrouting priority 350; }; \
     add rule inet witness w oifname != eth0 accept; \
     add rule inet witness w meta skuid != 7670 counter name others accept; \
     add rule inet witness w tcp dport 443 \
       ip daddr { 1.1.1.1, 1.0.0.1, 9.9.9.9, 149.112.112.112 } counter name asked accept; \
     add rule inet witness w tcp dport 443 ip6 daddr { 2606:4700:4700::1111, \
       2606:4700:4700::1001, 2620:fe::fe, 2620:fe::9 } counter name asked accept; \
     add rule inet witness w tcp dport 443 ip daddr 203.0.113.20 counter name found accept; \
     add rule inet witness w tcp dport 443 ip6 daddr 2001:db8:113::20 counter name found accept; \
     add rule inet witness w tcp dport 443 ip daddr 203.0.113.10 accept; \
     add rule inet witness w tcp dport 443 ip6 daddr 2001:db8:113::10 accept; \
     add rule inet witness w meta skuid 7670 counter name elsewhere'",
);

/// The engine asked the resolvers and found the server; nobody else sent anything.
const WITNESSED: Step = Client(
    "for n in others elsewhere; do nft list counter inet witness $n | grep -q 'packets 0 ' || \
     { nft list table inet witness; exit 1; }; done; \
     for n in asked found; do nft list counter inet witness $n | grep -q 'packets [1-9]' || \
     { nft list table inet witness; exit 1; }; done",
);

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 34,
        name: "updates while the server is gone, which then is elsewhere",
        before: &[ByName],
        attack: &[
            WITNESS,
            LoseServer,
            Expect(&["reconnecting"]),
            Fetch { comes: false },
            Probe,
            MoveServer { other: true },
            Expect(UP),
            Fetch { comes: true },
            KillDaemon,
            MoveServer { other: false },
            Fetch { comes: false },
            StartDaemon,
            Expect(UP),
            Fetch { comes: true },
            WITNESSED,
        ],
        undo: &[Client("nft delete table inet witness")],
        unsuited: &ours("it is given the server's address, not its name"),
        ..PLAIN
    },
    Row {
        number: 34,
        name: "updates while the machine is locked down",
        before: &[ByName],
        attack: &[
            Order(User::Root, &["lockdown", "on"]),
            Order(User::Alice, &["disconnect"]),
            Expect(&["blocked"]),
            Fetch { comes: false },
            Probe,
            Order(User::Alice, &["connect"]),
            Expect(UP),
            Fetch { comes: true },
            Order(User::Root, &["lockdown", "off"]),
        ],
        unsuited: &ours("it cannot be told to stay closed"),
        ..PLAIN
    },
];
