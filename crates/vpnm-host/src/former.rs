//! Names that ways to the internet had or may have: one that was gone, or gave its name
//! away, comes back under it as a rule.

use std::collections::BTreeSet;

use crate::interfaces::is_own;
use crate::netlink::link_name_bytes;
use crate::rtnl::Link;

/// Names kept of links that are gone or were renamed; each takes a place in a chain.
const KEPT: usize = 16;
/// Other names kept of each link that is there, which take one, too.
const OTHERS: usize = 4;
/// Bytes of the name of a link (`IFNAMSIZ`, without the closing zero); another name of
/// it may be longer.
const LONGEST: usize = 15;

/// The names of links by which this host left its own networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FormerNames {
    /// The latest last.
    names: Vec<String>,
}

impl FormerNames {
    /// Notes names that somebody knew, or that a link has.
    pub(crate) fn learn(&mut self, names: Vec<String>) {
        self.names.retain(|name| !names.contains(name));
        self.names.extend(names);
    }

    /// Notes the names of the links that lead out; returns those noted that no link has
    /// for its own, sorted: all other names of links that lead out now, and the latest of
    /// those that did.
    pub(crate) fn absent(&mut self, links: &[Link], uplinks: &BTreeSet<u32>) -> Vec<String> {
        let is_uplink = |link: &&Link| uplinks.contains(&link.index) && !is_own(link);
        let leading_out = || links.iter().filter(is_uplink);
        let others: BTreeSet<String> = leading_out().flat_map(others).cloned().collect();
        self.learn(others.iter().cloned().collect());
        self.learn(leading_out().map(|link| link.name.clone()).collect());
        let is_taken = |name: &String| links.iter().any(|link| link.name == *name);
        let absent = |name: &&String| !is_taken(name) && !others.contains(*name);
        let absent = self.names.iter().rev().filter(absent);
        let mut absent: BTreeSet<String> = absent.take(KEPT).cloned().collect();
        absent.extend(others);
        let stays = |name: &String| is_taken(name) || absent.contains(name);
        self.names.retain(stays);
        absent.into_iter().collect()
    }
}

/// The other names of a link that it could have for its own.
fn others(link: &Link) -> impl Iterator<Item = &String> {
    let others = link.other_names.iter();
    let fitting = others.filter(|name| link_name_bytes(name).len() <= LONGEST);
    fitting.take(OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces::tests::link;

    fn absent(names: &mut FormerNames, links: &[(u32, &str)]) -> Vec<String> {
        let uplinks = links.iter().map(|(index, _)| *index).collect();
        let link = |(index, name): &(u32, &str)| link(*index, name, "", None);
        let links: Vec<Link> = links.iter().map(link).collect();
        names.absent(&links, &uplinks)
    }

    #[test]
    fn a_name_is_absent_while_no_link_has_it() {
        let mut names = FormerNames::default();
        assert!(absent(&mut names, &[(2, "eth0"), (3, "wlan0")]).is_empty());
        assert_eq!(absent(&mut names, &[(2, "wan0")]), ["eth0", "wlan0"]);
        assert_eq!(absent(&mut names, &[(2, "eth0")]), ["wan0", "wlan0"]);
        assert_eq!(absent(&mut names, &[]), ["eth0", "wan0", "wlan0"]);
    }

    #[test]
    fn what_never_led_out_has_no_name_to_keep() {
        let mut names = FormerNames::default();
        let links = [link(1, "lo", "", None), link(2, "veth0", "veth", None)];
        assert!(names.absent(&links, &[1].into()).is_empty());
        assert!(names.absent(&[], &[].into()).is_empty());
    }

    #[test]
    fn other_names_of_a_link_are_absent_unless_they_are_too_long_for_its_own() {
        let mut one = link(2, "eth0", "", None);
        let others = ["enp1s0", "enx0123456789ab", "a-name-of-more-than-15-bytes"];
        one.other_names = others.map(str::to_owned).to_vec();
        let mut names = FormerNames::default();
        let absent = names.absent(&[one], &[2].into());
        assert_eq!(absent, ["enp1s0", "enx0123456789ab"]);
    }

    #[test]
    fn the_latest_names_are_kept() {
        let mut names = FormerNames::default();
        for number in 0..40 {
            let name = format!("ppp{number:02}");
            let kept = absent(&mut names, &[(number, &name)]);
            assert!(kept.len() <= KEPT);
        }
        let kept = absent(&mut names, &[]);
        let latest: Vec<String> = (24..40).map(|number| format!("ppp{number}")).collect();
        assert_eq!(kept, latest);
    }

    #[test]
    fn other_names_of_what_is_there_push_no_former_one_out() {
        let many = |number: u32| {
            let mut one = link(number, &format!("eth{number}"), "", None);
            let other = |nth| format!("other{number:02}{nth}");
            one.other_names = (0..9).map(other).collect();
            one
        };
        let links: Vec<Link> = (2..12).map(many).collect();
        let uplinks = links.iter().map(|link| link.index).collect();
        let mut names = FormerNames::default();
        for number in 0..40 {
            let name = format!("ppp{number:02}");
            absent(&mut names, &[(100, &name)]);
        }
        for _ in 0..3 {
            let absent = names.absent(&links, &uplinks);
            let (former, others): (Vec<_>, Vec<_>) =
                absent.iter().partition(|name| name.starts_with("ppp"));
            assert_eq!((former.len(), others.len()), (KEPT, links.len() * OTHERS));
        }
        let absent = names.absent(&[], &BTreeSet::new());
        assert_eq!(absent.len(), KEPT);
        for link in &links {
            assert!(absent.contains(&link.name), "{absent:?}");
        }
    }
}
