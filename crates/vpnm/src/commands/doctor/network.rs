//! The network below the tunnel.

use std::net::IpAddr;

use vpnm_api::{Goal, State};
use vpnm_host::{Family, RouteKind, names};

use super::Check;
use super::finding::Finding;
use super::survey::{Network, Survey};

pub(super) const CHECKS: &[Check] = &[
    ("uplink", uplink),
    ("ways-out", ways_out),
    ("mtu", mtu),
    ("ipv6", ipv6),
    ("privacy", privacy),
    ("addresses", addresses),
    ("interface", interface),
    ("rp-filter", reverse_path),
    ("link-down", link_down),
    ("localnet", localnet),
    ("forwarding", forwarding),
    ("containers", containers),
    ("leftovers", leftovers),
];

/// IPv6 works on no link with smaller packets (RFC 8200, section 5).
const LEAST_MTU: u32 = 1280;

fn unseen() -> Finding {
    Finding::unknown("the network was not seen", "the kernel refused to list it")
}

/// The links of default routes that are not ours.
fn uplinks(network: &Network, family: Family) -> Vec<&str> {
    let theirs = network
        .routes
        .iter()
        .filter(|route| route.table != names::ROUTE_TABLE);
    let theirs =
        theirs.filter(|route| route.destination.is_any() && route.destination.family() == family);
    let links = theirs.filter_map(|route| match route.kind {
        RouteKind::Link { link, .. } => network.links.iter().find(|one| one.index == link),
        RouteKind::Unreachable | RouteKind::Other(_) => None,
    });
    let mut names: Vec<&str> = links.map(|link| link.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn uplink(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    match (
        uplinks(network, Family::V4).as_slice(),
        uplinks(network, Family::V6).as_slice(),
    ) {
        ([], []) => Finding::problem(
            "there is no default route",
            "no server can be reached",
            "connect this machine to a network; then: ip route show default",
        ),
        (v4, []) => Finding::good(format!("IPv4 leaves by {}", v4.join(", "))),
        ([], v6) => Finding::note(
            format!("only IPv6 leaves, by {}", v6.join(", ")),
            "a server that has IPv4 addresses alone cannot be reached",
        ),
        (v4, v6) if v4 == v6 => Finding::good(format!("IPv4 and IPv6 leave by {}", v4.join(", "))),
        (v4, v6) => Finding::good(format!(
            "IPv4 leaves by {}, IPv6 by {}",
            v4.join(", "),
            v6.join(", ")
        )),
    }
}

fn ways_out(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let several = Family::BOTH.map(|family| uplinks(network, family));
    match several.iter().find(|links| links.len() > 1) {
        None => Finding::good("there is one way out at most"),
        Some(links) => Finding::note(
            format!("there are several ways out: {}", links.join(", ")),
            "the server is reached by the one with the lowest metric; when that changes, vpnm reconnects",
        ),
    }
}

fn mtu(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let links = network
        .links
        .iter()
        .filter(|link| network.uplinks.contains(&link.index));
    let Some(smallest) = links.min_by_key(|link| link.settings.mtu) else {
        return Finding::unknown("no packet size was seen", "there is no way out");
    };
    let (name, mtu) = (&smallest.name, smallest.settings.mtu);
    if mtu < LEAST_MTU {
        return Finding::problem(
            format!("{name} carries packets of {mtu} bytes only"),
            "IPv6 does not work below 1280, and most servers' answers do not fit",
            format!("sudo ip link set {name} mtu 1280"),
        );
    }
    let probing = survey
        .setting("net/ipv4/tcp_mtu_probing")
        .unwrap_or_default();
    if mtu < 1500 && probing == 0 {
        return Finding::note(
            format!(
                "{name} carries packets of {mtu} bytes, {probing_off}",
                probing_off = "and black holes are not probed for"
            ),
            "if connections to the server stall: sudo sysctl net.ipv4.tcp_mtu_probing=1",
        );
    }
    Finding::good(format!("{name} carries packets of {mtu} bytes"))
}

fn ipv6(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let is_off = survey.setting("net/ipv6/conf/all/disable_ipv6") == Some(1);
    if !network.kernel.ipv6 || is_off {
        return Finding::note(
            "IPv6 is switched off on this machine",
            "programs use IPv4 in the tunnel; nothing has to be done",
        );
    }
    if uplinks(network, Family::V6).is_empty() {
        return Finding::good("IPv6 has no way out of its own; the tunnel gives it one");
    }
    Finding::good("IPv6 goes into the tunnel like IPv4")
}

fn privacy(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    // The middle of an identifier made from a hardware address (RFC 4291, appendix A).
    let is_hardware =
        |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.octets().get(11..13) == Some(&[0xff, 0xfe]));
    let is_global =
        |ip: IpAddr| matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xe000 == 0x2000);
    let shown = network
        .addresses
        .iter()
        .find(|a| is_global(a.prefix.ip) && is_hardware(a.prefix.ip));
    let link = shown.and_then(|a| network.links.iter().find(|link| link.index == a.link));
    let Some(link) = link else {
        return Finding::good("no IPv6 address tells the hardware's");
    };
    let setting = format!("net/ipv6/conf/{}/use_tempaddr", link.name);
    if survey.setting(&setting) == Some(2) {
        return Finding::good(format!("{} prefers temporary IPv6 addresses", link.name));
    }
    Finding::note(
        format!(
            "the IPv6 address of {} tells its hardware address",
            link.name
        ),
        format!(
            "the server, and without the tunnel every site, sees it; sudo sysctl net/ipv6/conf/{}/use_tempaddr=2",
            link.name
        ),
    )
}

fn addresses(survey: &Survey) -> Finding {
    match &survey.network {
        None => unseen(),
        Some(network) if network.no_free_address => Finding::problem(
            "every address kept for the tunnel is in use here",
            "the tunnel needs one of 198.18.76.70, 10.176.76.70, 172.30.76.70, 192.168.176.70 and an IPv6 one",
            "ip address show; then free one of these ranges",
        ),
        Some(_) => Finding::good("addresses for the tunnel are free"),
    }
}

fn interface(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let Some(link) = network.links.iter().find(|link| link.name == names::LINK) else {
        return Finding::good("the name vpnm0 is free");
    };
    match link.tun {
        Some(tun) if !tun.persistent && survey.daemon.is_ok() => {
            Finding::good("vpnm0 is the daemon's")
        }
        Some(tun) if !tun.persistent => {
            Finding::note("vpnm0 is there", "the daemon that holds it does not answer")
        }
        Some(_) | None => Finding::problem(
            "an interface vpnm0 exists that vpnm did not make",
            "the tunnel's interface has this name",
            "sudo ip link delete vpnm0",
        ),
    }
}

fn reverse_path(survey: &Survey) -> Finding {
    let strict: Vec<&str> = survey.links_with("ipv4", "rp_filter", 1);
    let loose = survey.links_with("ipv4", "rp_filter", 2);
    let strict: Vec<&str> = strict
        .into_iter()
        .filter(|link| !loose.contains(link))
        .collect();
    if strict.is_empty() {
        return Finding::good("no interface filters by a strict reverse path");
    }
    Finding::note(
        format!("strict reverse path filter: {}", strict.join(", ")),
        "vpnm adds rules that let the server's answers in; nothing has to be done",
    )
}

fn link_down(survey: &Survey) -> Finding {
    let of = |family| survey.links_with(family, "ignore_routes_with_linkdown", 1);
    let mut links = [of("ipv4"), of("ipv6")].concat();
    links.sort_unstable();
    links.dedup();
    if links.is_empty() {
        return Finding::good("routes of interfaces that are down are kept");
    }
    Finding::note(
        format!(
            "routes are passed over while an interface is down: {}",
            links.join(", ")
        ),
        "this opens other VPNs when their tunnel dies; here the filter and a last route hold",
    )
}

fn localnet(survey: &Survey) -> Finding {
    let links = survey.links_with("ipv4", "route_localnet", 1);
    if links.is_empty() {
        return Finding::good("loopback addresses stay on this machine");
    }
    Finding::note(
        format!("loopback addresses are routed on {}", links.join(", ")),
        "others on that network may reach services meant for this machine alone when it is not secured",
    )
}

fn forwarding(survey: &Survey) -> Finding {
    let v4 = survey.setting("net/ipv4/ip_forward") == Some(1);
    let v6 = survey.setting("net/ipv6/conf/all/forwarding") == Some(1);
    let families = match (v4, v6) {
        (false, false) => return Finding::good("this machine forwards nothing"),
        (true, false) => "IPv4",
        (false, true) => "IPv6",
        (true, true) => "IPv4 and IPv6",
    };
    let goes = match survey
        .service
        .settings
        .as_ref()
        .map(|settings| settings.forwarding)
    {
        Ok(vpnm_daemon::settings::ForOthers::Tunnel) => {
            "containers use the tunnel, and hosts behind interfaces that `serve` names"
        }
        Ok(vpnm_daemon::settings::ForOthers::Block) => {
            "containers and hosts behind it are refused, as the settings say"
        }
        Err(_) => "the settings cannot be read",
    };
    Finding::note(
        format!("this machine forwards {families}"),
        format!("while secured, {goes}"),
    )
}

fn containers(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let bridges = network.links.iter().filter(|link| link.kind == "bridge");
    let bridges: Vec<&str> = bridges.map(|link| link.name.as_str()).collect();
    if bridges.is_empty() {
        return Finding::good("there are no bridges");
    }
    let v4 = survey.setting("net/ipv4/ip_forward") == Some(1);
    let found = format!("bridges: {}", bridges.join(", "));
    if v4 {
        return Finding::good(found);
    }
    Finding::note(
        found,
        "IPv4 is not forwarded (net.ipv4.ip_forward=0), so what is behind them has no way out",
    )
}

/// Something of ours, and nobody who keeps it.
fn leftovers(survey: &Survey) -> Finding {
    let Some(network) = &survey.network else {
        return unseen();
    };
    let ours = network
        .rules
        .iter()
        .filter(|rule| rule.protocol == names::PROTOCOL);
    let ours = ours
        .filter(|rule| names::RULE_PRIORITIES.contains(&rule.priority))
        .count();
    match (&survey.daemon, ours) {
        (_, 0) => Finding::good("no rule of vpnm's is in place"),
        (Err(_), _) => Finding::problem(
            format!("this machine is blocked by {ours} rules, and no daemon answers"),
            "a daemon that was connected has ended",
            "sudo vpnm daemon, or to open the machine: sudo vpnm cleanup",
        ),
        (Ok(status), _)
            if status.goal == Goal::Open
                && status.state == State::Disconnected
                && !status.lockdown =>
        {
            Finding::warning(
                format!("{ours} rules of vpnm's are in place while it is disconnected"),
                "somebody has put them there",
                "sudo vpnm cleanup",
            )
        }
        (Ok(_), _) => Finding::good(format!("{ours} rules of vpnm's are in place")),
    }
}
