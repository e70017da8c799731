//! Something of ours dies, stops, or is not there yet.

use std::time::Duration;

use super::{PLAIN, RAISE_ETH0, UP, ours};
use crate::scenario::Step::{
    BlockAtBoot, Client, ContinueDaemon, ContinueEngine, Crash, EndDaemon, EndNode, Expect,
    KillDaemon, KillEngine, Probe, Replace, Router, StartDaemon, StopDaemon, StopEngine, Switch,
    Wait,
};
use crate::scenario::crash::FLUSH;
use crate::scenario::{Aftermath, Protection, Row};

const NO_JOURNAL: &[(Protection, &str)] = &ours("it remembers nothing that could be destroyed");

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 1,
        name: "data plane killed",
        attack: &[KillEngine, Expect(UP), KillEngine, Probe, Expect(UP)],
        ..PLAIN
    },
    Row {
        number: 2,
        name: "control plane killed and restarted",
        attack: &[KillDaemon, Probe, Probe, StartDaemon, Expect(UP)],
        ..PLAIN
    },
    Row {
        number: 2,
        name: "control plane gone, filter and rules flushed meanwhile",
        attack: &[
            KillDaemon,
            Client(FLUSH),
            Probe,
            StartDaemon,
            Expect(UP),
            KillEngine,
            KillDaemon,
            Client(FLUSH),
            Wait(Duration::from_secs(1)),
            StartDaemon,
            Expect(UP),
            EndDaemon,
            Client(FLUSH),
            Probe,
            StartDaemon,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 3,
        name: "both killed, nobody restarts them",
        attack: &[KillEngine, KillDaemon, Probe, Wait(Duration::from_secs(2))],
        aftermath: Aftermath::Closed,
        ..PLAIN
    },
    Row {
        number: 4,
        name: "data plane stopped",
        attack: &[
            StopEngine,
            Wait(Duration::from_secs(10)),
            ContinueEngine,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 5,
        name: "control plane killed between any two steps",
        attack: &[Crash, Expect(UP)],
        ..PLAIN
    },
    Row {
        number: 6,
        name: "server unreachable, silent, then refusing",
        attack: &[
            Router("ip route add blackhole 203.0.113.10"),
            Wait(Duration::from_secs(3)),
            Router("ip route del blackhole 203.0.113.10"),
            Expect(UP),
            Router("ip route add prohibit 203.0.113.10"),
            Wait(Duration::from_secs(3)),
            Router("ip route del prohibit 203.0.113.10"),
            Expect(UP),
            Router(
                "nft 'add table ip drill; add chain ip drill f { type filter hook forward priority 0; }; \
                 add rule ip drill f ip daddr 203.0.113.10 tcp dport 443 drop'",
            ),
            Wait(Duration::from_secs(3)),
            Router("nft delete table ip drill"),
            Expect(UP),
            EndNode,
            Expect(&["reconnecting", "blocked"]),
        ],
        aftermath: Aftermath::Closed,
        ..PLAIN
    },
    Row {
        number: 7,
        name: "server switched a hundred times under load",
        // Each is there and back.
        attack: &[Switch; 50],
        ..PLAIN
    },
    Row {
        number: 8,
        name: "control plane ended, its program replaced and started",
        attack: &[
            EndDaemon,
            Probe,
            StartDaemon,
            Expect(UP),
            Replace,
            EndDaemon,
            StartDaemon,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 9,
        name: "early boot: the link comes up with only the boot unit's block",
        attack: &[
            Client("ip link set eth0 down"),
            KillDaemon,
            Client(FLUSH),
            BlockAtBoot,
            Client(RAISE_ETH0),
            Probe,
            StartDaemon,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 10,
        name: "control plane ended, as a shutdown does",
        attack: &[EndDaemon, Probe, Probe],
        aftermath: Aftermath::Closed,
        ..PLAIN
    },
    Row {
        number: 36,
        name: "suspend and resume: all stopped, the link gone for a while",
        attack: &[
            StopEngine,
            StopDaemon,
            Client("ip link set eth0 down"),
            Wait(Duration::from_secs(3)),
            Client(RAISE_ETH0),
            Wait(Duration::from_secs(1)),
            ContinueDaemon,
            ContinueEngine,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 37,
        name: "what was remembered is destroyed",
        attack: &[
            KillDaemon,
            Client("for f in /var/lib/vpnm/*; do echo garbage > $f; done"),
            StartDaemon,
            Probe,
            Expect(&["blocked"]),
        ],
        aftermath: Aftermath::Closed,
        unsuited: NO_JOURNAL,
        ..PLAIN
    },
    Row {
        number: 37,
        name: "what was remembered cannot be read",
        attack: &[
            KillDaemon,
            Client("cd /var/lib/vpnm && for f in *; do rm -r $f && mkdir $f; done"),
            StartDaemon,
            Probe,
            Expect(&["blocked"]),
        ],
        undo: &[Client("rm -r /var/lib/vpnm")],
        aftermath: Aftermath::Closed,
        unsuited: NO_JOURNAL,
        ..PLAIN
    },
    Row {
        number: 37,
        name: "the disk is full",
        attack: &[
            KillDaemon,
            Client(
                "mount -o remount,size=1m /var/lib && \
                 { cat /dev/zero > /var/lib/full 2>/dev/null; true; }",
            ),
            StartDaemon,
            Probe,
            Expect(UP),
            KillEngine,
            Expect(UP),
        ],
        undo: &[Client(
            "rm /var/lib/full; mount -o remount,size=50% /var/lib",
        )],
        ..PLAIN
    },
    Row {
        number: 37,
        name: "the disk is read-only",
        attack: &[
            KillDaemon,
            Client("mount -o remount,ro /var/lib"),
            StartDaemon,
            Probe,
            Expect(UP),
            KillEngine,
            Expect(UP),
        ],
        undo: &[Client("mount -o remount,rw /var/lib")],
        ..PLAIN
    },
];
