//! The order of effects and states, as text that shows up in review.

use vpnm_api::{Code, Note};

use super::world::World;
use super::{connect, disconnect, server};
use crate::tsm::{Command, Event, HostWant, Lane, Record};

#[track_caller]
fn assert_log(world: &World, expected: &str) {
    let got = world.log.join("\n");
    assert_eq!(got, expected.trim_end(), "got:\n{got}\n");
}

#[test]
fn connect_by_name_and_disconnect() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "b"));
    world.run();
    world.give(disconnect(2));
    world.run();
    assert_log(&world, include_str!("golden/connect_disconnect.txt"));
}

#[test]
fn switch_and_refusal() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    world.run();
    world.log.clear();
    world.give(connect(2, "b"));
    while world.finish(Lane::Host)
        || (world.state().name() == "connecting" && resolve_only(&mut world))
    {}
    world.fail(Lane::Engine, Code::Certificate, false);
    world.run();
    assert_log(&world, include_str!("golden/switch_refused.txt"));
}

/// Ends the engine's effect unless it is the last one, connecting.
fn resolve_only(world: &mut World) -> bool {
    let connecting = |(_, effect): &(crate::tsm::Ticket, crate::tsm::Effect)| {
        matches!(effect, crate::tsm::Effect::Connect { .. })
    };
    !world.running.get(&1).is_some_and(connecting) && world.finish(Lane::Engine)
}

#[test]
fn engine_death_and_daemon_death() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    world.run();
    world.log.clear();
    world.give(Event::EngineExited(Note::new("signal 9")));
    world.run();
    let log = std::mem::take(&mut world.log);
    let mut world = world.crashed();
    world.run();
    world.log.splice(
        0..0,
        log.into_iter().chain(["-- the daemon dies".to_owned()]),
    );
    assert_log(&world, include_str!("golden/deaths.txt"));
}

#[test]
fn lockdown_and_stop() {
    let disk = Record {
        connect: true,
        lockdown: true,
        server: Some(server("a")),
    };
    let mut world = World::booted(disk, HostWant::Open, None);
    world.run();
    world.give(disconnect(1));
    world.run();
    world.command(2, Command::Lockdown(false));
    world.run();
    world.give(Event::Stop);
    world.run();
    assert_log(&world, include_str!("golden/lockdown_stop.txt"));
}
