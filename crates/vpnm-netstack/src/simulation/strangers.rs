//! Segments of somebody who sees none of ours, and of peers that contradict themselves.

use std::time::Duration;

use vpnm_wire::{SMALL, TcpFlags};

use super::script::{Known, Script, THEIRS};
use crate::config::Config;
use crate::event::{Cause, Event, Sent, Taken};
use crate::stack::Stack;

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;

/// All that the connection has received.
fn received(script: &mut Script) -> Vec<u8> {
    let mut all = Vec::new();
    while let Taken::Data(chunk) = script.stack.tcp_take(script.id()) {
        all.extend_from_slice(&chunk);
        script.stack.tcp_release(script.id(), chunk.len());
    }
    all
}

fn has_ended(script: &mut Script) -> bool {
    matches!(script.stack.tcp_take(script.id()), Taken::End)
}

#[test]
fn who_acknowledges_what_was_never_sent_says_nothing_else_either() {
    for ack in [500, 0x8000_0000, 0_u32.wrapping_sub(100_000_000)] {
        let mut script = Script::open();
        let answers = script.send(ACK, THEIRS + 1, ack, b"not the peer's");
        script.expect_ack(&answers, THEIRS + 1);
        script.send(ACK | FIN, THEIRS + 1, ack, b"");
        script.send(ACK, THEIRS + 1, 1, b"the peer's");
        assert_eq!(received(&mut script), b"the peer's");
        assert!(!has_ended(&mut script));
    }
}

#[test]
fn a_reset_is_heard_when_the_window_is_closed() {
    for (payload, seq) in [(&b""[..], 0), (b"why", 0)] {
        let mut script = Script::open();
        let mut at = THEIRS + 1;
        let full = loop {
            let answers = script.send(ACK, at, 1, &[7; 1_400]);
            at += 1_400;
            if answers[0].window == 0 {
                break answers[0].ack.0;
            }
        };
        script.send(RST, full + seq, 0, payload);
        let gone = std::iter::from_fn(|| script.stack.poll_event())
            .any(|event| matches!(event, Event::TcpGone(_, Cause::Reset)));
        assert!(gone, "a reset with {payload:?}");
    }
}

#[test]
fn a_reset_behind_all_that_was_allowed_is_asked_about() {
    let mut script = Script::open();
    let window = u32::from(script.send(ACK, THEIRS + 1, 1, b"x")[0].window);
    // All of it was sent and lost.
    let answers = script.send(RST, THEIRS + 2 + window, 0, b"");
    script.expect_ack(&answers, THEIRS + 2);
    assert!(script.send(RST, THEIRS + 3 + window, 0, b"").is_empty());
    script.send(RST, THEIRS + 2, 0, b"");
    assert_eq!(script.stack.tcp_gone(script.id()), Some(Cause::Reset));
}

#[test]
fn a_reset_numbered_as_the_end_is_believed_after_it() {
    let mut script = Script::open();
    script.send(RST, THEIRS, 0, b"");
    assert_eq!(script.stack.tcp_gone(script.id()), None);
    script.send(ACK | FIN, THEIRS + 1, 1, b"");
    script.send(RST, THEIRS + 1, 0, b"");
    assert_eq!(script.stack.tcp_gone(script.id()), Some(Cause::Reset));
}

#[test]
fn ends_that_disagree_do_not_answer_each_other_for_ever() {
    let mut script = Script::open();
    let mut answers = 0;
    for _ in 0..1_000 {
        answers += script.send(ACK, THEIRS - 500, 1, b"").len();
        answers += script.send(ACK, THEIRS + 5_000_000, 1, b"").len();
        answers += script.send(SYN, THEIRS - 77, 1, b"").len();
        script.now += Duration::from_millis(1);
    }
    assert!((5..=10).contains(&answers), "{answers}");
}

#[test]
fn flags_that_contradict_each_other_open_nothing() {
    let contradictions = [SYN | FIN, SYN | RST, SYN | RST | FIN, SYN | ACK | FIN];
    for flags in contradictions {
        let mut script = Script::new();
        script.send(flags, THEIRS, 0, b"");
        assert_eq!(script.stack.tcp_flows(), 0);
        // Nor do they end what was about to open.
        script.send(SYN, THEIRS, 0, b"");
        let id = script.incoming();
        for seq in [THEIRS, THEIRS + 5_000] {
            script.send(flags, seq, 0, b"");
            assert_eq!(script.stack.tcp_gone(id), None, "{flags:?}");
        }
    }
}

#[test]
fn nobody_else_ends_a_connection_before_its_handshake_does() {
    let mut script = Script::new();
    script.send(SYN, THEIRS, 0, b"");
    let id = script.incoming();
    script.stack.tcp_accept(id, script.now);
    assert_eq!(script.answers().len(), 1);
    let answers = script.send(SYN, THEIRS + 9_999, 0, b"");
    assert_eq!(
        (answers[0].flags, answers[0].ack.0),
        (SYN | ACK, THEIRS + 1)
    );
    assert_eq!(script.stack.tcp_gone(id), None);
    // The host that began anew resets what it knows nothing of, and asks again.
    script.send(RST, THEIRS + 1, 0, b"");
    assert_eq!(script.stack.tcp_gone(id), Some(Cause::Reset));
    script.shake_hands(THEIRS + 9_999);
}

#[test]
fn nothing_follows_the_end_of_the_stream() {
    let stream = b"0123456789";
    let fin = |script: &mut Script| script.send(ACK | FIN, THEIRS + 9, 1, b"89");
    // The end beyond a hole, with more beyond it before and after.
    let mut script = Script::open();
    script.send(ACK, THEIRS + 15, 1, b"beyond it");
    script.send(ACK, THEIRS + 8, 1, b"7-across the end");
    fin(&mut script);
    script.send(ACK, THEIRS + 20, 1, b"beyond");
    script.send(ACK, THEIRS + 1, 1, b"0123456789 and more");
    assert_eq!(received(&mut script), stream);
    assert!(has_ended(&mut script));
    // And once it was heard.
    let held = script.stack.pool().bytes_out();
    for piece in 1..50 {
        script.send(ACK, THEIRS + 12 + piece * 3, 1, b"x");
    }
    assert_eq!(script.stack.pool().bytes_out(), held);
}

#[test]
fn pieces_that_overlap_take_no_more_than_the_window() {
    let mut script = Script::open();
    for piece in 1..200 {
        script.send(ACK, THEIRS + 1 + piece, 1, &[7; 20_000]);
    }
    let held = script.stack.pool().bytes_out();
    assert!(held < 4 * 65_600, "{held}");
    let answers = script.send(ACK, THEIRS + 1, 1, b"x");
    script.expect_ack(&answers, THEIRS + 20_200);
}

#[test]
fn an_urgent_byte_is_a_byte_of_the_stream() {
    let mut script = Script::open();
    script.send(ACK | TcpFlags(0x20), THEIRS + 1, 1, b"urgent");
    assert_eq!(received(&mut script), b"urgent");
}

#[test]
fn a_window_that_shrinks_to_nothing_stalls_and_goes_on() {
    let mut script = Script::open();
    let sent = script.stack.tcp_send(script.id(), &[7; 30_000], script.now);
    assert!(matches!(sent, Sent::Bytes(30_000)));
    assert!(script.answers().len() > 10);
    script.window = 0;
    script.send(ACK, THEIRS + 1, 1 + 536, b"");
    for _ in 0..30 {
        let (at, _) = script.stack.poll_timeout().expect("it goes on asking");
        script.now = at;
        script.stack.handle_timeout(at);
        assert!(script.answers().len() <= 1, "one at a time");
        script.send(ACK, THEIRS + 1, 1 + 536, b"");
    }
    assert_eq!(script.stack.tcp_gone(script.id()), None, "it answers");
    script.window = 60_000;
    let more = script.send(ACK, THEIRS + 1, 1 + 2 * 536, b"");
    assert!(!more.is_empty(), "it goes on");
}

/// A stack with half a megabyte of buffers, and connections to it that leave a hole each.
fn exhausted_by_holes() -> (Script, Known) {
    let mut config = Config::new(1_500, [1; 32]);
    config.memory = 512 * 1024;
    let mut script = Script::with(&config);
    let mut first = None;
    for connection in 0..20 {
        script.begin(30_000 + connection);
        first.get_or_insert_with(|| script.known());
        for piece in 0..3 {
            script.send(ACK, THEIRS + 101 + piece * 17_000, 1, &[7; 16_500]);
            let held = script.stack.pool().bytes_out();
            assert!(held <= config.memory + 2 * 65_600, "{held}");
        }
    }
    (script, first.expect("there was one"))
}

#[test]
fn what_is_beyond_holes_makes_room_for_what_is_in_order() {
    let (mut script, _) = exhausted_by_holes();
    script.begin(40_000);
    let mut at = THEIRS + 1;
    // Without reading: there is more room than for one packet.
    for _ in 0..40 {
        let answers = script.send(ACK, at, 1, &[9; 1_400]);
        at += 1_400;
        script.expect_ack(&answers, at);
    }
    assert_eq!(received(&mut script).len(), 40 * 1_400);
}

#[test]
fn what_was_forgotten_beyond_a_hole_can_come_again() {
    let (mut script, first) = exhausted_by_holes();
    script.resume(&first);
    let whole: u32 = 3 * 17_000;
    for at in (0..whole).step_by(1_000) {
        script.send(ACK, THEIRS + 1 + at, 1, &[5; 1_000]);
        received(&mut script);
    }
    let answers = script.send(ACK, THEIRS + 1 + whole, 1, b"!");
    script.expect_ack(&answers, THEIRS + 2 + whole);
}

#[test]
fn connections_that_had_holes_leave_nothing_behind() {
    let mut script = Script::new();
    for connection in 0..2_000 {
        script.begin(20_000 + connection);
        script.send(ACK, THEIRS + 3, 1, b"beyond");
        script.stack.tcp_close(script.id(), script.now);
        script.answers();
    }
    let Stack { tcp, pool, .. } = &script.stack;
    assert!(tcp.remembered_holes() < 100);
    assert_eq!(pool.bytes_out(), 0);
}

#[test]
fn small_pieces_of_data_do_not_pin_large_memory() {
    let mut script = Script::open();
    script.window = 0;
    script.send(ACK, THEIRS + 1, 1, b"");
    for _ in 0..10_000 {
        let byte = script.stack.pool().copy(b"!");
        script.stack.tcp_send_chunk(script.id(), byte, script.now);
    }
    let held = script.stack.pool().bytes_out();
    assert!(held <= 10 * SMALL, "{held}");
}
