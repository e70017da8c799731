//! Whole packets that no application's host sends: addresses, lengths, options and errors
//! that are not what they seem.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vpnm_wire::{
    Checksum, ChecksumState, FlowKey, Fragment, Head, IpBuilder, IpHeader, Segmentation, Seq,
    TCP_CHECKSUM, TcpFlags, TcpHeader, TcpOptions, UdpHeader, VnetHeader, protocol,
};

use super::script::{Script, THEIRS};
use crate::config::Config;
use crate::event::{Event, FlowId, Received, Sent};
use crate::packet::Ingress;
use crate::stack::Stack;

const APPLICATION: &str = "10.0.0.1";
const SERVER: &str = "10.0.0.2";
const STRANGER: &str = "10.0.0.66";

fn stack() -> (Stack, Instant) {
    (Stack::new(&Config::new(1_500, [4; 32])), Instant::now())
}

fn packet(from: &str, to: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ip = IpBuilder {
        source: from.parse().unwrap(),
        destination: to.parse().unwrap(),
        protocol,
        payload_len: payload.len(),
        fragment: None,
    };
    let mut head = Head::new();
    assert!(ip.encode(&mut head));
    [head.bytes(), payload].concat()
}

fn give(stack: &mut Stack, packet: &[u8], now: Instant) {
    let content = stack.pool().copy(packet);
    stack.handle_packet(Ingress::plain(content), now);
}

/// A datagram from port 5 to port 7 with a right checksum.
fn datagram(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len();
    let header = |checksum| UdpHeader {
        source: 5,
        destination: 7,
        length: u16::try_from(length).unwrap(),
        checksum,
    };
    let ends = (from.parse().unwrap(), to.parse().unwrap());
    let mut sum = Checksum::pseudo_header(ends.0, ends.1, protocol::UDP, length);
    let mut head = Head::new();
    header([0, 0]).encode(&mut head);
    sum.add(head.bytes());
    sum.add(payload);
    let mut head = Head::new();
    header(sum.finish()).encode(&mut head);
    [head.bytes(), payload].concat()
}

/// The only datagram that arrived.
fn arrived(stack: &mut Stack) -> Option<Vec<u8>> {
    let Some(Event::UdpIncoming { id, .. }) = stack.poll_event() else {
        return None;
    };
    match stack.udp_take(id) {
        Received::Datagrams(datagrams) => Some(datagrams.bytes().to_vec()),
        Received::Nothing | Received::Gone(_) => None,
    }
}

#[test]
fn what_is_behind_a_datagram_is_not_its_own() {
    let (mut stack, now) = stack();
    let mut bytes = datagram(APPLICATION, SERVER, b"abc");
    bytes.extend(b"behind it");
    let bytes = packet(APPLICATION, SERVER, protocol::UDP, &bytes);
    give(&mut stack, &bytes, now);
    assert_eq!(arrived(&mut stack).as_deref(), Some(&b"abc"[..]));
}

#[test]
fn who_sends_to_himself_is_not_answered() {
    let (mut stack, now) = stack();
    let bytes = datagram(SERVER, SERVER, b"land");
    give(
        &mut stack,
        &packet(SERVER, SERVER, protocol::UDP, &bytes),
        now,
    );
    let ping = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    give(
        &mut stack,
        &packet(SERVER, SERVER, protocol::ICMP, &ping),
        now,
    );
    assert!(stack.poll_event().is_none() && stack.poll_transmit(now).is_none());
}

#[test]
fn a_super_packet_of_tiny_datagrams_is_nobodys() {
    for (size, segment, taken) in [(128, 1, true), (129, 1, false), (60_000, 400, false)] {
        let (mut stack, now) = stack();
        let bytes = datagram(APPLICATION, SERVER, &vec![7; size]);
        let bytes = packet(APPLICATION, SERVER, protocol::UDP, &bytes);
        let offload = VnetHeader {
            checksum: ChecksumState::Partial,
            segmentation: Segmentation::Udp,
            segment_size: segment,
            // The rest lies.
            header_length: u16::MAX,
            checksum_start: 9_999,
            checksum_offset: 1,
        };
        let content = stack.pool().copy(&bytes);
        stack.handle_packet(Ingress::offloaded(content, offload), now);
        assert_eq!(arrived(&mut stack).is_some(), taken, "{size} by {segment}");
    }
}

#[test]
fn options_behind_a_fragment_header_are_the_packets() {
    let (mut stack, now) = stack();
    let [from, to] = ["2001:db8::1", "2001:db8::2"];
    let options = [protocol::UDP, 0, 1, 4, 0, 0, 0, 0];
    let whole = [&options[..], &datagram(from, to, &[9; 40])].concat();
    for (offset, len) in [(24, whole.len() - 24), (0, 24)] {
        let ip = IpBuilder {
            source: from.parse().unwrap(),
            destination: to.parse().unwrap(),
            // Destination options.
            protocol: 60,
            payload_len: len,
            fragment: Some(Fragment {
                id: 3,
                offset,
                more: offset == 0,
            }),
        };
        let mut head = Head::new();
        assert!(ip.encode(&mut head));
        let part = [head.bytes(), &whole[offset..offset + len]].concat();
        give(&mut stack, &part, now);
    }
    assert_eq!(arrived(&mut stack).as_deref(), Some(&[9; 40][..]));
}

/// An ICMP error from `from` to `to` about a packet of the server's to the application.
fn error(from: &str, to: &str, kind: [u8; 4], protocol: u8, transport: &[u8]) -> Vec<u8> {
    let quoted = packet(SERVER, APPLICATION, protocol, transport);
    let [kind, code, high, low] = kind;
    let mut message = vec![kind, code, 0, 0, 0, 0, high, low];
    message.extend(quoted);
    let mut sum = Checksum::new();
    sum.add(&message);
    message[2..4].copy_from_slice(&sum.finish());
    packet(from, to, protocol::ICMP, &message)
}

#[test]
fn only_the_host_itself_says_that_a_socket_is_closed() {
    let (mut stack, now) = stack();
    let bytes = datagram(APPLICATION, SERVER, b"x");
    let bytes = packet(APPLICATION, SERVER, protocol::UDP, &bytes);
    give(&mut stack, &bytes, now);
    assert!(arrived(&mut stack).is_some());
    let quoted = [0, 7, 0, 5, 0, 9, 0, 0, 0];
    for (from, to, believed) in [
        (STRANGER, SERVER, false),
        (APPLICATION, STRANGER, false),
        (APPLICATION, SERVER, true),
    ] {
        let bytes = error(from, to, [3, 3, 0, 0], protocol::UDP, &quoted);
        give(&mut stack, &bytes, now);
        let gone = matches!(stack.poll_event(), Some(Event::UdpGone(..)));
        assert_eq!(gone, believed, "from {from} to {to}");
        assert!(
            stack.poll_transmit(now).is_none(),
            "errors are not answered"
        );
    }
}

/// The only packet that is sent.
fn answer(stack: &mut Stack, now: Instant) -> Option<Vec<u8>> {
    let packet = stack.poll_transmit(now)?.parts().concat();
    assert!(stack.poll_transmit(now).is_none());
    Some(packet)
}

#[test]
fn who_speaks_what_nobody_does_is_told() {
    let (mut stack, now) = stack();
    for protocol in [0, 4, 47, 50, 132, 255, protocol::ICMPV6] {
        let bytes = packet(APPLICATION, SERVER, protocol, &[7; 1_000]);
        give(&mut stack, &bytes, now);
        let error = answer(&mut stack, now).unwrap();
        let ip = IpHeader::parse(&error).unwrap();
        assert_eq!(ip.source.to_string(), SERVER);
        assert_eq!(ip.destination.to_string(), APPLICATION);
        assert_eq!((ip.protocol, error.len()), (protocol::ICMP, 576));
        let message = ip.payload(&error);
        let mut sum = Checksum::new();
        sum.add(message);
        assert!(sum.is_valid());
        assert_eq!(
            (message[0], message[1], &message[4..8]),
            (3, 2, &[0; 4][..])
        );
        assert_eq!(message[8..], bytes[..548]);
    }
}

#[test]
fn who_speaks_what_nobody_does_is_told_where_that_stands() {
    let (mut stack, now) = stack();
    let [from, to] = ["2001:db8::1", "2001:db8::2"];
    let options = |next| [&[next, 0, 1, 4, 0, 0, 0, 0][..], &[7; 2_000]].concat();
    for (kind, payload, place) in [
        (132, vec![7; 9], Some(6)),
        (protocol::ICMP, vec![7; 9], Some(6)),
        (60, options(132), Some(40)),
        (59, vec![7; 9], None),
        (60, options(59), None),
    ] {
        let bytes = packet(from, to, kind, &payload);
        give(&mut stack, &bytes, now);
        let error = answer(&mut stack, now);
        assert_eq!(error.is_some(), place.is_some(), "{kind}");
        let (Some(error), Some(place)) = (error, place) else {
            continue;
        };
        let ip = IpHeader::parse(&error).unwrap();
        let message = ip.payload(&error);
        assert_eq!(message[..2], [4, 1]);
        assert_eq!(message[4..8], [0, 0, 0, place]);
        assert_eq!(error.len(), (48 + bytes.len()).min(1_280));
        assert_eq!(message[8..], bytes[..error.len() - 48]);
        let mut sum = Checksum::pseudo_header(ip.source, ip.destination, 58, message.len());
        sum.add(message);
        assert!(sum.is_valid());
    }
}

#[test]
fn of_a_flood_that_nobody_understands_few_are_told() {
    let (mut stack, mut now) = stack();
    let bytes = packet(APPLICATION, SERVER, 132, &[7; 100]);
    let mut told = |times: usize, now| {
        for _ in 0..times {
            give(&mut stack, &bytes, now);
        }
        std::iter::from_fn(|| stack.poll_transmit(now).map(|_| ())).count()
    };
    assert_eq!(told(10_000, now), 50);
    assert_eq!(told(10_000, now), 0);
    now += Duration::from_millis(100);
    assert_eq!(told(10_000, now), 10);
    now += Duration::from_secs(100);
    assert_eq!(told(10_000, now), 50);
}

#[test]
fn errors_about_what_is_not_out_shorten_no_packets() {
    let mut script = Script::open();
    let sent = script.stack.tcp_send(script.id(), &[7; 5_000], script.now);
    assert!(matches!(sent, Sent::Bytes(5_000)));
    let first = script.answers()[0];
    let (theirs, ours) = (script.key.source().port(), script.key.destination().port());
    let ends = [ours.to_be_bytes(), theirs.to_be_bytes()].concat();
    let mut tell = |to: &str, seq: Seq, mtu: u16| {
        let transport = [&ends[..], &seq.0.to_be_bytes()].concat();
        let [high, low] = mtu.to_be_bytes();
        let bytes = error(STRANGER, to, [3, 4, high, low], protocol::TCP, &transport);
        give(&mut script.stack, &bytes, script.now);
        script.answers().len()
    };
    // Nobody takes less than 552 bytes, which leave 512; the peer takes 536.
    assert_eq!(tell(SERVER, first.seq.plus(100_000), 0), 0);
    assert_eq!(tell(SERVER, first.seq.minus(1), 0), 0);
    assert_eq!(tell(STRANGER, first.seq, 0), 0);
    assert_eq!(tell(SERVER, first.seq, 1_400), 0);
    assert_eq!(tell(SERVER, first.seq, 0), 5_000_usize.div_ceil(512));
}

/// Bytes in the first segment to a peer whose SYN has this maximum segment size.
fn first_segment(size: u16) -> usize {
    let (mut stack, now) = stack();
    let at = |host: &str, port| SocketAddr::new(host.parse().unwrap(), port);
    let key = FlowKey::new(at(APPLICATION, 5), at(SERVER, 7));
    let options = TcpOptions {
        max_segment: Some(size),
        ..TcpOptions::default()
    };
    let mut header = TcpHeader {
        source: key.source().port(),
        destination: key.destination().port(),
        seq: Seq(99),
        window: 60_000,
        flags: TcpFlags::SYN,
        ..TcpHeader::default()
    };
    let segment = |header: &TcpHeader| {
        let mut head = Head::new();
        header.encode(&options, [0, 0], &mut head);
        let (from, to) = (key.source().ip(), key.destination().ip());
        let mut sum = Checksum::pseudo_header(from, to, protocol::TCP, head.len());
        sum.add(head.bytes());
        head.patch(TCP_CHECKSUM, &sum.finish());
        packet(APPLICATION, SERVER, protocol::TCP, head.bytes())
    };
    give(&mut stack, &segment(&header), now);
    let Some(Event::TcpIncoming { id, .. }) = stack.poll_event() else {
        panic!("a connection came");
    };
    stack.tcp_accept(id, now);
    let answer = stack.poll_transmit(now).unwrap().parts().concat();
    let answer = TcpHeader::parse(&answer[20..]).unwrap();
    (header.seq, header.ack) = (Seq(100), answer.seq.plus(1));
    header.flags = TcpFlags::ACK;
    give(&mut stack, &segment(&header), now);
    stack.tcp_send(id, &[1; 3_000], now);
    stack.poll_transmit(now).unwrap().len() - 40
}

#[test]
fn segment_sizes_that_cannot_be_meant_are_not_believed() {
    let sizes = [0, 1, 47, 87, 536, 1_460, 1_461, u16::MAX].map(first_segment);
    assert_eq!(sizes, [536, 48, 48, 87, 536, 1_460, 1_460, 1_460]);
}

#[test]
fn who_takes_nothing_of_a_connection_that_is_closed_keeps_it_for_a_while() {
    let mut script = Script::open();
    script.window = 0;
    script.send(TcpFlags::ACK, THEIRS + 1, 1, b"");
    let id: FlowId = script.id();
    script.stack.tcp_send(id, &[7; 5_000], script.now);
    script.stack.tcp_finish(id, script.now);
    script.stack.tcp_close(id, script.now);
    let begin = script.now;
    while let Some((at, _)) = script.stack.poll_timeout() {
        script.now = at;
        script.stack.handle_timeout(at);
        script.answers();
        // It is there, and answers every probe.
        if script.stack.tcp_flows() > 0 {
            script.send(TcpFlags::ACK, THEIRS + 1, 1, b"");
        }
    }
    let kept = script.now - begin;
    assert!(kept > Duration::from_secs(30) && kept < Duration::from_secs(600));
    assert_eq!(script.stack.tcp_flows(), 0);
    assert_eq!(script.stack.pool().bytes_out(), 0);
}

#[test]
fn the_end_of_the_stream_needs_no_room() {
    let mut script = Script::open();
    let fin = TcpFlags::FIN | TcpFlags::ACK;
    let mut next = THEIRS + 1;
    loop {
        let answers = script.send(TcpFlags::ACK, next, 1, &[7; 257]);
        next += 257;
        script.expect_ack(&answers, next);
        if answers[0].window == 0 {
            break;
        }
    }
    let answers = script.send(fin, next, 1, b"no room");
    script.expect_ack(&answers, next);
    for _ in 0..2 {
        let answers = script.send(fin, next, 1, b"");
        script.expect_ack(&answers, next + 1);
        assert_eq!(answers[0].window, 0);
    }
}

#[test]
fn what_is_behind_the_end_of_the_stream_harms_nothing() {
    let mut script = Script::open();
    let fin = TcpFlags::FIN | TcpFlags::ACK;
    let answers = script.send(fin, THEIRS + 1, 1, b"");
    script.expect_ack(&answers, THEIRS + 2);
    script.stack.tcp_send(script.id(), b"last", script.now);
    script.stack.tcp_finish(script.id(), script.now);
    script.stack.tcp_close(script.id(), script.now);
    assert_eq!(script.answers()[0].flags, fin | TcpFlags::PSH);
    let answers = script.send(TcpFlags::ACK, THEIRS + 2, 1, b"more");
    script.expect_ack(&answers, THEIRS + 2);
    assert_eq!(script.stack.tcp_flows(), 1, "the last is not out yet");
    assert!(script.send(TcpFlags::ACK, THEIRS + 2, 6, b"").is_empty());
    assert_eq!(script.stack.tcp_flows(), 0);
}

#[test]
fn what_waits_for_the_link_is_bounded() {
    let (mut stack, now) = stack();
    let at = |host: &str| SocketAddr::new(host.parse().unwrap(), 7);
    for _ in 0..2_000 {
        stack.udp_send(at(SERVER), at(APPLICATION), &[7; 1_472]);
        stack.udp_send_batch(at(SERVER), at(APPLICATION), &[7; 60_000], 1_472);
    }
    assert!(stack.pool().bytes_out() <= 8 << 20);
    while let Some(packet) = stack.poll_transmit(now) {
        let bytes = packet.parts().concat();
        assert!(IpHeader::parse(&bytes).is_ok());
    }
    assert_eq!(stack.pool().bytes_out(), 0);
    stack.udp_send(at(SERVER), at(APPLICATION), b"again");
    assert!(stack.poll_transmit(now).is_some());
}
