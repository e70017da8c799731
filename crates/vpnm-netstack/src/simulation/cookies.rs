//! Who is served while as many connections are half open as may be.

use std::net::SocketAddr;
use std::time::Duration;

use vpnm_wire::{
    Checksum, FlowKey, HUGE, IPV4_HEADER, IpHeader, Seq, TcpFlags, TcpHeader, TcpOptions,
    TcpStamps, VnetHeader, protocol,
};

use super::attacker::segment;
use super::flood::knock;
use super::link::Path;
use super::script::{Script, THEIRS};
use super::{Server, World};
use crate::config::Config;
use crate::event::{Cause, Event, FlowId, Refusal, Sent, Taken};
use crate::packet::Ingress;

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;

/// Connections that may be half open in these tests.
const HALF_OPEN: usize = 3;
/// What a client may send before the user has decided.
const CONFINED: u16 = 16 * 1024;
/// Bytes of a transfer, each way.
const BYTES: usize = 100_000;

/// A script whose stack has as many half-open connections as it may.
fn crowded() -> Script {
    let mut config = Config::new(1_500, [5; 32]);
    config.max_half_open = HALF_OPEN;
    crowd(&config)
}

fn crowd(config: &Config) -> Script {
    let mut script = Script::with(config);
    for number in 0..u32::try_from(config.max_half_open).unwrap() {
        knock(&mut script, number, false);
    }
    assert_eq!(script.stack.tcp_flows(), config.max_half_open);
    script
}

/// The answer to the peer's SYN, which opens nothing.
fn ask(script: &mut Script) -> TcpHeader {
    let before = script.stack.tcp_flows();
    let answers = script.send(SYN, THEIRS, 0, b"");
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].flags, answers[0].ack),
        (SYN | ACK, Seq(THEIRS + 1))
    );
    assert_eq!(answers[0].window, CONFINED);
    assert!(script.stack.poll_event().is_none());
    assert_eq!(script.stack.tcp_flows(), before);
    script.set_ours(answers[0].seq.0);
    answers[0]
}

/// A connection whose handshake is complete; the user has not decided.
fn prove(script: &mut Script) -> FlowId {
    ask(script);
    assert!(script.send(ACK, THEIRS + 1, 1, b"").is_empty());
    let id = script.incoming();
    script.flow = Some(id);
    id
}

/// Goes to another port of the peer's.
fn move_to(script: &mut Script, port: u16) {
    let from = SocketAddr::new(script.key.source().ip(), port);
    script.key = FlowKey::new(from, script.key.destination());
}

/// A world whose stack answers SYNs of nobody besides.
fn flooded(path: Path, server: Server) -> World {
    let mut world = World::new(path, server, BYTES);
    let limit = Config::new(1_500, [0; 32]).max_half_open;
    let to = world.client.key().source();
    for number in 0..u32::try_from(limit).unwrap() + 1_000 {
        let syn = TcpHeader {
            source: 1_111,
            destination: to.port(),
            seq: Seq(number),
            flags: SYN,
            ..TcpHeader::default()
        };
        let ends = ((0x0b00_0000 + number).to_be_bytes().into(), to.ip());
        let packet = segment(ends, &syn, &TcpOptions::default(), &[]);
        let content = world.stack.pool().copy(&packet);
        world
            .stack
            .handle_packet(Ingress::plain(content), world.now);
        while world.stack.poll_transmit(world.now).is_some() {}
    }
    assert_eq!(world.stack.tcp_flows(), limit);
    // As many as are answered at once have been.
    world.now += Duration::from_millis(1);
    world
}

fn paths() -> impl Iterator<Item = Path> {
    [(false, false), (false, true), (true, false), (true, true)]
        .into_iter()
        .map(|(forwarded, offload)| Path {
            forwarded,
            offload,
            ..Path::default()
        })
}

#[test]
fn a_client_is_served_beside_a_full_table() {
    for path in paths() {
        let server = Server {
            send: BYTES,
            ..Server::default()
        };
        let mut world = flooded(path, server);
        let took = world.run(Duration::from_secs(60));
        assert_eq!((world.received, world.client.received), (BYTES, BYTES));
        assert!(took < Duration::from_millis(200), "{took:?}");
        assert_eq!((world.gone, world.client.failed), (None, None));
        let flows = world.stack.tcp_flows();
        world.close();
        assert_eq!(world.stack.tcp_flows(), flows - 1);
    }
}

#[test]
fn a_client_that_is_refused_gets_a_reset() {
    for why in [Refusal::Reset, Refusal::HostUnreachable] {
        let server = Server {
            refuse: Some(why),
            ..Server::default()
        };
        let mut world = flooded(Path::default(), server);
        let flows = world.stack.tcp_flows();
        world.run(Duration::from_secs(1));
        assert_eq!(world.client.failed, Some(Cause::Reset), "{why:?}");
        assert_eq!(world.client.icmp, None);
        assert_eq!(world.stack.tcp_flows(), flows);
    }
}

#[test]
fn a_user_that_lets_go_of_an_undecided_connection_resets_it() {
    let mut script = crowded();
    let id = prove(&mut script);
    let ours = script.send(ACK, THEIRS + 1, 1, b"data")[0].seq;
    script.stack.tcp_close(id, script.now);
    let answers = script.answers();
    assert_eq!((answers[0].flags, answers[0].seq), (RST | ACK, ours));
    assert_eq!(script.stack.tcp_flows(), HALF_OPEN);
}

#[test]
fn the_same_syn_gets_the_same_answer() {
    let mut script = crowded();
    let first = ask(&mut script);
    script.now += Duration::from_secs(2);
    assert_eq!(ask(&mut script), first);
}

#[test]
fn a_forged_acknowledgement_gets_a_reset_and_opens_nothing() {
    let mut script = crowded();
    ask(&mut script);
    for guess in 1..10_000 {
        let answers = script.send(ACK, THEIRS + 1, 1 + guess * 77_777, b"guess");
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].flags, RST);
    }
    // Right but for where the stream of the peer's begins, or for what it is not.
    assert_eq!(script.send(ACK, THEIRS + 2, 1, b"")[0].flags, RST);
    assert_eq!(script.send(SYN | ACK, THEIRS + 1, 1, b"")[0].flags, RST);
    assert!(script.send(RST | ACK, THEIRS + 1, 1, b"").is_empty());
    assert_eq!(script.send(FIN, THEIRS + 1, 1, b"")[0].flags, RST | ACK);
    move_to(&mut script, 1_112);
    assert_eq!(script.send(ACK, THEIRS + 1, 1, b"")[0].flags, RST);
    assert_eq!(script.stack.tcp_flows(), HALF_OPEN);
    assert!(script.stack.poll_event().is_none());
}

#[test]
fn an_answer_is_good_for_some_seconds() {
    for (asked, waited, good) in [(0, 19, true), (9, 1, true), (9, 10, true), (0, 20, false)] {
        // The stack's clock begins with the flood.
        let mut script = crowded();
        script.now += Duration::from_secs(asked);
        ask(&mut script);
        script.now += Duration::from_secs(waited);
        let answers = script.send(ACK, THEIRS + 1, 1, b"");
        assert_eq!(answers.is_empty(), good, "after {asked} and {waited} s");
        assert_eq!(script.stack.poll_event().is_some(), good);
    }
}

/// Exchanges one segment with options with a crowded stack; what it answers.
fn exchange(script: &mut Script, header: TcpHeader, options: &TcpOptions) -> Vec<Vec<u8>> {
    let ends = (script.key.source().ip(), script.key.destination().ip());
    let header = TcpHeader {
        source: script.key.source().port(),
        destination: script.key.destination().port(),
        ..header
    };
    let packet = segment(ends, &header, options, &[]);
    let content = script.stack.pool().copy(&packet);
    script
        .stack
        .handle_packet(Ingress::plain(content), script.now);
    let mut answers = Vec::new();
    while let Some(packet) = script.stack.poll_transmit(script.now) {
        if header.flags.has(SYN) {
            assert_eq!(packet.offload(), VnetHeader::default());
        }
        answers.push(packet.parts().concat());
    }
    answers
}

fn syn() -> TcpHeader {
    TcpHeader {
        seq: Seq(THEIRS),
        flags: SYN,
        window: 1_000,
        ..TcpHeader::default()
    }
}

#[test]
fn the_answer_is_a_whole_packet_whatever_the_link_completes() {
    for offload in [false, true] {
        let mut config = Config::new(1_500, [5; 32]);
        (config.max_half_open, config.offload) = (HALF_OPEN, offload);
        let mut script = crowd(&config);
        let offer = TcpOptions {
            max_segment: Some(1_300),
            window_scale: Some(9),
            sack_permitted: true,
            stamps: Some(TcpStamps::default()),
            ..TcpOptions::default()
        };
        let answers = exchange(&mut script, syn(), &offer);
        let ip = IpHeader::parse(&answers[0]).unwrap();
        let content = ip.payload(&answers[0]);
        let mut sum =
            Checksum::pseudo_header(ip.source, ip.destination, protocol::TCP, content.len());
        sum.add(content);
        assert!(sum.is_valid());
        let header = TcpHeader::parse(content).unwrap();
        let expected = TcpOptions {
            max_segment: Some(1_460),
            window_scale: Some(8),
            sack_permitted: true,
            ..TcpOptions::default()
        };
        assert_eq!(TcpOptions::parse(content, header.header_len), expected);
    }
}

#[test]
fn what_the_syn_offered_is_kept_to() {
    for (window_scale, segment_size) in [(None, 1_400), (Some(9), 1_220)] {
        let mut script = crowded();
        let offer = TcpOptions {
            max_segment: Some(segment_size),
            window_scale,
            ..TcpOptions::default()
        };
        let answers = exchange(&mut script, syn(), &offer);
        let ours = TcpHeader::parse(&answers[0][IPV4_HEADER..]).unwrap().seq;
        let ack = TcpHeader {
            seq: Seq(THEIRS + 1),
            ack: ours.plus(1),
            flags: ACK,
            window: 5,
            ..TcpHeader::default()
        };
        assert!(exchange(&mut script, ack, &TcpOptions::default()).is_empty());
        let id = script.incoming();
        script.stack.tcp_accept(id, script.now);
        script.answers();
        script.stack.tcp_send(id, &[7; 9_000], script.now);
        let mut lengths = Vec::new();
        while let Some(packet) = script.stack.poll_transmit(script.now) {
            lengths.push(packet.len() - 40);
        }
        match window_scale {
            None => assert_eq!(lengths, [5]),
            // Five times 512 bytes.
            Some(_) => assert_eq!(lengths, [1_220, 1_220]),
        }
    }
}

#[test]
fn a_host_next_to_the_link_is_known_by_its_acknowledgement() {
    for (oversize, expected) in [(true, HUGE), (false, 65_495)] {
        let mut config = Config::new(1_500, [5; 32]);
        config.max_half_open = HALF_OPEN;
        (config.offload, config.oversize) = (true, oversize);
        let mut script = crowd(&config);
        let id = prove(&mut script);
        assert_eq!(script.stack.tcp_packetful(id), expected);
    }
}

#[test]
fn what_comes_before_the_decision_waits_within_the_window() {
    let mut script = crowded();
    let id = prove(&mut script);
    let answers = script.send(ACK, THEIRS + 1, 1, &[7; 10_000]);
    script.expect_ack(&answers, THEIRS + 10_001);
    assert_eq!(answers[0].window, CONFINED - 10_000);
    let full = THEIRS + 1 + u32::from(CONFINED);
    let answers = script.send(ACK, THEIRS + 10_001, 1, &[8; 10_000]);
    script.expect_ack(&answers, full);
    assert_eq!(answers[0].window, 0);
    let answers = script.send(ACK, full, 1, &[9; 1_000]);
    script.expect_ack(&answers, full);
    assert!(
        script.stack.poll_event().is_none(),
        "there is nobody to read"
    );
    // The window opens as soon as there is.
    script.stack.tcp_accept(id, script.now);
    let answers = script.answers();
    script.expect_ack(&answers, full);
    assert_eq!(answers[0].window, u16::MAX - CONFINED);
    let event = script.stack.poll_event();
    assert!(matches!(event, Some(Event::TcpReadable(of)) if of == id));
    let mut received = 0;
    while let Taken::Data(chunk) = script.stack.tcp_take(id) {
        received += chunk.len();
        script.stack.tcp_release(id, chunk.len());
    }
    assert_eq!(received, usize::from(CONFINED));
}

#[test]
fn who_sends_nothing_first_is_answered() {
    let mut script = crowded();
    let id = prove(&mut script);
    script.stack.tcp_accept(id, script.now);
    script.answers();
    let sent = script.stack.tcp_send(id, b"220 ready", script.now);
    assert!(matches!(sent, Sent::Bytes(9)));
    assert_eq!(script.answers().len(), 1);
    // Nothing is known of the path yet (RFC 6298 section 2.1).
    let (at, _) = script.stack.poll_timeout().unwrap();
    assert_eq!(at - script.now, Duration::from_secs(1));
    assert!(script.send(ACK, THEIRS + 1, 10, b"").is_empty());
}

#[test]
fn the_acknowledgement_may_come_with_data_and_an_end() {
    let mut script = crowded();
    ask(&mut script);
    let answers = script.send(ACK | FIN, THEIRS + 1, 1, b"all");
    script.expect_ack(&answers, THEIRS + 5);
    let id = script.incoming();
    script.stack.tcp_accept(id, script.now);
    assert!(matches!(script.stack.tcp_take(id), Taken::Data(data) if data.starts_with(b"all")));
    assert!(matches!(script.stack.tcp_take(id), Taken::End));
}

#[test]
fn a_client_that_breaks_off_before_the_decision_is_forgotten() {
    let mut script = crowded();
    let id = prove(&mut script);
    assert!(script.send(RST, THEIRS + 1, 1, b"").is_empty());
    assert_eq!(script.stack.tcp_gone(id), Some(Cause::Reset));
    let event = script.stack.poll_event();
    assert!(matches!(event, Some(Event::TcpGone(of, Cause::Reset)) if of == id));
    script.stack.tcp_accept(id, script.now);
    assert!(script.answers().is_empty());
    script.stack.tcp_close(id, script.now);
    assert_eq!(script.stack.tcp_flows(), HALF_OPEN);
    // Its place is free, however often.
    for port in 2_000..2_000 + 4 * u16::try_from(HALF_OPEN).unwrap() {
        move_to(&mut script, port);
        let id = prove(&mut script);
        script.send(RST, THEIRS + 1, 1, b"");
        assert!(script.stack.poll_event().is_some());
        script.stack.tcp_close(id, script.now);
    }
}

#[test]
fn undecided_connections_are_bounded_too() {
    let mut script = crowded();
    let undecided: Vec<_> = (0..HALF_OPEN)
        .map(|number| {
            move_to(&mut script, 2_000 + u16::try_from(number).unwrap());
            prove(&mut script)
        })
        .collect();
    move_to(&mut script, 3_000);
    ask(&mut script);
    assert!(script.send(ACK, THEIRS + 1, 1, b"hello").is_empty());
    assert!(script.stack.poll_event().is_none());
    assert_eq!(script.stack.tcp_flows(), 2 * HALF_OPEN);
    // Each decision makes room for one, whose data comes again.
    script.stack.tcp_accept(undecided[0], script.now);
    script.answers();
    let answers = script.send(ACK, THEIRS + 1, 1, b"hello");
    script.expect_ack(&answers, THEIRS + 6);
    script.incoming();
    script
        .stack
        .tcp_refuse(undecided[1], Refusal::Reset, script.now);
    script.answers();
    move_to(&mut script, 3_001);
    prove(&mut script);
}

#[test]
fn connections_are_bounded_all_together() {
    let mut config = Config::new(1_500, [5; 32]);
    (config.max_half_open, config.max_tcp_flows) = (2, 3);
    let mut script = crowd(&config);
    ask(&mut script);
    let asked = script.known();
    move_to(&mut script, 2_000);
    prove(&mut script);
    script.resume(&asked);
    assert!(script.send(ACK, THEIRS + 1, 1, b"").is_empty());
    assert!(script.stack.poll_event().is_none());
    move_to(&mut script, 2_001);
    assert!(script.send(SYN, THEIRS, 0, b"").is_empty());
    assert_eq!(script.stack.tcp_flows(), 3);
}

#[test]
fn a_syn_for_an_undecided_connection_is_challenged() {
    let mut script = crowded();
    prove(&mut script);
    let answers = script.send(SYN, THEIRS + 50, 0, b"");
    script.expect_ack(&answers, THEIRS + 1);
}

#[test]
fn an_acknowledgement_that_comes_again_after_the_end_opens_nothing_for_a_moment() {
    let mut script = crowded();
    let id = prove(&mut script);
    script.stack.tcp_accept(id, script.now);
    script.answers();
    let answers = script.send(FIN | ACK, THEIRS + 1, 1, b"");
    script.expect_ack(&answers, THEIRS + 2);
    script.stack.tcp_finish(id, script.now);
    assert_eq!(script.answers()[0].flags, FIN | ACK);
    assert!(script.send(ACK, THEIRS + 2, 2, b"").is_empty());
    script.stack.tcp_close(id, script.now);
    assert_eq!(script.stack.tcp_flows(), HALF_OPEN);
    while script.stack.poll_event().is_some() {}
    assert!(script.send(ACK, THEIRS + 1, 1, b"").is_empty());
    assert!(script.stack.poll_event().is_none());
    // And then what a new client's would, as it has no memory of the old.
    script.now += Duration::from_secs(3);
    assert!(script.send(ACK, THEIRS + 1, 1, b"").is_empty());
    script.incoming();
}

#[test]
fn nothing_is_due_for_who_was_answered_and_forgotten() {
    let mut script = crowded();
    let before = script.stack.poll_timeout();
    for port in 2_000..2_500 {
        move_to(&mut script, port);
        ask(&mut script);
    }
    assert_eq!(script.stack.poll_timeout(), before);
    assert_eq!(script.stack.tcp.alarms(), HALF_OPEN);
    assert_eq!(script.stack.pool().bytes_out(), 0);
}

/// The peer's SYN was answered and forgotten, came again and found a place; whether the user
/// `accepts` before the peer acknowledges the first answer.
fn ask_twice(script: &mut Script, accepts: bool) -> FlowId {
    let first = ask(script);
    // Those that are half open are given up.
    script.now += Duration::from_secs(4);
    script.stack.handle_timeout(script.now);
    while let Some(event) = script.stack.poll_event() {
        if let Event::TcpGone(id, _) = event {
            script.stack.tcp_close(id, script.now);
        }
    }
    assert_eq!(script.stack.tcp_flows(), 0);
    assert!(script.send(SYN, THEIRS, 0, b"").is_empty(), "it is held");
    let id = script.incoming();
    if accepts {
        script.stack.tcp_accept(id, script.now);
        let second = script.answers();
        assert_eq!(second[0].flags, SYN | ACK);
        assert_ne!(second[0].seq, first.seq);
    }
    id
}

#[test]
fn the_first_answer_counts_though_the_syn_came_again() {
    for accepts in [false, true] {
        let mut script = crowded();
        let id = ask_twice(&mut script, accepts);
        let answers = script.send(ACK, THEIRS + 1, 1, b"hello");
        script.expect_ack(&answers, THEIRS + 6);
        script.stack.tcp_accept(id, script.now);
        script.answers();
        assert!(
            matches!(script.stack.tcp_take(id), Taken::Data(data) if data.starts_with(b"hello"))
        );
        script.stack.tcp_send(id, b"answer", script.now);
        assert_eq!(script.answers().len(), 1);
        assert!(script.send(ACK, THEIRS + 6, 7, b"").is_empty());
        assert!(
            script
                .stack
                .poll_timeout()
                .is_some_and(|(at, _)| at > script.now)
        );
        script.stack.tcp_close(id, script.now);
        script.answers();
        assert_eq!(script.stack.tcp_flows(), 0);
        // Every place is free: as many as before are held, and no more.
        for number in 0..10 {
            knock(&mut script, number, false);
        }
        assert_eq!(script.stack.tcp_flows(), HALF_OPEN);
        let ports = (2_000..).take(HALF_OPEN);
        for port in ports {
            move_to(&mut script, port);
            prove(&mut script);
        }
    }
}

#[test]
fn a_guess_beside_a_half_open_connection_moves_nothing() {
    for accepts in [false, true] {
        let mut script = crowded();
        let id = ask_twice(&mut script, accepts);
        for guess in 2..1_000 {
            let answers = script.send(ACK, THEIRS + 1, guess * 77_777, b"guess");
            assert_eq!(answers.len(), usize::from(accepts));
        }
        assert!(script.send(RST | ACK, THEIRS + 2, 1, b"").len() <= 1);
        assert_eq!(script.stack.tcp_gone(id), None);
        assert!(matches!(script.stack.tcp_take(id), Taken::Nothing));
        assert!(script.send(ACK, THEIRS + 1, 1, b"right").len() == 1);
    }
}

#[test]
fn what_the_user_says_before_it_decides_waits() {
    let mut script = crowded();
    let id = prove(&mut script);
    script.stack.tcp_send(id, b"early", script.now);
    script.stack.tcp_finish(id, script.now);
    let answers = script.send(ACK | FIN, THEIRS + 1, 1, b"all");
    script.expect_ack(&answers, THEIRS + 5);
    script.stack.tcp_accept(id, script.now);
    let answers = script.answers();
    assert_eq!(answers.len(), 1);
    assert!(answers[0].flags.has(FIN));
    assert!(script.send(ACK, THEIRS + 5, 7, b"").is_empty());
    assert!(matches!(script.stack.tcp_take(id), Taken::Data(_)));
    script.stack.tcp_close(id, script.now);
    assert_eq!(script.stack.tcp_flows(), HALF_OPEN);
    while script.stack.poll_event().is_some() {}
    // Its place was given back once.
    for port in (2_000..).take(HALF_OPEN) {
        move_to(&mut script, port);
        prove(&mut script);
    }
    // Who lets go without having decided resets, whatever it said.
    let id = script.id();
    script.stack.tcp_finish(id, script.now);
    script.stack.tcp_close(id, script.now);
    assert_eq!(script.answers()[0].flags, RST | ACK);
    assert_eq!(script.stack.tcp_flows(), 2 * HALF_OPEN - 1);
}

#[test]
fn no_more_is_answered_than_leaves_time_for_connections() {
    let mut script = crowded();
    let mut answered = 0;
    for port in 2_000..4_000 {
        move_to(&mut script, port);
        answered += script.send(SYN, THEIRS, 0, b"").len();
    }
    assert_eq!(answered, 600, "at once");
    script.now += Duration::from_millis(1);
    ask(&mut script);
}
