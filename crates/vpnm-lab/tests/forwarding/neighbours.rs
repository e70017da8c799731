//! Those for whom the client forwards: containers, a virtual machine's network, a
//! host behind it.

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::machine::shell;
use vpnm_lab::session::Session;

/// Two containers on docker0, one on a bridge of its own, and a host behind `eth1`,
/// which is as little a container's as a network card is; the client forwards, as
/// docker makes it.
const NETWORKS: &str = "
    set -e
    bridge() { ip link add $1 type bridge; ip link set $1 up
        ip addr add $2 dev $1; ip addr add $3 dev $1 nodad; }
    join() { ip netns add $1; ip link add $2 type veth peer name eth0 netns $1
        ip -n $1 link set lo up; ip -n $1 link set eth0 up
        ip -n $1 addr add $3 dev eth0; ip -n $1 addr add $4 dev eth0 nodad; }
    leads() { ip -n $1 route add default via $2; ip -n $1 -6 route add default via $3; }
    bridge docker0 172.17.0.1/16 fd00:17::1/64
    bridge br-shop 172.18.0.1/16 fd00:18::1/64
    join one veth1 172.17.0.2/16 fd00:17::2/64
    join two veth2 172.17.0.3/16 fd00:17::3/64
    join shop veth3 172.18.0.2/16 fd00:18::2/64
    ip link set veth1 master docker0; ip link set veth2 master docker0
    ip link set veth3 master br-shop
    for port in veth1 veth2 veth3; do ip link set $port up; done
    leads one 172.17.0.1 fd00:17::1; leads two 172.17.0.1 fd00:17::1
    leads shop 172.18.0.1 fd00:18::1
    join behind cable 192.168.88.5/24 fd00:88::5/64
    ip link set cable up; ip link add link cable name eth1 type macvlan mode bridge
    ip link set eth1 up; ip addr add 192.168.88.1/24 dev eth1
    ip addr add fd00:88::1/64 dev eth1 nodad
    leads behind 192.168.88.1 fd00:88::1
    echo 1 > /proc/sys/net/ipv4/ip_forward
    echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
    sleep 1";

/// What docker puts into the packet filter for docker0, a port 8080 of the first
/// container published; forwarding is closed for all others.
const DOCKER: &str = "nft -f - <<'END'
table ip nat {
  chain PREROUTING { type nat hook prerouting priority dstnat;
    fib daddr type local jump DOCKER; }
  chain OUTPUT { type nat hook output priority -100;
    ip daddr != 127.0.0.0/8 fib daddr type local jump DOCKER; }
  chain POSTROUTING { type nat hook postrouting priority srcnat;
    oifname != \"docker0\" ip saddr 172.17.0.0/16 masquerade; }
  chain DOCKER { iifname != \"docker0\" tcp dport 8080 dnat to 172.17.0.2:8080; }
}
table ip6 nat {
  chain POSTROUTING { type nat hook postrouting priority srcnat;
    oifname != \"docker0\" ip6 saddr fd00:17::/64 masquerade; }
}
table ip filter {
  chain DOCKER-USER { return; }
  chain DOCKER { iifname != \"docker0\" oifname \"docker0\" ip daddr 172.17.0.2 tcp dport 8080 accept; }
  chain FORWARD { type filter hook forward priority filter; policy drop;
    jump DOCKER-USER
    oifname \"docker0\" ct state related,established accept
    oifname \"docker0\" jump DOCKER
    iifname \"docker0\" oifname != \"docker0\" accept
    iifname \"docker0\" oifname \"docker0\" accept; }
}
END";

/// Adds the networks to a session's client, with docker's rules or without.
pub(crate) fn add(session: &Session, with_docker: bool) -> Result<()> {
    shell(session.client(), NETWORKS)?;
    if with_docker {
        shell(session.client(), DOCKER)?;
    }
    Ok(())
}

/// Runs a command in one of the networks.
pub(crate) fn run(session: &Session, place: &str, command: &str) -> Result<String> {
    shell(
        session.client(),
        &format!("ip netns exec {place} {command}"),
    )
}

/// What a page says, fetched in one of the networks.
pub(crate) fn fetch(session: &Session, place: &str, url: &str) -> Result<String> {
    run(session, place, &format!("curl -gsS -m 8 {url}"))
}

/// Makes sure that the site sees the node when it is visited from there.
pub(crate) fn comes_by_the_node(session: &Session, place: &str) -> Result<()> {
    for (url, node) in [
        ("http://198.51.100.80/address", "203.0.113.10"),
        ("http://[2001:db8:100::80]/address", "2001:db8:113::10"),
    ] {
        let page = fetch(session, place, url).with_context(|| format!("from {place}"))?;
        ensure!(page.trim() == node, "from {place} the site saw {page:?}");
    }
    Ok(())
}

/// Makes sure that a request fails, and at once: `curl` says so by itself, before
/// its time is over (28).
pub(crate) fn is_refused(session: &Session, place: &str, url: &str) -> Result<()> {
    let script = format!("curl -gsS -o /dev/null -m 8 {url}; echo $?");
    let script = format!("ip netns exec {place} sh -c '{script}' 2>/dev/null");
    let code = shell(session.client(), &script)?;
    ensure!(
        code.trim() == "7",
        "{url} from {place}: curl ended with {code}"
    );
    Ok(())
}
