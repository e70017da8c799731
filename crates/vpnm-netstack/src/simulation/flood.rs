//! More than anybody honest sends: SYNs from addresses nobody has, pieces without the rest.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use vpnm_wire::{FlowKey, TcpFlags};

use super::script::{Script, THEIRS};
use crate::config::Config;
use crate::event::{Event, Taken};

/// Sends a SYN from the `number`th address; the user accepts or goes on dialling.
fn knock(script: &mut Script, number: u32, accepts: bool) {
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

#[test]
fn pieces_beyond_a_hole_do_not_exceed_the_memory() {
    const MEMORY: usize = 1 << 20;
    let mut config = Config::new(1_500, [0; 32]);
    config.memory = MEMORY;
    let mut script = Script::with(&config);
    let mut most = 0;
    for connection in 0..60 {
        script.begin(20_000 + connection);
        for piece in 1..=60 {
            script.send(TcpFlags::ACK, THEIRS + 1 + 2 * piece, 1, b"x");
            most = most.max(script.stack.pool().bytes_out());
        }
    }
    assert!(most > MEMORY / 2 && most <= MEMORY + 65_600, "{most}");
    script.send(TcpFlags::ACK, THEIRS + 1, 1, b"in order");
    let taken = script.stack.tcp_take(script.id());
    assert!(matches!(taken, Taken::Data(data) if data.starts_with(b"in order")));
}
