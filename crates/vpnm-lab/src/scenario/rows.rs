//! The matrix. Where a row attacks by routes, the attacker is the LAN's other
//! device, 192.168.77.9 and 2001:db8:77::9.

mod deaths;
mod machine;
mod routes;
mod sockets;
mod updates;

use vpnm_world::User;

use super::{Aftermath, Protection, Row, Step};

/// A row that differs from this only in what it says.
const PLAIN: Row = Row {
    number: 0,
    name: "",
    user: User::Mallory,
    only: &[],
    focus: &[],
    before: &[],
    attack: &[Step::Probe],
    undo: &[],
    aftermath: Aftermath::Connected,
    unsuited: &[],
    turns: None,
};

/// Of a story about what only the program under test has, or does: why so.
const fn ours(why: &'static str) -> [(Protection, &'static str); 2] {
    [(Protection::WgQuick, why), (Protection::SingBox, why)]
}

const UP: &[&str] = &["connected"];

/// An interface that went down has lost its routes and IPv6 addresses.
const RAISE_ETH0: &str = "ip link set eth0 up && \
    ip route add default via 192.168.77.1 proto static && \
    ip -6 addr add 2001:db8:77::2/64 dev eth0 nodad && \
    ip -6 route add default via 2001:db8:77::1 proto static";

/// Scenarios that are not run: number, name, and why.
pub const NOT_RUN: &[(u8, &str, &str)] = &[
    (40, "captive portal", "not built yet"),
    (41, "programs left out of the tunnel", "not built yet"),
];

/// Every scenario that is run, by number.
#[must_use]
pub fn rows() -> Vec<&'static Row> {
    let parts = [
        deaths::ROWS,
        routes::ROWS,
        machine::ROWS,
        sockets::ROWS,
        updates::ROWS,
    ];
    let mut rows: Vec<&'static Row> = parts.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.number);
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_number_is_there() {
        let run = rows().into_iter().map(|row| row.number);
        let numbers: BTreeSet<u8> = run.chain(NOT_RUN.iter().map(|row| row.0)).collect();
        assert_eq!(numbers, (1..=43).collect());
    }

    #[test]
    fn the_readme_says_how_many_ways_there_are() {
        let text = include_str!("../../../../README.md");
        assert!(
            text.contains(&format!("in {} ways", rows().len())),
            "{}",
            rows().len()
        );
    }

    #[test]
    fn every_row_attacks_and_has_a_name_of_its_own() {
        assert!(rows().iter().all(|row| !row.attack.is_empty()));
        let names: BTreeSet<&str> = rows().iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows().len());
    }
}
