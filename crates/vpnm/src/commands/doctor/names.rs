//! How names are resolved.

use vpnm_host::Asked;

use super::Check;
use super::finding::Finding;
use super::survey::Survey;

pub(super) const CHECKS: &[Check] = &[
    ("resolver", keeper),
    ("servers", servers),
    ("port-53", port_53),
];

fn keeper(survey: &Survey) -> Finding {
    match &survey.resolver {
        None => Finding::unknown(
            "the resolver settings were not seen",
            "/etc/resolv.conf cannot be read",
        ),
        Some(resolver) => Finding::good(format!(
            "/etc/resolv.conf is written by {}",
            resolver.keeper
        )),
    }
}

fn servers(survey: &Survey) -> Finding {
    let Some(resolver) = &survey.resolver else {
        return Finding::unknown(
            "the servers were not seen",
            "/etc/resolv.conf cannot be read",
        );
    };
    Finding::good(match resolver.asked {
        Asked::Resolved => "programs ask systemd-resolved, which asks through the tunnel",
        Asked::Local => "programs ask a resolver of this machine, which asks through the tunnel",
        Asked::Network => "programs ask servers of the network; vpnm answers for them",
        Asked::Nobody => "no server is named; vpnm answers on the loopback",
    })
}

fn port_53(survey: &Survey) -> Finding {
    if survey.resolvers_here.is_empty() {
        return Finding::good("nobody here listens for queries; vpnm needs no port 53");
    }
    Finding::note(
        format!(
            "queries are answered on {}",
            survey.resolvers_here.join(", ")
        ),
        "vpnm leaves them to it, and takes what it asks others",
    )
}
