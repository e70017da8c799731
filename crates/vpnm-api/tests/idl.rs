//! The interfaces as text: a change of the contract shows up in review.

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vpnm_api::engine::EngineService;
    use vpnm_api::tunnel::TunnelService;

    #[test]
    fn the_interfaces_are_as_published() {
        let interfaces = [
            EngineService::<()>::INTERFACE,
            TunnelService::<()>::INTERFACE,
        ];
        for interface in interfaces {
            let file = format!(
                "{}/idl/{}.varlink",
                env!("CARGO_MANIFEST_DIR"),
                interface.name
            );
            anyd::test::golden(Path::new(&file), &interface.idl());
        }
    }

    #[test]
    fn every_method_says_who_may_call_it() {
        let expected = [
            ("Status", "anyone"),
            ("Watch", "anyone"),
            ("Connect", "root or group vpnm"),
            ("Disconnect", "root or group vpnm"),
            ("Reconnect", "root or group vpnm"),
            ("Lockdown", "root or group vpnm"),
            ("LiftLockdown", "root"),
        ];
        let methods = TunnelService::<()>::INTERFACE.methods;
        let got: Vec<_> = methods
            .iter()
            .map(|m| (m.name, m.access.to_string()))
            .collect();
        let got: Vec<_> = got
            .iter()
            .map(|(name, access)| (*name, access.as_str()))
            .collect();
        assert_eq!(got, expected);
    }
}
