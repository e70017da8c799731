//! Single segments and the exact answers to them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use vpnm_wire::{
    ChecksumState, FlowKey, Head, IpBuilder, IpHeader, Seq, TcpFlags, TcpHeader, TcpOptions,
    VnetHeader, protocol,
};

use crate::config::Config;
use crate::event::{Cause, Event, FlowId, Sent, Taken};
use crate::packet::Ingress;
use crate::stack::Stack;
use crate::wake::Wake;

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;

/// Where the peer's stream begins; the first byte is one further.
pub(super) const THEIRS: u32 = 1_000;

/// A connection: its addresses, our initial sequence number, its flow.
pub(super) type Known = (FlowKey, u32, Option<FlowId>);

pub(super) struct Script {
    pub(super) stack: Stack,
    pub(super) now: Instant,
    pub(super) key: FlowKey,
    /// What the peer says that it can take.
    pub(super) window: u16,
    /// Our initial sequence number, once known.
    ours: u32,
    pub(super) flow: Option<FlowId>,
    /// The longest segments that the peer takes, if it says so.
    pub(super) max_segment: Option<u16>,
    /// Whether the peer takes selective acknowledgements, and what the last of them said.
    pub(super) sack: bool,
    pub(super) reported: Vec<(u32, u32)>,
}

impl Script {
    pub(super) fn new() -> Self {
        Self::with(&Config::new(1_500, [1; 32]))
    }

    /// A script without a connection, of a stack with these limits.
    pub(super) fn with(config: &Config) -> Self {
        let at = |host, port| SocketAddr::from(([10, 0, 0, host], port));
        Self {
            stack: Stack::new(config),
            now: Instant::now(),
            key: FlowKey::new(at(1, 1_111), at(2, 2_222)),
            window: 60_000,
            ours: 0,
            flow: None,
            max_segment: None,
            sack: false,
            reported: Vec::new(),
        }
    }

    /// A script whose connection is open.
    pub(super) fn open() -> Self {
        let mut script = Self::new();
        script.shake_hands(THEIRS);
        script
    }

    /// Opens another connection, from this port of the peer's.
    pub(super) fn begin(&mut self, port: u16) {
        let from = SocketAddr::new(self.key.source().ip(), port);
        self.key = FlowKey::new(from, self.key.destination());
        self.ours = 0;
        self.shake_hands(THEIRS);
    }

    /// Goes on with the connection from this port.
    pub(super) fn resume(&mut self, known: &Known) {
        (self.key, self.ours, self.flow) = *known;
    }

    /// The present connection, to go on with later.
    pub(super) fn known(&self) -> Known {
        (self.key, self.ours, self.flow)
    }

    /// Our initial sequence number became known.
    pub(super) fn set_ours(&mut self, ours: u32) {
        self.ours = ours;
    }

    pub(super) fn shake_hands(&mut self, theirs: u32) {
        assert!(self.send(SYN, theirs, 0, b"").is_empty(), "it is held");
        let id = self.incoming();
        self.flow = Some(id);
        self.stack.tcp_accept(id, self.now);
        let answer = self.answers();
        assert_eq!(answer[0].flags, SYN | ACK);
        self.ours = answer[0].seq.0;
        assert!(self.send(ACK, theirs + 1, 1, b"").is_empty());
    }

    /// The connection that came, whatever happened before.
    pub(super) fn incoming(&mut self) -> FlowId {
        std::iter::from_fn(|| self.stack.poll_event())
            .find_map(|event| match event {
                Event::TcpIncoming { id, .. } => Some(id),
                Event::TcpReadable(_)
                | Event::TcpWritable(_)
                | Event::TcpGone(..)
                | Event::UdpIncoming { .. }
                | Event::UdpReadable(_)
                | Event::UdpGone(..)
                | Event::DnsQuery { .. }
                | Event::EchoRequest(_) => None,
            })
            .expect("a connection came")
    }

    pub(super) fn id(&self) -> FlowId {
        self.flow.expect("a connection came")
    }

    /// A segment of the peer: `seq` is absolute, `ack` counted from our initial number.
    pub(super) fn send(
        &mut self,
        flags: TcpFlags,
        seq: u32,
        ack: u32,
        payload: &[u8],
    ) -> Vec<TcpHeader> {
        let packet = self.segment(flags, seq, ack, payload);
        self.stack.handle_packet(packet, self.now);
        self.answers()
    }

    pub(super) fn segment(&self, flags: TcpFlags, seq: u32, ack: u32, payload: &[u8]) -> Ingress {
        let header = TcpHeader {
            source: self.key.source().port(),
            destination: self.key.destination().port(),
            seq: Seq(seq),
            ack: Seq(self.ours.wrapping_add(ack)),
            flags,
            window: self.window,
            header_len: 0,
        };
        let options = TcpOptions {
            sack_permitted: self.sack && flags.opens(),
            max_segment: self.max_segment.filter(|_| flags.opens()),
            ..TcpOptions::default()
        };
        let ip = IpBuilder {
            source: self.key.source().ip(),
            destination: self.key.destination().ip(),
            protocol: protocol::TCP,
            payload_len: 20 + options.encoded_len() + payload.len(),
            fragment: None,
        };
        let mut head = Head::new();
        ip.encode(&mut head);
        header.encode(&options, [0, 0], &mut head);
        let packet = [head.bytes(), payload].concat();
        let content = self.stack.pool().copy(&packet);
        let offload = VnetHeader {
            checksum: ChecksumState::Verified,
            ..VnetHeader::default()
        };
        Ingress::offloaded(content, offload)
    }

    pub(super) fn answers(&mut self) -> Vec<TcpHeader> {
        self.stack.release_acks(self.now);
        let mut answers = Vec::new();
        while let Some(packet) = self.stack.poll_transmit(self.now) {
            let packet = packet.parts().concat();
            let ip = IpHeader::parse(&packet).unwrap();
            let segment = ip.payload(&packet);
            let header = TcpHeader::parse(segment).unwrap();
            let options = TcpOptions::parse(segment, header.header_len);
            let ranges = options.sack.iter().take(options.sacks);
            self.reported = ranges.map(|range| (range.0.0, range.1.0)).collect();
            answers.push(header);
        }
        answers
    }

    /// Checks that there is one answer, an acknowledgement of all up to `ack`.
    pub(super) fn expect_ack(&self, answers: &[TcpHeader], ack: u32) {
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0].flags, ACK);
        assert_eq!(answers[0].ack, Seq(ack));
    }
}

#[test]
fn only_the_exact_reset_is_believed() {
    let mut script = Script::open();
    let challenge = script.send(RST, THEIRS + 100, 0, b"");
    script.expect_ack(&challenge, THEIRS + 1);
    assert!(script.send(RST, THEIRS + 9_000_000, 0, b"").is_empty());
    assert!(script.stack.poll_event().is_none());
    assert!(script.send(RST, THEIRS + 1, 0, b"").is_empty());
    let event = script.stack.poll_event();
    assert!(matches!(event, Some(Event::TcpGone(_, Cause::Reset))));
}

#[test]
fn challenges_are_not_sent_in_a_row() {
    let mut script = Script::open();
    assert_eq!(script.send(RST, THEIRS + 100, 0, b"").len(), 1);
    assert_eq!(script.send(RST, THEIRS + 100, 0, b"").len(), 0);
    script.now += Duration::from_secs(1);
    assert_eq!(script.send(RST, THEIRS + 100, 0, b"").len(), 1);
}

#[test]
fn a_syn_in_an_open_connection_is_challenged() {
    let mut script = Script::open();
    let answers = script.send(SYN, THEIRS + 50, 0, b"");
    script.expect_ack(&answers, THEIRS + 1);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_challenged() {
    let mut script = Script::open();
    let answers = script.send(ACK, THEIRS + 1, 500, b"");
    script.expect_ack(&answers, THEIRS + 1);
}

#[test]
fn data_that_acknowledges_what_is_before_all_is_not_taken() {
    let mut script = Script::open();
    let sent = script.stack.tcp_send(script.id(), &[7; 100], script.now);
    assert!(matches!(sent, Sent::Bytes(100)));
    script.answers();
    assert!(script.send(ACK, THEIRS + 1, 51, b"").is_empty());
    // Our SYN has number 0.
    for ack in [0, 0_u32.wrapping_sub(1_000)] {
        let answers = script.send(ACK, THEIRS + 1, ack, b"guess");
        script.expect_ack(&answers, THEIRS + 1);
        script.now += Duration::from_secs(1);
    }
    let answers = script.send(ACK, THEIRS + 1, 1, b"late");
    script.expect_ack(&answers, THEIRS + 5);
}

#[test]
fn keep_alives_are_answered() {
    let mut script = Script::open();
    for payload in [&b""[..], b"x"] {
        let answers = script.send(ACK, THEIRS, 1, payload);
        script.expect_ack(&answers, THEIRS + 1);
    }
    assert!(matches!(script.stack.tcp_take(script.id()), Taken::Nothing));
}

#[test]
fn a_segment_of_no_connection_earns_the_right_reset() {
    let mut script = Script::new();
    let answers = script.send(ACK, 5, 77, b"abc");
    assert_eq!((answers[0].flags, answers[0].seq), (RST, Seq(77)));
    let answers = script.send(FIN, 5, 77, b"abc");
    assert_eq!((answers[0].flags, answers[0].ack), (RST | ACK, Seq(9)));
    assert!(script.send(RST, 5, 0, b"").is_empty());
}

#[test]
fn both_sides_may_close_at_once() {
    let mut script = Script::open();
    script.stack.tcp_finish(script.id(), script.now);
    let fin = script.answers();
    assert_eq!(fin[0].flags, FIN | ACK);
    // Their FIN does not know of ours yet.
    let answers = script.send(FIN | ACK, THEIRS + 1, 1, b"");
    script.expect_ack(&answers, THEIRS + 2);
    assert!(script.send(ACK, THEIRS + 2, 2, b"").is_empty());
    assert!(matches!(script.stack.tcp_take(script.id()), Taken::End));
    script.stack.tcp_close(script.id(), script.now);
    assert_eq!(script.stack.tcp_flows(), 0);
}

#[test]
fn a_connection_that_ended_is_remembered_for_a_moment() {
    let mut script = Script::open();
    let answers = script.send(FIN | ACK, THEIRS + 1, 1, b"");
    script.expect_ack(&answers, THEIRS + 2);
    script.stack.tcp_finish(script.id(), script.now);
    assert_eq!(script.answers()[0].flags, FIN | ACK);
    assert!(script.send(ACK, THEIRS + 2, 2, b"").is_empty());
    script.stack.tcp_close(script.id(), script.now);
    // Our acknowledgement of their FIN got lost.
    let answers = script.send(FIN | ACK, THEIRS + 1, 2, b"");
    script.expect_ack(&answers, THEIRS + 2);
    // The same port again, at once.
    script.shake_hands(THEIRS + 5_000);
    assert_eq!(script.stack.tcp_flows(), 1);
}

/// A connection that ended in order; the peer's FIN came `first`, or ours was out before.
fn ended(first: bool) -> Script {
    let mut script = Script::open();
    if first {
        script.send(FIN | ACK, THEIRS + 1, 1, b"");
        script.stack.tcp_finish(script.id(), script.now);
        script.answers();
        script.send(ACK, THEIRS + 2, 2, b"");
    } else {
        script.stack.tcp_finish(script.id(), script.now);
        script.answers();
        let answers = script.send(FIN | ACK, THEIRS + 1, 2, b"");
        script.expect_ack(&answers, THEIRS + 2);
    }
    script.stack.tcp_close(script.id(), script.now);
    assert_eq!(script.stack.tcp_flows(), 0);
    script
}

#[test]
fn a_port_is_used_again_with_a_lower_number() {
    for seq in [THEIRS - 500, THEIRS + 2] {
        let mut script = ended(false);
        let answers = script.send(SYN, seq, 0, b"");
        script.expect_ack(&answers, THEIRS + 2);
        // Linux resets what it is told of, and asks again at once.
        assert!(script.send(RST, THEIRS + 2, 0, b"").is_empty());
        script.shake_hands(seq);
    }
}

#[test]
fn who_ended_first_waits_and_not_the_other() {
    for seq in [THEIRS - 500, THEIRS, THEIRS + 2, THEIRS + 3] {
        let mut script = ended(true);
        script.shake_hands(seq);
        assert_eq!(script.stack.tcp_flows(), 1, "at once");
    }
    // Both at once: both wait.
    let mut script = Script::open();
    script.stack.tcp_finish(script.id(), script.now);
    script.answers();
    script.send(FIN | ACK, THEIRS + 1, 1, b"");
    script.send(ACK, THEIRS + 2, 2, b"");
    script.stack.tcp_close(script.id(), script.now);
    let answers = script.send(SYN, THEIRS - 500, 0, b"");
    script.expect_ack(&answers, THEIRS + 2);
}

#[test]
fn data_for_a_flow_that_nobody_reads_any_more_earns_a_reset() {
    let mut script = Script::open();
    script.stack.tcp_finish(script.id(), script.now);
    script.stack.tcp_close(script.id(), script.now);
    assert_eq!(script.answers()[0].flags, FIN | ACK);
    assert!(script.send(ACK, THEIRS + 1, 2, b"").is_empty());
    let answers = script.send(ACK, THEIRS + 1, 2, b"late");
    assert_eq!(answers[0].flags, RST | ACK);
    assert_eq!(script.stack.tcp_flows(), 0);
}

#[test]
fn an_application_that_retries_from_its_port_replaces_the_held_attempt() {
    let mut script = Script::new();
    assert!(script.send(SYN, THEIRS, 0, b"").is_empty());
    let id = script.incoming();
    assert!(
        script.send(SYN, THEIRS, 0, b"").is_empty(),
        "the same again"
    );
    assert!(script.stack.poll_event().is_none());
    assert!(script.send(SYN, THEIRS + 9_999, 0, b"").is_empty());
    let gone = script.stack.poll_event();
    assert!(matches!(gone, Some(Event::TcpGone(old, Cause::Reset)) if old == id));
    let again = script.stack.poll_event();
    assert!(matches!(again, Some(Event::TcpIncoming { .. })));
}

#[test]
fn only_the_exact_reset_ends_a_handshake() {
    let mut script = Script::new();
    script.send(SYN, THEIRS, 0, b"");
    let id = script.incoming();
    script.stack.tcp_accept(id, script.now);
    assert_eq!(script.answers().len(), 1);
    // What it sent before it reset was lost, or it is somebody else's.
    let answers = script.send(RST, THEIRS + 100, 0, b"");
    assert_eq!(answers[0].flags, SYN | ACK);
    assert!(script.send(RST, THEIRS + 100, 0, b"").is_empty());
    assert!(script.send(RST, THEIRS, 0, b"").is_empty());
    assert_eq!(script.stack.tcp_gone(id), None);
    assert!(script.send(RST, THEIRS + 1, 0, b"").is_empty());
    assert_eq!(script.stack.tcp_gone(id), Some(Cause::Reset));
}

#[test]
fn the_syn_ack_is_repeated_and_then_given_up() {
    let mut script = Script::new();
    script.send(SYN, THEIRS, 0, b"");
    let id = script.incoming();
    script.stack.tcp_accept(id, script.now);
    let mut sent = script.answers().len();
    while let Some((at, why)) = script.stack.poll_timeout() {
        assert_eq!(why, Wake::Handshake);
        script.now = at;
        script.stack.handle_timeout(at);
        sent += script.answers().len();
    }
    assert_eq!(sent, 6);
    let event = script.stack.poll_event();
    assert!(matches!(event, Some(Event::TcpGone(_, Cause::TimedOut))));
}

#[test]
fn an_accepted_connection_is_not_given_up_before_its_syn_ack_is_out() {
    let mut script = Script::new();
    assert!(script.send(SYN, THEIRS, 0, b"").is_empty());
    let id = script.incoming();
    let (patience, why) = script.stack.poll_timeout().expect("it is waited for");
    assert_eq!(why, Wake::Undecided);
    script.now = patience - Duration::from_millis(1);
    script.stack.tcp_accept(id, script.now);
    // The link takes nothing until later.
    script.now = patience + Duration::from_millis(1);
    script.stack.handle_timeout(script.now);
    assert_eq!(script.stack.tcp_gone(id), None);
    assert_eq!(script.answers()[0].flags, SYN | ACK);
}

#[test]
fn an_application_that_asks_no_more_has_given_up() {
    let mut script = Script::new();
    for wait in [0, 1, 2, 4] {
        script.now += Duration::from_secs(wait);
        script.stack.handle_timeout(script.now);
        assert!(script.send(SYN, THEIRS, 0, b"").is_empty());
    }
    let id = script.incoming();
    script.flow = Some(id);
    let asked = script.now;
    while let Some((at, _)) = script.stack.poll_timeout() {
        script.now = at;
        script.stack.handle_timeout(at);
    }
    assert_eq!(script.now - asked, Duration::from_secs(10));
    assert_eq!(script.stack.tcp_gone(id), Some(Cause::TimedOut));
    let event = script.stack.poll_event();
    assert!(matches!(event, Some(Event::TcpGone(..))));
    script
        .stack
        .tcp_refuse(id, crate::Refusal::Reset, script.now);
    assert!(script.answers().is_empty(), "nobody waits for an answer");
    assert_eq!(script.stack.tcp_flows(), 0);
    // And asks anew, later.
    script.shake_hands(THEIRS);
}

#[test]
fn a_connection_has_one_alarm_however_much_it_says() {
    let mut script = Script::open();
    for said in 0..1_000 {
        let sent = script.stack.tcp_send(script.id(), b"!", script.now);
        assert!(matches!(sent, Sent::Bytes(1)));
        assert_eq!(script.answers().len(), 1);
        assert!(script.send(ACK, THEIRS + 1, said + 2, b"").is_empty());
        script.now += Duration::from_secs(60);
        script.stack.handle_timeout(script.now);
        assert!(script.answers().is_empty());
        assert_eq!(script.stack.tcp.alarms(), 1);
    }
    script.stack.tcp_close(script.id(), script.now);
    assert_eq!(script.stack.tcp.alarms(), 0);
    assert!(script.stack.poll_timeout().is_none(), "nobody is left");
}

#[test]
fn one_acknowledgement_is_enough_for_a_batch() {
    let mut script = Script::open();
    let mut answers = Vec::new();
    for i in 0..10 {
        let header = script.send_quietly(THEIRS + 1 + i * 100, &[7; 100]);
        answers.extend(header);
    }
    assert!(answers.is_empty());
    let answers = script.answers();
    script.expect_ack(&answers, THEIRS + 1_001);
}

impl Script {
    /// A segment with data within a batch: acknowledgements still wait.
    fn send_quietly(&mut self, seq: u32, payload: &[u8]) -> Option<TcpHeader> {
        let packet = self.segment(ACK, seq, 1, payload);
        self.stack.handle_packet(packet, self.now);
        let packet = self.stack.poll_transmit(self.now)?.parts().concat();
        let ip = IpHeader::parse(&packet).unwrap();
        TcpHeader::parse(ip.payload(&packet))
    }
}
