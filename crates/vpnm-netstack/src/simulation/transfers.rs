//! Whole transfers over bad paths: every byte arrives once, in order, and both ends agree.

use std::time::Duration;

use super::link::Path;
use super::{Server, World};

const MINUTES: Duration = Duration::from_secs(600);

/// Runs a transfer in both directions and checks its outcome.
fn transfer(path: Path, server: Server, send: usize, what: &str) -> Duration {
    let mut world = World::new(path, server, send);
    let took = world.run(MINUTES);
    assert_eq!(world.gone, None, "{what}");
    assert_eq!(world.client.failed, None, "{what}");
    assert_eq!((world.received, world.saw_end), (send, true), "{what}");
    let client = &world.client;
    assert_eq!(
        (client.received, client.saw_end),
        (server.send, true),
        "{what}"
    );
    world.close();
    // The last acknowledgement may have been lost: the FIN is then sent again.
    while world.stack.tcp_flows() > 0 {
        world.step();
    }
    world.client.flow = None;
    assert_eq!(world.stack.pool().bytes_out(), 0, "{what}");
    took
}

#[test]
fn a_clean_path_is_only_as_slow_as_it_is() {
    for offload in [false, true] {
        let path = Path {
            offload,
            ..Path::default()
        };
        let server = Server {
            send: 3_000_000,
            ..Server::default()
        };
        let took = transfer(path, server, 2_000_000, "a clean path");
        // Slow start doubles 46 KB until windows of some hundred KB bind.
        assert!(took < Duration::from_millis(300), "{took:?}");
    }
}

#[test]
fn every_kind_of_bad_path_delivers() {
    for seed in 1..=40 {
        let pick = |choices: [u32; 4], salt: u64| {
            let index = (seed * 7 + salt * 13) % 4;
            choices[usize::try_from(index).unwrap()]
        };
        let path = Path {
            loss: pick([0, 50, 300, 1_000], 1),
            duplicates: pick([0, 100, 0, 500], seed / 4),
            reordered: pick([0, 200, 1_000, 3_000], seed / 3),
            queue: if seed % 5 == 0 { 20 } else { usize::MAX },
            rate: if seed % 3 == 0 { 4_000_000 } else { 0 },
            offload: seed % 7 == 0,
            forwarded: seed % 2 == 0,
            seed,
            ..Path::default()
        };
        let server = Server {
            send: 300_000,
            ..Server::default()
        };
        transfer(path, server, 200_000, &format!("{path:?}"));
    }
}

#[test]
fn a_peer_without_selective_acknowledgements_is_served_too() {
    for seed in 1..=10 {
        let path = Path {
            loss: 300,
            reordered: 300,
            seed,
            ..Path::default()
        };
        let server = Server {
            send: 300_000,
            ..Server::default()
        };
        let mut world = World::new(path, server, 100_000);
        world.client.sack = false;
        world.run(MINUTES);
        assert_eq!(world.client.received, 300_000, "seed {seed}");
        assert_eq!(world.received, 100_000, "seed {seed}");
    }
}

#[test]
fn a_user_that_reads_slowly_slows_the_peer_and_nothing_else() {
    let server = Server {
        pause: Duration::from_millis(20),
        ..Server::default()
    };
    let mut world = World::new(Path::default(), server, 2_000_000);
    let mut most = 0;
    while !world.is_done() {
        world.step();
        most = most.max(world.stack.pool().bytes_out());
    }
    assert_eq!(world.received, 2_000_000);
    // The window, the peer's own queue, and what is between.
    assert!(most < 4 << 20, "{most} bytes of buffers");
}

#[test]
fn a_peer_that_stops_reading_is_probed_until_it_goes_on() {
    let server = Server {
        send: 2_000_000,
        ..Server::default()
    };
    let mut world = World::new(Path::default(), server, 10);
    world.client.appetite = 1;
    world.run(Duration::from_secs(100));
    let stuck = world.client.received;
    assert!(stuck < 1_000_000 && !world.is_done());
    // The announcement of the reopened window is lost; a probe finds out.
    world.client.devour();
    if let Some(flow) = &mut world.client.flow {
        flow.ack_due = false;
    }
    world.run(Duration::from_secs(1_000));
    assert_eq!(world.client.received, 2_000_000);
    assert_eq!(world.gone, None);
}
