//! Every order of events: all short ones, and many long ones.
//!
//! The world's own checks run after each event; here is what must hold in the
//! end: every command is answered, and a world that behaves is brought to what
//! is wanted.

use std::time::Duration;

use vpnm_api::engine::Health;
use vpnm_api::{Code, Goal, Note, State};

use super::world::World;
use super::{connect, disconnect};
use crate::tsm::{Command, Event, HostWant, Lane, Record};

/// What can happen next. One byte chooses.
const CHOICES: u8 = 25;

fn happen(world: &mut World, choice: u8, id: u64) {
    if world.exited {
        return;
    }
    match choice {
        0 | 1 => drop(world.finish(Lane::Host)),
        2 | 3 => drop(world.finish(Lane::Engine)),
        4 => drop(world.fail(Lane::Host, Code::Host, false)),
        5 => drop(world.fail(Lane::Engine, Code::TimedOut, false)),
        6 => world.give(connect(id, "a")),
        7 => world.give(connect(id, "b")),
        8 => world.give(disconnect(id)),
        9 => world.command(id, Command::Reconnect),
        10 => world.command(id, Command::Lockdown(id.is_multiple_of(2))),
        11 => world.command(id, Command::Connect(None)),
        12 => {
            if world.engine.is_some() {
                world.give(Event::EngineExited(Note::default()));
            }
        }
        13 => world.give(Event::Health(Health::Down, None)),
        14 => world.give(Event::Health(Health::Suspect, None)),
        15 => {
            // Somebody flushes; the daemon is told.
            if world.kernel != HostWant::Open {
                world.tamper(HostWant::Open);
                world.give(Event::Drift(Note::default()));
            }
        }
        16 if id.is_multiple_of(3) => world.give(Event::NetworkBack),
        16 if id.is_multiple_of(5) => world.give(Event::NetworkGone),
        16 => world.give(Event::NetworkChanged),
        17 => {
            if world.tun {
                world.give(Event::TunLost);
            }
        }
        18 => world.pass(Duration::from_millis(300)),
        19 => drop(world.wait()),
        20 => drop(world.fail(Lane::Engine, Code::Rejected, true)),
        21 => {
            let old = std::mem::replace(world, World::fresh());
            *world = old.crashed();
        }
        22 => {
            let old = std::mem::replace(world, World::fresh());
            *world = old.crashed_with_store();
        }
        23 => world.give(Event::Untried),
        _ => {
            let leak = id.is_multiple_of(2).then(|| Code::LeakDetected.into());
            world.give(Event::Tried(leak));
        }
    }
}

/// From here on the world behaves: the machine must come to rest where it should.
fn must_converge(mut world: World) {
    if !world.exited {
        world.give(Event::Tried(None));
    }
    world.run();
    for _ in 0..40 {
        if is_at_rest(&world) {
            break;
        }
        if !world.wait() {
            break;
        }
    }
    assert!(
        world.unanswered.is_empty(),
        "{:?} {:?}",
        world.unanswered,
        world.log
    );
    assert_eq!(
        &world.disk,
        world.machine.record(),
        "the disk says otherwise"
    );
    let state = world.state();
    match (world.disk.goal(), world.disk.connect) {
        (Goal::Open, _) => assert_eq!(state, State::Disconnected, "{:?}", world.log),
        (Goal::Secured, true) => {
            let given_up = matches!(state, State::Blocked { .. });
            let up = matches!(state, State::Connected(_));
            assert!(up || given_up, "{state:?} {:?}", world.log);
            if given_up {
                assert_eq!(world.kernel, HostWant::Blocked([].into_iter().collect()));
            }
        }
        (Goal::Secured, false) => {
            assert_eq!(state.cause().map(|c| c.code), Some(Code::Lockdown));
            assert_eq!(world.kernel, HostWant::Blocked([].into_iter().collect()));
        }
    }
}

fn is_at_rest(world: &World) -> bool {
    let state = world.state();
    let settled = match world.disk.goal() {
        Goal::Open => matches!(state, State::Disconnected),
        Goal::Secured => matches!(state, State::Connected(_) | State::Blocked { .. }),
    };
    settled && world.running.is_empty() && world.unanswered.is_empty()
}

#[test]
fn every_short_story_ends_well() {
    // Every order of three events after each of these beginnings.
    let beginnings: [&[u8]; 5] = [
        &[],
        &[6, 0, 0, 0],
        &[7, 0, 0, 0, 0, 2, 2],
        &[6, 0, 0, 0, 0, 2, 2, 0],
        &[6, 0, 0, 0, 0, 2, 2, 0, 8, 0],
    ];
    for beginning in beginnings {
        let mut world = World::fresh();
        world.run();
        for (id, choice) in (1..).zip(beginning) {
            happen(&mut world, *choice, id);
        }
        continue_all(&world, 3, 100);
    }
}

fn continue_all(world: &World, depth: u32, id: u64) {
    must_converge(world.clone());
    if depth == 0 {
        return;
    }
    for choice in 0..CHOICES {
        let mut next = world.clone();
        happen(&mut next, choice, id);
        continue_all(&next, depth - 1, id + 1);
    }
}

#[test]
fn every_long_story_ends_well() {
    let mut random = Random(0x5eed);
    for story in 0..3_000 {
        let mut world = World::fresh();
        for id in 0..random.below(200) {
            let choice = u8::try_from(random.below(u64::from(CHOICES))).unwrap();
            happen(&mut world, choice, story * 1_000 + id);
        }
        must_converge(world);
    }
}

#[test]
fn stopping_at_any_moment_keeps_what_is_wanted() {
    let mut random = Random(0x570b);
    for story in 0..2_000 {
        let mut world = World::fresh();
        for id in 0..random.below(60) {
            let choice = u8::try_from(random.below(u64::from(CHOICES))).unwrap();
            happen(&mut world, choice, story * 1_000 + id);
        }
        world.give(Event::Stop);
        world.run();
        for _ in 0..10 {
            if world.exited {
                break;
            }
            world.wait();
        }
        assert!(world.exited, "{:?}", world.log);
        assert!(world.unanswered.is_empty());
        let open = world.kernel == HostWant::Open;
        assert!(
            !open || world.disk.goal() == Goal::Open,
            "opened by stopping: {:?}",
            world.log
        );
    }
}

#[test]
fn a_crash_between_any_two_effects_ends_where_it_should() {
    let secured = Record {
        connect: true,
        lockdown: false,
        server: Some(super::server("b")),
    };
    for crash_after in 0..20 {
        let mut world = World::booted(secured.clone(), HostWant::Open, None);
        for _ in 0..crash_after {
            let _ = world.finish(Lane::Host) || world.finish(Lane::Engine);
        }
        let was_blocked = world.kernel != HostWant::Open;
        let mut world = world.crashed();
        assert!(world.kernel != HostWant::Open || !was_blocked);
        world.run();
        assert_eq!(world.state().name(), "connected");
    }
}

/// SplitMix64: the same stories on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
