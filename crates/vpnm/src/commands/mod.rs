//! The commands: for each its definition and what it does.

mod attempt;
mod check;
mod cleanup;
mod completions;
mod connect;
mod daemon;
mod demo;
mod disconnect;
mod doctor;
mod engine;
pub(crate) mod help;
mod install;
mod keep;
mod lockdown;
mod man;
mod probe;
mod reconnect;
mod status;
mod tun2socks;
pub(crate) mod version;

use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Program};
use crate::exit::Exit;
use crate::output::{Failure, Output};

/// What a command works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// The program, for the commands that describe it.
    pub(crate) program: &'static Program,
    /// Where a command speaks.
    pub(crate) output: Output,
}

/// What a command does.
type Run = fn(&Context, &Matches) -> Result<Exit, Failure>;

/// Every command, in the order of the help text.
const ENTRIES: &[(&Command, Run)] = &[
    (&connect::COMMAND, connect::run),
    (&disconnect::COMMAND, disconnect::run),
    (&status::COMMAND, status::run),
    (&reconnect::COMMAND, reconnect::run),
    (&lockdown::COMMAND, lockdown::run),
    (&daemon::COMMAND, daemon::run),
    (&doctor::COMMAND, doctor::run),
    (&check::COMMAND, check::run),
    (&cleanup::COMMAND, cleanup::run),
    (&install::INSTALL, install::install),
    (&install::UNINSTALL, install::uninstall),
    (&demo::COMMAND, demo::run),
    (&tun2socks::COMMAND, tun2socks::run),
    (&completions::COMMAND, completions::run),
    (&man::COMMAND, man::run),
    (&help::COMMAND, help::run),
    (&engine::COMMAND, engine::run),
    (&probe::COMMAND, probe::run),
    (&keep::COMMAND, keep::run),
];

const COUNT: usize = ENTRIES.len();

/// The definitions of [`ENTRIES`].
static COMMANDS: [&Command; COUNT] = {
    let mut commands = [&help::COMMAND; COUNT];
    let mut index = 0;
    while index < COUNT {
        #[expect(clippy::indexing_slicing, reason = "both arrays have this length")]
        {
            commands[index] = ENTRIES[index].0;
        }
        index += 1;
    }
    commands
};

/// The program.
pub(crate) static PROGRAM: Program = Program {
    name: "vpnm",
    summary: "all of a machine's traffic through one encrypted proxy server",
    about: "\
One command sends every packet and every DNS query of this machine through a server of your \
own. Traffic that cannot go there goes nowhere: the machine is blocked before anything else \
is done, and stays blocked when the server, the daemon or the engine fails, until you say \
\"vpnm disconnect\".

A daemon (\"vpnm daemon\", as root) does the work; the other commands ask it. Members of the \
group vpnm and root may connect and disconnect; everybody may ask for the status.",
    commands: &COMMANDS,
    exit_codes: &Exit::TABLE,
    files: &[
        ("/run/vpnm/vpnmd.sock", "The daemon's socket."),
        (
            "/var/lib/vpnm",
            "What the daemon remembers: whether the machine is to be secured, and by which server.",
        ),
        (
            vpnm_daemon::settings::FILE,
            "The settings; only root may be able to write it.",
        ),
    ],
    settings: (SETTINGS_ABOUT, &SETTINGS),
    environment: &[
        ("NO_COLOR", "No colour, whatever the terminal can do."),
        (
            "SSL_CERT_FILE, SSL_CERT_DIR",
            "Where the daemon's engine finds the certificates it trusts, instead of the system's place.",
        ),
    ],
};

const SETTINGS_ABOUT: &str = "\
The file /etc/vpnm/settings.toml need not exist, and every key may be absent. It is read when the \
daemon starts and when you connect. While it is wrong the machine stays as secured as it was, and \
\"vpnm doctor\" says where.";

/// Each setting, other than it is without a file, and what it means.
const SETTINGS: [(&str, &str); 7] = [
    (
        "lan = true",
        "Private networks on the link are reached directly; of names, only those of the local \
         network are asked there.",
    ),
    (
        "lan_domains = [\"corp.example\"]",
        "Where lan is true, names under these are asked of the local network's own resolver, as \
         home.arpa and the like are.",
    ),
    (
        "forwarding = \"block\"",
        "Packets of containers, virtual machines and hosts behind this one go nowhere; otherwise \
         they go into the \"tunnel\".",
    ),
    (
        "serve = [\"eth1\"]",
        "Interfaces behind which there are other hosts to lead into the tunnel. Containers need \
         not be named; one that this machine goes out by has no effect here.",
    ),
    (
        "serve_uplink = [\"eth0\"]",
        "Interfaces that this machine goes out by and whose neighbours are led into the tunnel all \
         the same, as behind a gateway with one network card. Anybody on that network may use it.",
    ),
    (
        "leak_check = false",
        "The ways past the block are not tried after each change.",
    ),
    (
        "dns = [{ addresses = [\"9.9.9.9\", \"2620:fe::fe\"], name = \"dns.quad9.net\", path = \"/dns-query\" }]",
        "Resolvers that are asked over HTTPS through the tunnel, in order of preference.",
    ),
];

/// Runs `command`, which is one of [`PROGRAM`]'s.
pub(crate) fn run(
    command: &'static Command,
    context: &Context,
    matches: &Matches,
) -> Result<Exit, Failure> {
    let (_, run) = ENTRIES
        .iter()
        .find(|(known, _)| known.name == command.name)
        .expect("invariant: the parser only knows the commands of this table");
    run(context, matches)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::PROGRAM;
    use crate::cli::reference;
    use crate::cli::spec::{Flag, GLOBAL};

    #[test]
    fn the_reference_in_the_documentation_is_the_generated_one() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
        let generated = reference::markdown(&PROGRAM);
        if std::env::var_os("VPNM_BLESS").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap() == generated,
            "docs/commands.md is old; VPNM_BLESS=1 cargo test -p vpnm writes it anew"
        );
    }

    #[test]
    fn every_setting_is_one_and_has_another_value_than_without_a_file() {
        let settings = |text: &str| vpnm_daemon::settings::Settings::parse(text).unwrap();
        for (example, _) in PROGRAM.settings.1 {
            assert_ne!(settings(example), settings(""), "{example}");
        }
        // An error names every key there is.
        let unknown = vpnm_daemon::settings::Settings::parse("x = 1").unwrap_err();
        let keys = unknown.to_string();
        let listed = keys.split_once("one of").unwrap().1.matches('`').count() / 2;
        assert_eq!(listed, PROGRAM.settings.1.len(), "{keys}");
    }

    #[test]
    fn names_are_unique_and_lines_have_no_full_stop() {
        let mut names = BTreeSet::new();
        for command in PROGRAM.commands {
            assert!(names.insert(command.name), "{} twice", command.name);
            assert!(!command.summary.ends_with('.'), "{}", command.name);
            let mut longs = BTreeSet::new();
            let mut shorts = BTreeSet::new();
            let flags: Vec<&Flag> = command.flags.iter().copied().chain(GLOBAL).collect();
            for flag in flags {
                let place = format!("{} --{}", command.name, flag.long);
                assert!(longs.insert(flag.long), "{place} twice");
                assert!(
                    flag.short.is_none_or(|short| shorts.insert(short)),
                    "{place}"
                );
                assert!(!flag.summary.ends_with('.'), "{place}");
            }
        }
    }

    #[test]
    fn only_the_last_operands_are_optional() {
        for command in PROGRAM.commands {
            let optional: Vec<bool> = command.operands.iter().map(|one| one.optional).collect();
            assert!(optional.is_sorted(), "{}", command.name);
        }
    }
}
