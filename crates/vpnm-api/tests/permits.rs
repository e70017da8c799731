//! The one table of permits: every method, and every kind of caller.

#[cfg(test)]
mod tests {
    use anyd::{Groups, Method, Peer, Subject};
    use vpnm_api::tunnel::{CONTROL_GROUP, TunnelService};

    /// The group's number on this imagined machine.
    const GID: u32 = 976;

    /// root, a member of the group, another user, root of another namespace,
    /// and nobody, who is in the group, as a user without a number here is seen.
    fn callers() -> [Peer; 5] {
        [
            Peer::uid(0),
            Peer::uid(1000).groups([GID]),
            Peer::uid(1001),
            Peer::uid(0).pid(0),
            Peer::uid(anyd::OVERFLOW_UID).groups([GID]),
        ]
    }

    fn permits(method: &Method) -> [bool; 5] {
        let groups = Groups::fixed([(CONTROL_GROUP, GID)]);
        callers().map(|peer| {
            method.access.allows(&Subject {
                peer: &peer,
                owner: None,
                groups: &groups,
            })
        })
    }

    #[test]
    fn the_whole_table() {
        let everybody = [true; 5];
        let control = [true, true, false, false, false];
        let root_only = [true, false, false, false, false];
        let expected = [
            ("Status", everybody),
            ("Watch", everybody),
            ("Connect", control),
            ("Disconnect", control),
            ("Reconnect", control),
            ("Lockdown", control),
            ("LiftLockdown", root_only),
        ];
        let methods = TunnelService::<()>::INTERFACE.methods;
        let found: Vec<_> = methods
            .iter()
            .map(|method| (method.name, permits(method)))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_group_that_the_machine_does_not_have_lets_nobody_in() {
        let groups = Groups::fixed([("another", GID)]);
        for peer in callers().iter().skip(1) {
            let subject = Subject {
                peer,
                owner: None,
                groups: &groups,
            };
            for method in TunnelService::<()>::INTERFACE.methods {
                let changes = !matches!(method.name, "Status" | "Watch");
                assert_eq!(method.access.allows(&subject), !changes, "{}", method.name);
            }
        }
    }
}
