//! What other programs do to the network.

use vpnm_host::{Family, Lookup, Rule, names};

use super::Check;
use super::finding::Finding;
use super::survey::Survey;

pub(super) const CHECKS: &[Check] = &[
    ("earlier", rules_above),
    ("later", rules_below),
    ("our-place", our_place),
    ("other-vpns", other_interfaces),
    ("daemons", other_daemons),
    ("firewalls", firewalls),
    ("drops", dropping_chains),
    ("nat", nat_chains),
    ("managers", managers),
];

/// Daemons of other VPNs, as the kernel shortens their names to 15 bytes.
const DAEMONS: [&str; 12] = [
    "tailscaled",
    "mullvad-daemon",
    "nordvpnd",
    "expressvpnd",
    "protonvpn",
    "openvpn",
    "netbird",
    "ivpn-service",
    "warp-svc",
    "sing-box",
    "mihomo",
    "wg-quick",
];
/// Names that other VPNs give their interfaces.
const NAMES: [&str; 9] = [
    "wg",
    "tun",
    "tailscale",
    "nordlynx",
    "proton",
    "mullvad",
    "ppp",
    "ipsec",
    "utun",
];

fn unseen() -> Finding {
    Finding::unknown("the rules were not seen", "the kernel refused to list them")
}

fn list(rules: &[&Rule]) -> String {
    let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn rules_above(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let Some(first) = network.rules_before_ours.first() else {
        return Finding::good("no rule of others is asked before vpnm's");
    };
    Finding::warning(
        list(&network.rules_before_ours.iter().collect::<Vec<_>>()),
        "what these lead elsewhere does not reach the tunnel: it is dropped while secured",
        format!("end the program that made them, or: {}", deletion(first)),
    )
}

fn rules_below(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    // The kernel's own are main, 32766, and default, 32767.
    let foreign =
        |rule: &&Rule| (*names::RULE_PRIORITIES.end() + 1..32_766).contains(&rule.priority);
    let below: Vec<&Rule> = network.rules.iter().filter(foreign).collect();
    if below.is_empty() {
        return Finding::good("no rule of others stands below vpnm's");
    }
    Finding::note(list(&below), "they have no effect while secured")
}

fn our_place(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let taken = |rule: &&Rule| {
        names::RULE_PRIORITIES.contains(&rule.priority) && rule.protocol != names::PROTOCOL
    };
    let uses = |rule: &&Rule| {
        rule.lookup == Lookup::Table(names::ROUTE_TABLE) && rule.protocol != names::PROTOCOL
    };
    let mut rules = network.rules.iter();
    if let Some(rule) = rules.find(|rule| taken(rule) || uses(rule)) {
        return Finding::problem(
            rule.to_string(),
            "another program uses the priorities or the table that vpnm keeps for itself",
            deletion(rule),
        );
    }
    let mut rules = network.rules.iter();
    let mut routes = network.routes.iter();
    // Routes do not tell who made them; vpnm's do not stand without its rules.
    if let Some(route) = routes.find(|route| route.table == names::ROUTE_TABLE)
        && !rules.any(|rule| rule.protocol == names::PROTOCOL)
    {
        return Finding::problem(
            format!("table {} has a route that is not vpnm's", route.table),
            "another program uses the table that vpnm keeps for itself",
            format!(
                "sudo ip{} route flush table {}",
                option(route.destination.family()),
                route.table
            ),
        );
    }
    Finding::good("priorities 7600 to 7620 and table 7670 are vpnm's alone")
}

/// What takes a rule away.
fn deletion(rule: &Rule) -> String {
    format!(
        "sudo ip{} rule del pref {}",
        option(rule.family),
        rule.priority
    )
}

/// What ip(8) is told of a family, which is IPv4 to it unless it is told.
fn option(family: Family) -> &'static str {
    match family {
        Family::V4 => "",
        Family::V6 => " -6",
    }
}

fn other_interfaces(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return Finding::unknown(
            "the interfaces were not seen",
            "the kernel refused to list them",
        );
    };
    let others = network
        .links
        .iter()
        .filter(|link| link.name != names::LINK && link.master.is_none() && link.settings.up);
    let others = others.filter(|link| {
        let by_name = NAMES.iter().any(|name| {
            link.name.strip_prefix(name).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            })
        });
        link.kind == "wireguard"
            || (link.kind == "tun" || link.kind == "ppp" || link.kind.is_empty()) && by_name
    });
    let others: Vec<&str> = others.map(|link| link.name.as_str()).collect();
    match others.first() {
        None => Finding::good("there is no interface of another VPN"),
        Some(first) => Finding::warning(
            format!("interfaces of other VPNs: {}", others.join(", ")),
            "their own packets are dropped while this machine is secured, so they do not work inside",
            format!("if it is not needed: sudo ip link set {first} down"),
        ),
    }
}

fn other_daemons(survey: &Survey) -> Finding {
    let running = survey
        .processes
        .iter()
        .filter(|name| DAEMONS.contains(&name.as_str()));
    let running: Vec<&str> = running.map(String::as_str).collect();
    match running.first() {
        None => Finding::good("no daemon of another VPN runs"),
        Some(first) => Finding::warning(
            format!("daemons of other VPNs: {}", running.join(", ")),
            "both change routes and the packet filter; vpnm puts its own back each time",
            format!("sudo systemctl stop {first}"),
        ),
    }
}

fn firewalls(survey: &Survey) -> Finding {
    let runs = |name: &str| survey.processes.iter().any(|process| process == name);
    let links = survey.network.iter().flat_map(|network| &network.links);
    let has_docker = links.into_iter().any(|link| link.name == "docker0");
    let all = [
        (runs("firewalld"), "firewalld"),
        (survey.service.has_ufw, "ufw"),
        (runs("dockerd") || has_docker, "docker"),
        (runs("libvirtd"), "libvirt"),
    ];
    let found: Vec<&str> = all
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| *name)
        .collect();
    if found.is_empty() {
        return Finding::good("no known firewall manager runs");
    }
    Finding::note(
        format!("rules are also made by {}", found.join(", ")),
        "packets must pass both; a reload of theirs does not open vpnm's",
    )
}

fn dropping_chains(survey: &Survey) -> Finding {
    let Some(filter) = &survey.filter else {
        return Finding::unknown(
            "the filters of others were not seen",
            "only root may: sudo vpnm doctor",
        );
    };
    let harmful = ["output", "postrouting", "egress"];
    let chains = filter
        .foreign
        .iter()
        .filter(|chain| chain.drops && harmful.contains(&chain.hook));
    let chains: Vec<String> = chains.map(ToString::to_string).collect();
    if chains.is_empty() {
        return Finding::good("no filter of others drops what it does not know on the way out");
    }
    Finding::warning(
        format!("drops what it does not know: {}", chains.join("; ")),
        "vpnm0 and the way to the server must be let through there too",
        "sudo nft list ruleset; then permit oifname vpnm0 and the user _vpnm",
    )
}

fn nat_chains(survey: &Survey) -> Finding {
    let Some(filter) = &survey.filter else {
        return Finding::unknown(
            "address translation was not seen",
            "only root may: sudo vpnm doctor",
        );
    };
    let chains = filter
        .foreign
        .iter()
        .filter(|chain| chain.kind == "nat" && chain.hook == "output");
    let chains: Vec<String> = chains.map(ToString::to_string).collect();
    if chains.is_empty() {
        return Finding::good("nobody else rewrites where this machine's packets go");
    }
    Finding::note(
        format!("destinations may be rewritten by {}", chains.join("; ")),
        "wherever they are sent, they leave by the tunnel or not at all",
    )
}

fn managers(survey: &Survey) -> Finding {
    const KNOWN: [&str; 5] = [
        "NetworkManager",
        "systemd-network",
        "dhclient",
        "dhcpcd",
        "connmand",
    ];
    let running = survey
        .processes
        .iter()
        .filter(|name| KNOWN.contains(&name.as_str()));
    let running: Vec<&str> = running.map(String::as_str).collect();
    if running.is_empty() {
        return Finding::good("no known network manager runs");
    }
    Finding::good(format!("the network is managed by {}", running.join(", ")))
}
