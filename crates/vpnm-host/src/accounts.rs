//! Users and groups, read from the text of `/etc/passwd` and `/etc/group`.
//!
//! A static binary has no name service switch; accounts that only a directory
//! service knows are not found.

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The account's name.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The group's name.
    pub name: String,
    /// Its number.
    pub gid: u32,
    /// The names of its supplementary members.
    pub members: Vec<String>,
}

/// Finds a user by name in the text of `/etc/passwd`; malformed lines are passed over.
#[must_use]
pub fn user(passwd: &str, name: &str) -> Option<User> {
    users(passwd).find(|user| user.name == name)
}

/// Finds a group by name in the text of `/etc/group`; malformed lines are passed over.
#[must_use]
pub fn group(group: &str, name: &str) -> Option<Group> {
    groups(group).find(|group| group.name == name)
}

/// Whether the user of that uid belongs to the group, as its primary group or by name.
#[must_use]
pub fn is_member(passwd: &str, uid: u32, group: &Group) -> bool {
    users(passwd)
        .filter(|user| user.uid == uid)
        .any(|user| user.gid == group.gid || group.members.contains(&user.name))
}

fn users(passwd: &str) -> impl Iterator<Item = User> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let _password = fields.next()?;
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User {
            name: name.to_owned(),
            uid,
            gid,
        })
    })
}

fn groups(group: &str) -> impl Iterator<Item = Group> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let _password = fields.next()?;
        let gid = fields.next()?.parse().ok()?;
        let members = fields.next().unwrap_or_default();
        let members = members.split(',').map(str::trim);
        Some(Group {
            name: name.to_owned(),
            gid,
            members: members
                .filter(|m| !m.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        broken line\n\
        :x:5:5:::\n\
        alice:x:1000:1000::/home/alice:/bin/sh\n\
        bob:x:1001:990::/home/bob:/bin/sh\n\
        huge:x:99999999999:1::/:/bin/sh\n\
        _vpnm:x:990:990::/nonexistent:/usr/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nvpnm:x:990:alice, carol,\nempty\n";

    #[test]
    fn accounts_are_found_by_name() {
        let user = user(PASSWD, "_vpnm").unwrap();
        assert_eq!((user.uid, user.gid), (990, 990));
        let group = group(GROUP, "vpnm").unwrap();
        assert_eq!(group.members, ["alice", "carol"]);
    }

    #[test]
    fn what_is_malformed_is_no_account() {
        assert_eq!(user(PASSWD, ""), None);
        assert_eq!(user(PASSWD, "huge"), None);
        assert_eq!(user(PASSWD, "broken line"), None);
        assert_eq!(group(GROUP, "empty"), None);
    }

    #[test]
    fn membership_is_by_name_or_primary_group() {
        let group = group(GROUP, "vpnm").unwrap();
        assert!(is_member(PASSWD, 1000, &group));
        assert!(is_member(PASSWD, 1001, &group));
        assert!(!is_member(PASSWD, 0, &group));
        assert!(!is_member(PASSWD, 4242, &group));
    }
}
