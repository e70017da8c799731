//! What happens to the processes of the program under test, and what they are asked for.

use vpnm_world::Signal;

use super::ours::ALL_AT_ONCE;
use super::{Claim, Deed, Fault, brief, lasting};

pub(super) const FAULTS: &[Fault] = &[
    brief(
        Claim::Engine,
        8,
        "engine killed",
        &[Deed::Engine(Signal::KILL)],
    ),
    lasting(
        Claim::Engine,
        3,
        "engine stopped",
        &[Deed::Engine(Signal::STOP)],
        &[Deed::Engine(Signal::CONT)],
    ),
    lasting(
        Claim::Daemon,
        5,
        "daemon killed",
        &[Deed::Daemon(Signal::KILL)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon aborted",
        &[Deed::Daemon(Signal::ABORT)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        3,
        "engine and daemon killed",
        &[Deed::Engine(Signal::KILL), Deed::Daemon(Signal::KILL)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon ended",
        &[Deed::Daemon(Signal::TERM)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        5,
        "daemon killed, filter flushed",
        &[
            Deed::Daemon(Signal::KILL),
            Deed::Client("nft flush ruleset; nft delete table inet vpnm; true"),
        ],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        5,
        "daemon killed, filter, rules and routes taken",
        &[Deed::Daemon(Signal::KILL), Deed::Client(ALL_AT_ONCE)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon stopped",
        &[Deed::Daemon(Signal::STOP)],
        &[Deed::Daemon(Signal::CONT)],
    ),
    lasting(
        Claim::Daemon,
        1,
        "disk full, daemon killed",
        &[
            Deed::Client(
                "mount -o remount,size=1m /var/lib && \
                 { cat /dev/zero > /var/lib/full 2>/dev/null; true; }",
            ),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
        &[Deed::Client(
            "rm /var/lib/full; mount -o remount,size=50% /var/lib",
        )],
    ),
    lasting(
        Claim::Daemon,
        1,
        "disk read-only, daemon killed",
        &[
            Deed::Client("mount -o remount,ro /var/lib"),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
        &[Deed::Client("mount -o remount,rw /var/lib")],
    ),
    lasting(
        Claim::Daemon,
        1,
        "journal destroyed",
        &[
            Deed::Daemon(Signal::KILL),
            Deed::Client("for f in /var/lib/vpnm/*; do echo garbage > $f; done"),
            Deed::Start,
        ],
        &[Deed::Connect { other: false }, Deed::LiftLockdown],
    ),
    lasting(
        Claim::Daemon,
        3,
        "server switched",
        &[Deed::Connect { other: true }],
        &[Deed::Connect { other: false }],
    ),
    brief(
        Claim::Daemon,
        2,
        "reconnected",
        &[Deed::Order(&["reconnect"])],
    ),
    lasting(
        Claim::Daemon,
        3,
        "disconnected under lockdown",
        &[
            Deed::AwaitDaemon,
            Deed::LockDown,
            Deed::Order(&["disconnect"]),
        ],
        &[Deed::Connect { other: false }, Deed::LiftLockdown],
    ),
    lasting(
        Claim::Daemon,
        3,
        "disconnected",
        &[Deed::Open],
        &[Deed::Connect { other: false }],
    ),
    brief(
        Claim::Engine,
        3,
        "engine killed thrice",
        &[
            Deed::Engine(Signal::KILL),
            Deed::Engine(Signal::KILL),
            Deed::Engine(Signal::KILL),
        ],
    ),
    lasting(
        Claim::Daemon,
        2,
        "all stopped",
        &[Deed::Engine(Signal::STOP), Deed::Daemon(Signal::STOP)],
        &[Deed::Daemon(Signal::CONT), Deed::Engine(Signal::CONT)],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon killed while it reconnects",
        &[Deed::Order(&["reconnect"]), Deed::Daemon(Signal::KILL)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon killed while it switches",
        &[Deed::Connect { other: true }, Deed::Daemon(Signal::KILL)],
        &[Deed::Start, Deed::Connect { other: false }],
    ),
    lasting(
        Claim::Daemon,
        2,
        "engine killed while it switches",
        &[Deed::Connect { other: true }, Deed::Engine(Signal::KILL)],
        &[Deed::Connect { other: false }, Deed::Engine(Signal::KILL)],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon killed while it disconnects under lockdown",
        &[
            Deed::AwaitDaemon,
            Deed::LockDown,
            Deed::Order(&["disconnect"]),
            Deed::Daemon(Signal::KILL),
        ],
        &[
            Deed::Start,
            Deed::Connect { other: false },
            Deed::LiftLockdown,
        ],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon killed while it disconnects",
        &[Deed::Open, Deed::Daemon(Signal::KILL)],
        &[Deed::Start, Deed::Connect { other: false }],
    ),
    lasting(
        Claim::Daemon,
        2,
        "lockdown set and lifted",
        &[Deed::AwaitDaemon, Deed::LockDown],
        &[Deed::LiftLockdown],
    ),
    lasting(
        Claim::Daemon,
        2,
        "settings changed, daemon killed",
        &[
            Deed::Client(
                "mkdir -p /etc/vpnm && printf 'forwarding = \"block\"\\nleak_check = false\\n' \
                 > /etc/vpnm/settings.toml",
            ),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
        &[
            Deed::Client("rm -r /etc/vpnm"),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
    ),
    lasting(
        Claim::Daemon,
        1,
        "settings destroyed, daemon killed",
        &[
            Deed::Client("mkdir -p /etc/vpnm && echo garbage > /etc/vpnm/settings.toml"),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
        &[
            Deed::Client("rm -r /etc/vpnm"),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon without descriptors",
        &[Deed::AwaitDaemon, Deed::Descriptors { none: true }],
        &[Deed::Descriptors { none: false }],
    ),
    lasting(
        Claim::Daemon,
        1,
        "daemon without memory",
        &[Deed::NoMemory],
        &[Deed::Daemon(Signal::KILL), Deed::Start],
    ),
    lasting(
        Claim::Socket,
        2,
        "crowd at the daemon's socket",
        &[Deed::Crowd],
        &[Deed::CrowdGoes],
    ),
    brief(
        Claim::Daemon,
        2,
        "keeper killed",
        // The next look at the host finds that there is none.
        &[
            Deed::AwaitDaemon,
            Deed::KillKeeper,
            Deed::Client("ip rule del pref 7618; true"),
            Deed::AwaitKeeper,
        ],
    ),
    brief(
        Claim::Daemon,
        2,
        "keeper, engine and daemon killed at once",
        &[
            Deed::AwaitDaemon,
            Deed::KillKeeper,
            Deed::Engine(Signal::KILL),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
            Deed::AwaitDaemon,
            Deed::AwaitKeeper,
        ],
    ),
    lasting(
        Claim::Engine,
        2,
        "engine without descriptors",
        &[Deed::NoEngineDescriptors],
        &[Deed::Engine(Signal::KILL)],
    ),
];
