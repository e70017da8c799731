//! Who may call a method.

use std::fmt;

use crate::groups::Groups;
use crate::peer::Peer;

/// A rule about callers, as `#[access(…)]` writes it.
///
/// | rule | who |
/// |---|---|
/// | `anyone` | every process that can open the socket |
/// | `root` | uid 0 |
/// | `uid = N` | the user N |
/// | `gid = N`, `group = "NAME"` | members of the group, by kernel's word |
/// | `owner` | the uid that the service's `owner()` names at that moment |
/// | `any(…)`, `all(…)` | at least one, every one of the rules |
///
/// A [foreign](Peer::is_foreign) peer meets only `anyone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every process that can open the socket.
    Anyone,
    /// Uid 0.
    Root,
    /// The user with this id.
    Uid(u32),
    /// Members of the group with this id.
    Gid(u32),
    /// Members of the group with this name in `/etc/group`.
    Group(&'static str),
    /// The uid that the service's `owner()` names.
    Owner,
    /// Whom at least one of these lets in.
    Any(&'static [Self]),
    /// Whom every one of these lets in.
    All(&'static [Self]),
}

/// What a rule is held against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who calls.
    pub peer: &'a Peer,
    /// The uid the service names as its owner.
    pub owner: Option<u32>,
    /// The names of groups.
    pub groups: &'a Groups,
}

impl Access {
    /// Whether the rule lets the subject in.
    #[must_use]
    pub fn allows(&self, subject: &Subject<'_>) -> bool {
        let peer = subject.peer;
        let known = !peer.is_foreign();
        match self {
            Self::Anyone => true,
            Self::Root => known && peer.uid == 0,
            Self::Uid(uid) => known && peer.uid == *uid,
            Self::Gid(gid) => known && peer.has_gid(*gid),
            Self::Group(name) => {
                known
                    && subject
                        .groups
                        .gid(name)
                        .is_some_and(|gid| peer.has_gid(gid))
            }
            Self::Owner => known && subject.owner == Some(peer.uid),
            Self::Any(rules) => rules.iter().any(|rule| rule.allows(subject)),
            Self::All(rules) => rules.iter().all(|rule| rule.allows(subject)),
        }
    }
}

#[cfg(feature = "server")]
impl Access {
    /// Whether the rule depends on who the owner is.
    pub(crate) fn asks_for_owner(&self) -> bool {
        match self {
            Self::Owner => true,
            Self::Any(rules) | Self::All(rules) => rules.iter().any(Self::asks_for_owner),
            Self::Anyone | Self::Root | Self::Uid(_) | Self::Gid(_) | Self::Group(_) => false,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::Root => f.write_str("root"),
            Self::Uid(uid) => write!(f, "uid {uid}"),
            Self::Gid(gid) => write!(f, "gid {gid}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Owner => f.write_str("the owner"),
            Self::Any(rules) => joined(f, rules, " or "),
            Self::All(rules) => joined(f, rules, " and "),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, rules: &[Access], word: &str) -> fmt::Result {
    for (at, rule) in rules.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        if matches!(rule, Access::Any(_) | Access::All(_)) {
            write!(f, "({rule})")?;
        } else {
            write!(f, "{rule}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGDEV: u32 = 46;
    const RULE: Access = Access::Any(&[
        Access::Root,
        Access::All(&[Access::Group("plugdev"), Access::Owner]),
    ]);

    fn allowed(rule: Access, peer: &Peer, owner: Option<u32>) -> bool {
        let groups = Groups::fixed([("plugdev", PLUGDEV)]);
        rule.allows(&Subject {
            peer,
            owner,
            groups: &groups,
        })
    }

    #[test]
    fn the_whole_table_of_rules_and_callers() {
        let root = Peer::uid(0);
        let member = Peer::uid(1000).groups([PLUGDEV]);
        let stranger = Peer::uid(1001);
        let foreign_root = Peer::uid(0).pid(0);
        let nobody = Peer::uid(65534).groups([PLUGDEV]);
        let callers = [&root, &member, &stranger, &foreign_root, &nobody];
        let table = [
            (Access::Anyone, [true, true, true, true, true]),
            (Access::Root, [true, false, false, false, false]),
            (Access::Uid(1000), [false, true, false, false, false]),
            (Access::Uid(65534), [false, false, false, false, false]),
            (Access::Gid(PLUGDEV), [false, true, false, false, false]),
            (Access::Group("plugdev"), [false, true, false, false, false]),
            (Access::Group("absent"), [false, false, false, false, false]),
            (Access::Owner, [false, true, false, false, false]),
            (RULE, [true, true, false, false, false]),
        ];
        for (rule, expected) in table {
            let got = callers.map(|caller| allowed(rule, caller, Some(1000)));
            assert_eq!(got, expected, "{rule}");
        }
    }

    #[test]
    fn nobody_owns_what_has_no_owner() {
        assert!(!allowed(Access::Owner, &Peer::uid(0), None));
        assert!(!allowed(RULE, &Peer::uid(1000).groups([PLUGDEV]), None));
    }

    #[test]
    fn a_rule_reads_as_a_sentence() {
        assert_eq!(RULE.to_string(), "root or (group plugdev and the owner)");
    }
}
