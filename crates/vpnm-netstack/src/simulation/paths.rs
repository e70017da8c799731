//! Datagrams to hosts behind this one, on whose path is a narrower link.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vpnm_wire::{
    Checksum, ChecksumState, FlowKey, Head, IpBuilder, IpHeader, UDP_HEADER, UdpHeader, VnetHeader,
    protocol,
};

use super::script::{Script, THEIRS};
use crate::config::Config;
use crate::event::Event;
use crate::packet::Ingress;
use crate::stack::Stack;
use crate::wake::Wake;

const HOSTS: [[&str; 3]; 2] = [
    ["10.0.0.1", "192.0.2.1", "10.0.0.254"],
    ["2001:db8::1", "2001:db8:1::1", "2001:db8::fe"],
];

/// A stack, an application that sent a datagram to a server, and a router before it.
struct Paths {
    stack: Stack,
    now: Instant,
    application: SocketAddr,
    server: SocketAddr,
    router: SocketAddr,
}

impl Paths {
    fn new(v6: bool, offload: bool) -> Self {
        let mut config = Config::new(1_500, [4; 32]);
        config.offload = offload;
        let [application, server, router] = HOSTS[usize::from(v6)];
        let at = |host: &str, port| SocketAddr::new(host.parse().unwrap(), port);
        let mut paths = Self {
            stack: Stack::new(&config),
            now: Instant::now(),
            application: at(application, 5),
            server: at(server, 7),
            router: at(router, 0),
        };
        let mut datagram = Head::new();
        let header = UdpHeader {
            source: 5,
            destination: 7,
            length: 8,
            checksum: [0, 0],
        };
        header.encode(&mut datagram);
        let (from, to) = (paths.application, paths.server);
        paths.give(from, to, protocol::UDP, datagram.bytes());
        assert!(matches!(
            paths.stack.poll_event(),
            Some(Event::UdpIncoming { .. })
        ));
        paths
    }

    fn v6(&self) -> bool {
        self.server.is_ipv6()
    }

    /// A packet whose checksum need not be verified.
    fn give(&mut self, from: SocketAddr, to: SocketAddr, protocol: u8, content: &[u8]) {
        let packet = packet(from, to, protocol, content);
        let offload = VnetHeader {
            checksum: ChecksumState::Verified,
            ..VnetHeader::default()
        };
        let content = self.stack.pool().copy(&packet);
        let packet = Ingress::offloaded(content, offload);
        self.stack.handle_packet(packet, self.now);
    }

    /// The router's link takes no more than `mtu` bytes of what `quoted` is the beginning of.
    fn too_big(&mut self, mtu: u32, quoted: &[u8]) {
        let kind = if self.v6() { [2, 0] } else { [3, 4] };
        let protocol = if self.v6() {
            protocol::ICMPV6
        } else {
            protocol::ICMP
        };
        let quoted = &quoted[..quoted.len().min(548)];
        let message = [&kind[..], &[0; 2], &mtu.to_be_bytes(), quoted].concat();
        self.give(self.router, self.server, protocol, &message);
        assert!(self.stack.poll_transmit(self.now).is_none());
    }

    fn sent(&mut self) -> Vec<(Vec<u8>, VnetHeader)> {
        let mut sent = Vec::new();
        while let Some(packet) = self.stack.poll_transmit(self.now) {
            sent.push((packet.parts().concat(), packet.offload()));
        }
        sent
    }

    /// The packets of one datagram to the application.
    fn send(&mut self, len: usize) -> Vec<Vec<u8>> {
        // Every piece of it looks as if the ports were in it.
        let payload: Vec<u8> = [0, 7, 0, 5].into_iter().cycle().take(len).collect();
        self.stack.udp_send(self.server, self.application, &payload);
        self.sent().into_iter().map(|sent| sent.0).collect()
    }

    /// How long the packets of a datagram of 3000 bytes are, which is complete.
    fn lengths(&mut self) -> Vec<usize> {
        let sent = self.send(3_000);
        let mut whole = None;
        for part in &sent {
            assert!(whole.is_none());
            let part = Ingress::plain(self.stack.pool().copy(part));
            whole = self.stack.reassemble(part, self.now);
        }
        let whole = whole.expect("all parts were there");
        let ip = IpHeader::parse(whole.content()).unwrap();
        let datagram = ip.payload(whole.content());
        let mut sum =
            Checksum::pseudo_header(ip.source, ip.destination, protocol::UDP, datagram.len());
        sum.add(datagram);
        assert!(sum.is_valid() && datagram.len() == UDP_HEADER + 3_000);
        sent.iter().map(Vec::len).collect()
    }
}

fn packet(from: SocketAddr, to: SocketAddr, protocol: u8, content: &[u8]) -> Vec<u8> {
    let ip = IpBuilder {
        source: from.ip(),
        destination: to.ip(),
        protocol,
        payload_len: content.len(),
        fragment: None,
    };
    let mut head = Head::new();
    assert!(ip.encode(&mut head));
    [head.bytes(), content].concat()
}

/// Whether a packet of IPv4 forbids to cut it.
fn is_uncut(packet: &[u8]) -> bool {
    packet[6] & 0x40 != 0
}

#[test]
fn parts_are_as_long_as_the_path_takes() {
    for (v6, before, after) in [
        (false, [1_500, 1_500, 68], [1_300, 1_300, 468]),
        (true, [1_496, 1_496, 160], [1_296, 1_296, 560]),
    ] {
        let mut paths = Paths::new(v6, false);
        assert_eq!(paths.lengths(), before);
        let whole = paths.send(1_300);
        assert_eq!(whole.len(), 1);
        paths.too_big(1_300, &whole[0]);
        assert_eq!(paths.lengths(), after);
        assert_eq!(
            paths.send(1_300).len(),
            2,
            "what fits the link does not fit"
        );
        let short = paths.send(1_200);
        assert!(short.len() == 1 && (v6 || is_uncut(&short[0])));
        let other = SocketAddr::new(paths.router.ip(), 5);
        paths.stack.udp_send(paths.server, other, &[7; 1_400]);
        assert_eq!(paths.sent().len(), 1, "another path is as wide as before");
    }
}

#[test]
fn parts_of_parts_tell_too() {
    let mut paths = Paths::new(true, false);
    let parts = paths.send(3_000);
    paths.too_big(1_400, &parts[1]);
    assert_eq!(paths.send(1_400).len(), 1, "whose it was is not in it");
    paths.too_big(1_400, &parts[0]);
    assert_eq!(paths.lengths()[0], 1_400);
}

#[test]
fn super_packets_are_for_paths_that_take_their_parts() {
    for v6 in [false, true] {
        let mut paths = Paths::new(v6, true);
        let send = |paths: &mut Paths, segment: usize| {
            let payloads = vec![7; 4 * segment];
            let ends = (paths.server, paths.application);
            paths
                .stack
                .udp_send_batch(ends.0, ends.1, &payloads, segment);
            paths.sent().len()
        };
        assert_eq!(send(&mut paths, 1_400), 1);
        let whole = paths.send(1_400);
        paths.too_big(1_380, &whole[0]);
        assert_eq!(send(&mut paths, 1_400), 8, "two parts of each");
        assert_eq!(send(&mut paths, 1_300), 1);
        assert_eq!(paths.send(1_400).len(), 2);
    }
}

#[test]
fn a_path_that_takes_next_to_nothing_may_cut() {
    for mtu in [551, 0] {
        let mut paths = Paths::new(false, true);
        let whole = paths.send(1_400);
        paths.too_big(mtu, &whole[0]);
        assert_eq!(paths.lengths()[0], 548);
        let short = paths.send(500);
        assert!(short.len() == 1 && !is_uncut(&short[0]));
        assert_ne!(short[0][4..6], [0, 0], "its parts must be told from others");
        assert!(IpHeader::parse(&short[0]).is_ok());
    }
}

#[test]
fn only_what_is_said_of_a_flow_is_believed() {
    for v6 in [false, true] {
        let mut paths = Paths::new(v6, false);
        let (application, server) = (paths.application, paths.server);
        let quoted = |from: SocketAddr, to: SocketAddr| {
            let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()];
            let datagram = [&ports.concat()[..], &[5, 0, 0, 0], &[7; 1_272]].concat();
            packet(from, to, protocol::UDP, &datagram)
        };
        let elsewhere = |at: SocketAddr| SocketAddr::new(at.ip(), 9);
        for (mtu, quoted) in [
            (1_400, quoted(elsewhere(server), application)),
            (1_400, quoted(server, elsewhere(application))),
            (1_400, quoted(paths.router, application)),
            (1_400, quoted(application, server)),
            (1_500, quoted(server, application)),
            (9_000, quoted(server, application)),
        ] {
            paths.too_big(mtu, &quoted);
            assert_eq!(paths.send(1_400).len(), 1, "{mtu}");
        }
        paths.too_big(1_400, &quoted(server, application));
        assert_eq!(paths.send(1_400).len(), 2);
    }
}

#[test]
fn no_path_of_ipv6_is_narrower_than_every_link() {
    for (mtu, shorter) in [(0, false), (1_279, false), (1_280, true), (1_400, true)] {
        let mut script = Script::new();
        let [application, server, router] = HOSTS[1].map(|host| host.parse().unwrap());
        let ends = [SocketAddr::new(application, 5), SocketAddr::new(server, 7)];
        script.key = FlowKey::new(ends[0], ends[1]);
        script.max_segment = Some(1_440);
        script.shake_hands(THEIRS);
        script.stack.tcp_send(script.id(), &[7; 1_440], script.now);
        let sent = script.answers();
        assert_eq!(sent.len(), 1);
        let segment = [&[0, 7, 0, 5], &sent[0].seq.0.to_be_bytes()[..], &[0; 12]].concat();
        let quoted = packet(ends[1], ends[0], protocol::TCP, &segment);
        let message = [&[2, 0, 0, 0], &u32::to_be_bytes(mtu)[..], &quoted].concat();
        let router = SocketAddr::new(router, 0);
        let error = packet(router, ends[1], protocol::ICMPV6, &message);
        let offload = VnetHeader {
            checksum: ChecksumState::Verified,
            ..VnetHeader::default()
        };
        let content = script.stack.pool().copy(&error);
        let error = Ingress::offloaded(content, offload);
        script.stack.handle_packet(error, script.now);
        assert_eq!(!script.answers().is_empty(), shorter, "{mtu}");
    }
}

#[test]
fn a_narrow_path_is_tried_again_after_ten_minutes() {
    let mut paths = Paths::new(true, false);
    let whole = paths.send(1_400);
    paths.too_big(1_300, &whole[0]);
    let (at, why) = paths.stack.poll_timeout().expect("it is forgotten");
    assert_eq!(
        (at - paths.now, why),
        (Duration::from_mins(10), Wake::Expiry)
    );
    paths.now = at;
    paths.stack.handle_timeout(at);
    assert_eq!(paths.send(1_400).len(), 1);
    assert!(paths.stack.poll_timeout().is_none());
}

#[test]
fn pings_are_answered_in_packets_that_may_be_cut() {
    let mut paths = Paths::new(false, false);
    let (from, to) = (paths.application, paths.server);
    let ping = [&[8, 0, 0, 0, 0, 1, 0, 1][..], &[7; 1_300]].concat();
    paths.give(from, to, protocol::ICMP, &ping);
    let Some(Event::EchoRequest(echo)) = paths.stack.poll_event() else {
        panic!("a ping came");
    };
    paths.stack.echo_reply(echo);
    let sent = paths.sent();
    assert!(sent.len() == 1 && !is_uncut(&sent[0].0));
}
