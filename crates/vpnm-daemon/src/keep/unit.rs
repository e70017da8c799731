//! Whether the service manager ends what we leave behind together with us, by the files
//! of the unit we are (systemd.unit(5), systemd.kill(5)).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::store;

/// Where units are, whoever comes first in whose place the others are not read.
const PLACES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];
/// Additions to every service.
const EVERY: &str = "service.d";

/// Whether a process that is to outlive us does not, as far as the unit says.
pub(super) fn ends_processes() -> bool {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    is_main_process() && own_name(&cgroups).is_some_and(|unit| ends(&texts(&unit)))
}

/// Whether it is our end that is the end of the unit.
fn is_main_process() -> bool {
    let executed = std::env::var("SYSTEMD_EXEC_PID").ok();
    let is_executed = executed.is_some_and(|pid| pid.parse() == Ok(std::process::id()));
    is_executed || store::is_offered()
}

/// The service whose control group this is (cgroups(7)).
fn own_name(cgroups: &str) -> Option<String> {
    let groups = cgroups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        matches!(controllers, "" | "name=systemd").then_some(group)
    });
    let mut names = groups.filter_map(|group| group.rsplit('/').next());
    let name = names.find(|name| name.ends_with(".service"))?;
    Some(name.to_owned())
}

/// What the files of a unit say, in the order in which they are read.
fn texts(unit: &str) -> Vec<String> {
    let own = PLACES.map(|place| Path::new(place).join(unit));
    let own = own
        .into_iter()
        .find_map(|file| fs::read_to_string(file).ok());
    let of_unit = format!("{unit}.d");
    let directories = [of_unit.as_str(), EVERY]
        .into_iter()
        .flat_map(|name| PLACES.map(|place| Path::new(place).join(name)));
    // In the order of their names; the first of a name hides the others.
    let mut additions: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for entry in directories.flat_map(fs::read_dir).flatten().flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "conf") {
            additions
                .entry(entry.file_name())
                .or_insert_with(|| entry.path());
        }
    }
    let additions = additions.into_values();
    let additions = additions.filter_map(|file| fs::read_to_string(file).ok());
    own.into_iter().chain(additions).collect()
}

/// Whether a unit of these texts ends every process of its with its main one: the last
/// that says so counts, and one that says nothing stands for `control-group`.
fn ends(texts: &[String]) -> bool {
    let lines = texts.iter().flat_map(|text| text.lines());
    let settings = lines.filter_map(|line| line.split_once('='));
    let mut modes = settings.filter(|(name, _)| name.trim() == "KillMode");
    let mode = modes.next_back().map(|(_, mode)| mode.trim());
    !matches!(mode, Some("process" | "none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_one_of_our_control_group() {
        for (cgroups, unit) in [
            ("0::/system.slice/vpnmd.service\n", Some("vpnmd.service")),
            (
                "4:memory:/a.service\n1:name=systemd:/system.slice/b.service\n0::/\n",
                Some("b.service"),
            ),
            ("0::/user.slice/session-1.scope\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(own_name(cgroups).as_deref(), unit, "{cgroups}");
        }
    }

    #[test]
    fn the_last_word_of_a_unit_counts() {
        for (texts, expected) in [
            (&[] as &[&str], true),
            (&["[Service]\nExecStart=/usr/bin/vpnm daemon"], true),
            (&["KillMode=mixed"], true),
            (&["KillMode=process"], false),
            (&["KillMode = process \n"], false),
            (&["#KillMode=process"], true),
            (&["KillMode=process", "KillMode=control-group"], true),
            (&["KillMode=process", "KillMode="], true),
            (&["KillMode=mixed", "[Service]\nKillMode=none"], false),
        ] {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(ends(&texts), expected, "{texts:?}");
        }
    }

    #[test]
    fn the_unit_that_is_installed_ends_the_daemon_alone() {
        let unit = include_str!("../../../../packaging/systemd/vpnmd.service");
        assert!(!ends(&[unit.to_owned()]));
    }
}
