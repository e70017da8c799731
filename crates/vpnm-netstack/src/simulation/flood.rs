//! More than anybody honest asks for: SYNs from addresses nobody has, pieces without the
//! rest, data that is not read.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use vpnm_wire::{Chunk, FlowKey, LARGE, SMALL, TcpFlags};

use super::script::{Script, THEIRS};
use crate::config::Config;
use crate::event::{Event, Sent, Taken};

/// Bytes of buffers that a poor stack has.
const MEMORY: usize = 1 << 20;

/// Sends a SYN from the `number`th address; the user accepts or goes on dialling.
pub(super) fn knock(script: &mut Script, number: u32, accepts: bool) {
    let to = script.key.destination();
    let from = Ipv4Addr::from(0x0b00_0000 + number);
    let known = script.key;
    script.key = FlowKey::new(SocketAddr::from((from, 1_111)), to);
    script.send(TcpFlags::SYN, THEIRS, 0, b"");
    while let Some(event) = script.stack.poll_event() {
        if let Event::TcpIncoming { id, .. } = event
            && accepts
        {
            script.stack.tcp_accept(id, script.now);
        } else if let Event::TcpGone(id, _) = event {
            script.stack.tcp_close(id, script.now);
        }
    }
    script.answers();
    script.key = known;
}

#[test]
fn a_flood_is_bounded_and_passes() {
    let limit = Config::new(1_500, [0; 32]).max_half_open;
    for accepts in [false, true] {
        let mut script = Script::open();
        for number in 0..100_000 {
            knock(&mut script, number, accepts);
        }
        assert_eq!(script.stack.tcp_flows(), limit + 1);
        let answers = script.send(TcpFlags::ACK, THEIRS + 1, 1, b"meanwhile");
        script.expect_ack(&answers, THEIRS + 10);
        let end = script.now + Duration::from_secs(4);
        while let Some((at, _)) = script.stack.poll_timeout()
            && at < end
        {
            script.now = at;
            script.stack.handle_timeout(at);
            script.answers();
        }
        while let Some(event) = script.stack.poll_event() {
            if let Event::TcpGone(id, _) = event {
                script.stack.tcp_close(id, script.now);
            }
        }
        let before = script.stack.tcp_flows();
        knock(&mut script, 200_000, accepts);
        assert_eq!(script.stack.tcp_flows(), before + 1, "there is room again");
    }
}

/// A script whose stack has little memory.
fn poor() -> Script {
    let mut config = Config::new(1_500, [0; 32]);
    config.memory = MEMORY;
    Script::with(&config)
}

#[test]
fn who_reads_nothing_does_not_exceed_the_memory() {
    let mut script = poor();
    script.window = 0;
    for connection in 0..200 {
        script.begin(20_000 + connection);
        let Sent::Bytes(room) = script.stack.tcp_room(script.id()) else {
            panic!("there is always some room in an empty flow");
        };
        let bytes = vec![7; room];
        let sent = script.stack.tcp_send(script.id(), &bytes, script.now);
        assert!(
            matches!(sent, Sent::Bytes(count) if count == room),
            "{sent:?}"
        );
    }
    let held = script.stack.pool().bytes_out();
    assert!(
        held > MEMORY && held <= MEMORY + LARGE + 200 * SMALL,
        "{held}"
    );
    // The last one reads after all, and gets what fits.
    script.window = 60_000;
    assert!(!script.send(TcpFlags::ACK, THEIRS + 1, 1, b"").is_empty());
    let all = u32::try_from(SMALL).unwrap() + 1;
    script.send(TcpFlags::ACK, THEIRS + 1, all, b"");
    let room = script.stack.tcp_room(script.id());
    assert!(matches!(room, Sent::Bytes(60_000)), "{room:?}");
}

#[test]
fn what_was_fetched_while_there_was_memory_is_taken() {
    let mut script = poor();
    script.begin(20_000);
    script.stack.tcp_send(script.id(), b"before", script.now);
    assert!(matches!(script.stack.tcp_room(script.id()), Sent::Bytes(_)));
    let all: Vec<_> = (0..20).map(|_| script.stack.pool().large()).collect();
    let fetched = Chunk::new(script.stack.pool().large(), 0, 30_000);
    let sent = script
        .stack
        .tcp_send_chunk(script.id(), fetched, script.now);
    assert!(matches!(sent, Sent::Bytes(30_000)), "{sent:?}");
    let sent = script.stack.tcp_send(script.id(), b"little", script.now);
    assert!(matches!(sent, Sent::Bytes(6)), "{sent:?}");
    assert!(matches!(script.stack.tcp_room(script.id()), Sent::Full));
    drop(all);
}

#[test]
fn pieces_beyond_a_hole_do_not_exceed_the_memory() {
    let mut script = poor();
    let mut most = 0;
    for connection in 0..60 {
        script.begin(20_000 + connection);
        for piece in 1..=60 {
            script.send(TcpFlags::ACK, THEIRS + 1 + 2 * piece, 1, b"x");
            most = most.max(script.stack.pool().bytes_out());
        }
    }
    assert!(most > MEMORY / 2 && most <= MEMORY + LARGE, "{most}");
    script.send(TcpFlags::ACK, THEIRS + 1, 1, b"in order");
    let taken = script.stack.tcp_take(script.id());
    assert!(matches!(taken, Taken::Data(data) if data.starts_with(b"in order")));
}
