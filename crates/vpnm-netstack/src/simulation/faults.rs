//! What ends a connection, on purpose or not.

use std::time::Duration;

use super::link::Path;
use super::{Server, World};
use crate::event::{Cause, Refusal};

const MINUTES: Duration = Duration::from_secs(3_600);

#[test]
fn a_refused_connection_says_why() {
    let cases = [
        (Refusal::Reset, Some(Cause::Reset), None),
        (Refusal::NetUnreachable, None, Some((3, 0))),
        (Refusal::HostUnreachable, None, Some((3, 1))),
        (Refusal::Prohibited, None, Some((3, 13))),
    ];
    for (why, failed, icmp) in cases {
        let server = Server {
            refuse: Some(why),
            ..Server::default()
        };
        let mut world = World::new(Path::default(), server, 0);
        world.run(MINUTES);
        assert_eq!((world.client.failed, world.client.icmp), (failed, icmp));
        assert_eq!(world.stack.tcp_flows(), 0);
    }
}

#[test]
fn a_reset_by_the_peer_reaches_the_user() {
    let server = Server {
        send: 1_000,
        ..Server::default()
    };
    let mut world = World::new(Path::default(), server, 1_000);
    world.client.stay_open();
    world.run(Duration::from_secs(1));
    assert!(world.gone.is_none() && !world.is_done());
    world.client.reset();
    world.exchange();
    world.run(MINUTES);
    assert_eq!(world.gone, Some(Cause::Reset));
    world.close();
    assert_eq!(world.stack.tcp_flows(), 0);
}

#[test]
fn a_user_that_drops_its_flow_resets_the_peer() {
    let server = Server {
        send: usize::MAX / 2,
        ..Server::default()
    };
    let mut world = World::new(Path::default(), server, 1_000);
    world.run(Duration::from_millis(100));
    world.close();
    world.run(Duration::from_secs(1));
    assert_eq!(world.client.failed, Some(Cause::Reset));
    assert_eq!(world.stack.tcp_flows(), 0);
}

#[test]
fn a_peer_that_vanished_is_given_up() {
    let server = Server {
        send: 1_000_000,
        ..Server::default()
    };
    let mut world = World::new(Path::default(), server, 0);
    world.client.stay_open();
    world.run(Duration::from_millis(8));
    world.down = super::Link::new(
        Path {
            loss: 10_000,
            ..Path::default()
        },
        3,
    );
    world.client.failed = Some(Cause::Closed);
    world.run(MINUTES);
    assert_eq!(world.gone, Some(Cause::TimedOut));
}

#[test]
fn a_silent_peer_is_asked_and_kept_or_given_up() {
    for alive in [true, false] {
        let mut world = World::new(Path::default(), Server::default(), 1_000);
        world.client.stay_open();
        world.run(Duration::from_secs(1));
        if !alive {
            world.client.failed = Some(Cause::Closed);
            let path = Path {
                loss: 10_000,
                ..Path::default()
            };
            world.down = super::Link::new(path, 3);
        }
        world.run(Duration::from_secs(9_000));
        let gone = (!alive).then_some(Cause::TimedOut);
        assert_eq!(world.gone, gone);
        assert_eq!(world.received, 1_000);
    }
}

#[test]
fn nothing_is_woken_when_nothing_is_pending() {
    let mut world = World::new(Path::default(), Server::default(), 1_000);
    world.run(MINUTES);
    world.close();
    // The memory of the connection fades, then nothing is left to wait for.
    while let Some((at, _)) = world.stack.poll_timeout() {
        world.now = world.now.max(at);
        world.stack.handle_timeout(world.now);
        assert!(world.now < world.start + Duration::from_secs(10));
    }
}
