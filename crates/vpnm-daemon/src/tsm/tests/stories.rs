//! What a user lives through, as one sentence each.

use std::time::Duration;

use vpnm_api::engine::Health;
use vpnm_api::{Code, Failure, Goal, Note, State, Step};

use super::world::{World, bootstrap};
use super::{connect, disconnect, server};
use crate::tsm::{Command, Config, Event, HostWant, Lane, Record};

fn connected(name: &str) -> World {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, name));
    world.run();
    assert_eq!(world.reply(1), Some(Ok(())));
    assert_eq!(world.state().name(), "connected");
    world
}

/// Carries out until the engine is asked to connect.
fn until_connecting(world: &mut World) {
    for _ in 0..50 {
        if world.state()
            == (State::Connecting {
                step: Step::Connect,
            })
            && world.running.contains_key(&1)
        {
            return;
        }
        let _ = world.finish(Lane::Host) || world.finish(Lane::Engine);
    }
    panic!("never asked to connect: {:?}", world.log);
}

#[test]
fn disconnecting_leaves_nothing() {
    let mut world = connected("b");
    world.give(disconnect(2));
    world.run();
    assert_eq!(world.reply(2), Some(Ok(())));
    assert_eq!(world.state(), State::Disconnected);
    assert_eq!(world.kernel, HostWant::Open);
    assert!(!world.tun && world.engine.is_none());
    assert_eq!(world.disk.goal(), Goal::Open);
    assert_eq!(
        world.disk.server,
        Some(server("b")),
        "the last server is kept"
    );
}

#[test]
fn who_connects_again_while_disconnecting_is_not_taken_for_somebody_else() {
    let mut world = connected("b");
    world.give(disconnect(2));
    world.finish(Lane::Host);
    assert_eq!(world.state(), State::Disconnecting);
    world.log.clear();
    world.give(connect(3, "b"));
    world.run();
    assert_eq!(world.reply(2), Some(Err(Code::Superseded)));
    assert_eq!(world.reply(3), Some(Ok(())));
    let looks = world.log.iter().filter(|line| line.contains("check"));
    assert_eq!(looks.count(), 0, "{:?}", world.log);
}

#[test]
fn an_engine_that_cannot_be_asked_any_more_is_replaced() {
    let mut world = connected("b");
    world.log.clear();
    world.give(Event::Health(Health::Down, None));
    world.fail(Lane::Engine, Code::EngineLost, false);
    while world.state().name() != "connected" {
        assert!(world.wait(), "{:?}", world.log);
    }
    let order = ["  stop the engine", "  start the engine"];
    let told: Vec<_> = world.log.iter().filter(|l| l.ends_with("engine")).collect();
    assert_eq!(told, order, "{:?}", world.log);
}

#[test]
fn other_resolvers_are_asked_by_another_engine() {
    let mut world = connected("b");
    world.log.clear();
    world.machine.configure(Config {
        bootstrap: bootstrap(),
    });
    world.give(Event::Timer);
    world.run();
    assert_eq!(world.state().name(), "connected");
    let order = ["  stop the engine", "  start the engine"];
    let told: Vec<_> = world.log.iter().filter(|l| l.ends_with("engine")).collect();
    assert_eq!(told, order, "{:?}", world.log);
    assert!(!world.log.iter().any(|line| line.contains("blocked")));
}

#[test]
fn a_server_that_refuses_leaves_the_machine_blocked_and_says_so() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    until_connecting(&mut world);
    world.fail(Lane::Engine, Code::Refused, false);
    world.run();
    assert_eq!(world.reply(1), Some(Err(Code::Refused)));
    assert_eq!(world.state().cause().unwrap().code, Code::Refused);
    assert_eq!(world.kernel, HostWant::Blocked([].into_iter().collect()));
    assert!(world.engine.is_none());

    world.command(2, Command::Connect(None));
    world.run();
    assert_eq!(
        world.reply(2),
        Some(Ok(())),
        "the same server can be tried again"
    );
}

#[test]
fn a_host_that_cannot_carry_a_tunnel_is_left_alone() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    world.fail(Lane::Host, Code::NoTunDevice, false);
    world.run();
    assert_eq!(world.reply(1), Some(Err(Code::NoTunDevice)));
    assert_eq!(world.state(), State::Disconnected);
    assert_eq!(world.disk, Record::default());
}

#[test]
fn a_full_disk_refuses_the_command_and_changes_nothing() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    world.finish(Lane::Host);
    world.fail(Lane::Host, Code::JournalWrite, false);
    world.run();
    assert_eq!(world.reply(1), Some(Err(Code::JournalWrite)));
    assert_eq!(world.state(), State::Disconnected);

    let mut world = connected("a");
    world.give(disconnect(2));
    world.fail(Lane::Host, Code::JournalWrite, false);
    world.run();
    assert_eq!(world.reply(2), Some(Err(Code::JournalWrite)));
    assert_eq!(world.state().name(), "connected", "still as it was");
}

#[test]
fn the_engine_s_death_is_repaired_without_a_new_interface() {
    let mut world = connected("b");
    world.pass(Duration::from_secs(60));
    world.log.clear();
    world.give(Event::EngineExited(Note::new("signal 9")));
    assert_eq!(world.state().name(), "reconnecting");
    assert!(matches!(world.kernel, HostWant::Tunnel(_)));
    world.run();
    assert_eq!(world.state().name(), "connected");
    let orders = world.log.join("\n");
    assert!(!orders.contains("interface"), "{orders}");
    assert!(
        !orders.contains("resolve"),
        "the address is known: {orders}"
    );
}

#[test]
fn an_engine_that_keeps_dying_is_started_ever_more_slowly() {
    let mut world = connected("a");
    let mut waits = Vec::new();
    for _ in 0..5 {
        world.give(Event::EngineExited(Note::default()));
        let State::Reconnecting { retry_in_ms, .. } = world.state() else {
            panic!("{:?}", world.state());
        };
        waits.push(retry_in_ms);
        while world.state().name() != "connected" {
            world.run();
            if world.state().name() != "connected" {
                assert!(world.wait());
            }
        }
    }
    assert_eq!(waits, [0, 500, 1_000, 2_000, 5_000]);
}

#[test]
fn a_lost_server_is_tried_for_ever() {
    let mut world = connected("a");
    world.pass(Duration::from_secs(60));
    world.give(Event::Health(Health::Down, Some(Code::TimedOut.into())));
    for _ in 0..20 {
        assert_eq!(world.state().name(), "reconnecting");
        while !world.fail(Lane::Engine, Code::TimedOut, false) {
            if !world.finish(Lane::Host) {
                world.now = world.machine.poll_timeout().unwrap();
                world.give(Event::Timer);
            }
        }
    }
    world.run();
    while world.state().name() != "connected" {
        assert!(world.wait());
    }
}

#[test]
fn an_unreadable_journal_means_secured() {
    let failure = Failure::new(Code::JournalUnreadable, "checksum");
    let mut world = World::booted(Record::default(), HostWant::Open, Some(failure));
    world.run();
    assert_eq!(world.state().cause().unwrap().code, Code::JournalUnreadable);
    assert_eq!(
        world.hints().last().unwrap(),
        "`sudo vpnm lockdown off`, then `vpnm disconnect`, opens the network"
    );
    assert_eq!(world.kernel, HostWant::Blocked([].into_iter().collect()));
    world.command(1, Command::Connect(None));
    assert_eq!(world.reply(1), Some(Err(Code::NoServer)));
    world.give(connect(2, "a"));
    world.run();
    assert_eq!(world.reply(2), Some(Ok(())));
    // Whoever may disconnect does not open what may have been locked down.
    world.give(disconnect(3));
    world.run();
    assert_eq!(world.state().cause().unwrap().code, Code::Lockdown);
    assert_eq!(world.kernel, HostWant::Blocked([].into_iter().collect()));
    world.command(4, Command::Lockdown(false));
    world.run();
    assert_eq!(world.state(), State::Disconnected);
}

#[test]
fn what_gets_out_is_said_until_nothing_does() {
    let mut world = connected("a");
    let leak = Failure::new(Code::LeakDetected, "a raw frame by eth0");
    world.give(Event::Tried(Some(leak.clone())));
    assert_eq!(world.state(), State::Unprotected { cause: leak });
    assert_eq!(world.log.last().unwrap(), "UNPROTECTED: leak_detected:");
    world.run();
    assert_eq!(
        world.state().name(),
        "unprotected",
        "applying proves nothing"
    );
    world.give(Event::Untried);
    assert_eq!(world.state().name(), "unprotected", "nothing was learnt");
    world.give(Event::Tried(None));
    assert_eq!(world.state().name(), "connected");
    // An open machine keeps nothing in.
    world.give(disconnect(2));
    world.run();
    world.give(Event::Tried(Some(Code::LeakDetected.into())));
    assert_eq!(world.state(), State::Disconnected);
}

#[test]
fn an_interface_that_was_kept_stays_and_traffic_stays_in_it() {
    let mut world = World::fresh();
    world.give(connect(1, "a"));
    world.run();
    let mut world = world.crashed_with_store();
    world.run();
    assert_eq!(world.state().name(), "connected");
    let unwanted = ["open the interface", "close the interface", "host: blocked"];
    for line in &world.log {
        assert!(!unwanted.iter().any(|text| line.contains(text)), "{line}");
    }
}

#[test]
fn an_interface_that_was_kept_and_is_gone_is_made_anew() {
    let mut world = World::fresh();
    world.give(connect(1, "a"));
    world.run();
    let mut world = world.crashed_with_store();
    world.fail(Lane::Host, Code::Host, false);
    world.give(Event::TunLost);
    world.run();
    while world.state().name() != "connected" {
        assert!(world.wait());
    }
}

#[test]
fn a_daemon_that_starts_secured_blocks_first_and_connects_by_itself() {
    let disk = Record {
        connect: true,
        lockdown: false,
        server: Some(server("b")),
    };
    let mut world = World::booted(disk, HostWant::Open, None);
    assert_eq!(
        world.log[0],
        "  host: blocked but {1.1.1.1:443, 9.9.9.9:443}"
    );
    world.run();
    assert_eq!(world.state().name(), "connected");
}

#[test]
fn lockdown_blocks_without_a_tunnel_and_after_one() {
    let mut world = World::fresh();
    world.run();
    world.command(1, Command::Lockdown(true));
    world.run();
    assert_eq!(world.reply(1), Some(Ok(())));
    assert_eq!(world.state().cause().unwrap().code, Code::Lockdown);
    let hints = world.hints();
    assert_eq!(
        hints,
        [
            "type `vpnm connect LINK`",
            "`sudo vpnm lockdown off` opens the network"
        ]
    );
    world.give(connect(2, "a"));
    world.run();
    assert_eq!(world.state().name(), "connected");
    world.give(disconnect(3));
    world.run();
    assert_eq!(world.reply(3), Some(Ok(())));
    assert_eq!(world.state().cause().unwrap().code, Code::Lockdown);
    assert_eq!(world.hints().first().unwrap(), "type `vpnm connect`");
    world.command(4, Command::Lockdown(false));
    world.run();
    assert_eq!(world.reply(4), Some(Ok(())));
    assert_eq!(world.state(), State::Disconnected);
}

#[test]
fn a_host_that_cannot_be_blocked_is_loud_until_it_can() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    world.finish(Lane::Host);
    world.finish(Lane::Host);
    world.fail(Lane::Host, Code::Host, false);
    assert_eq!(world.reply(1), Some(Err(Code::Host)));
    assert_eq!(world.state().name(), "unprotected");
    assert!(world.wait());
    assert_ne!(world.state().name(), "unprotected");
    assert_ne!(world.kernel, HostWant::Open);
}

#[test]
fn a_foreign_change_is_repaired_and_counted_even_while_the_server_is_slow() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    until_connecting(&mut world);
    world.tamper(HostWant::Open);
    world.give(Event::Drift(Note::new("firewall")));
    assert!(world.finish(Lane::Host));
    assert_ne!(world.kernel, HostWant::Open);
    assert_eq!(world.machine.status(world.now, 0).repairs.count, 1);
    world.run();
    assert_eq!(world.reply(1), Some(Ok(())));
}

#[test]
fn a_change_during_a_repair_is_not_missed() {
    let mut world = connected("a");
    world.give(Event::Drift(Note::default()));
    world.give(Event::Drift(Note::default()));
    assert!(world.finish(Lane::Host));
    assert!(world.finish(Lane::Host), "read back once more");
    assert!(!world.finish(Lane::Host));
}

#[test]
fn the_host_is_read_back_every_half_minute() {
    let mut world = connected("a");
    world.tamper(HostWant::Blocked([].into_iter().collect()));
    let before = world.now;
    assert!(world.wait());
    assert_eq!(world.now.since(before), Duration::from_secs(30));
    assert!(matches!(world.kernel, HostWant::Tunnel(_)));
}

#[test]
fn a_switch_keeps_the_interface_and_the_route_until_the_new_server_answers() {
    let mut world = connected("a");
    world.log.clear();
    world.give(connect(2, "b"));
    while world
        .running
        .values()
        .all(|(_, e)| !matches!(e, crate::tsm::Effect::Connect { .. }))
    {
        assert!(world.finish(Lane::Host) || world.finish(Lane::Engine));
        assert!(matches!(world.kernel, HostWant::Tunnel(_)));
    }
    world.run();
    assert_eq!(world.reply(2), Some(Ok(())));
    assert!(!world.log.join("\n").contains("interface"));
}

#[test]
fn a_second_wish_takes_the_place_of_the_first() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    until_connecting(&mut world);
    world.give(disconnect(2));
    assert_eq!(world.reply(1), Some(Err(Code::Superseded)));
    world.run();
    assert_eq!(world.reply(2), Some(Ok(())));
    assert_eq!(world.state(), State::Disconnected);
}

#[test]
fn who_asks_for_the_same_waits_for_the_same() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    until_connecting(&mut world);
    world.give(connect(2, "a"));
    world.run();
    assert_eq!(world.reply(1), Some(Ok(())));
    assert_eq!(world.reply(2), Some(Ok(())));
    world.give(connect(3, "a"));
    assert_eq!(world.reply(3), Some(Ok(())), "at once");
}

#[test]
fn a_deleted_interface_is_made_anew_behind_the_block() {
    let mut world = connected("a");
    world.give(Event::TunLost);
    world.run();
    assert_eq!(world.state().name(), "connected");
    assert!(world.tun);
}

#[test]
fn a_changed_network_is_connected_through_at_once() {
    let mut world = connected("a");
    world.give(Event::NetworkChanged);
    assert_eq!(world.state().cause().unwrap().code, Code::NetworkChanged);
    world.run();
    assert_eq!(world.state().name(), "connected");
    assert!(!verified_anew(&world), "{:?}", world.log);
}

/// Whether a tunnel that stood was verified, and its flows kept.
fn verified_anew(world: &World) -> bool {
    world.log.iter().any(|line| line.contains("  verify a at"))
}

#[test]
fn a_server_that_was_silent_for_a_while_costs_no_flow() {
    let mut world = connected("a");
    world.give(Event::Health(Health::Down, None));
    world.run();
    assert_eq!(world.state().name(), "connected");
    assert!(verified_anew(&world), "{:?}", world.log);
}

#[test]
fn a_tunnel_in_doubt_is_not_said_to_answer() {
    let mut world = connected("a");
    let answers = |world: &World| world.machine.status(world.now, 0).verified.answered;
    assert!(answers(&world));
    world.give(Event::Health(Health::Suspect, None));
    assert_eq!(world.state().name(), "connected");
    assert!(!answers(&world));
    world.give(Event::Health(Health::Up, None));
    assert!(answers(&world));
}

#[test]
fn a_network_that_is_gone_is_said_to_be_and_its_return_costs_no_flow() {
    let mut world = connected("a");
    world.give(Event::NetworkGone);
    assert_eq!(world.state().cause().unwrap().code, Code::NoNetwork);
    while world.finish(Lane::Host) {}
    world.fail(Lane::Engine, Code::NoNetwork, false);
    assert_eq!(world.state().name(), "reconnecting");
    world.log.clear();
    world.give(Event::NetworkBack);
    world.run();
    assert_eq!(world.state().name(), "connected");
    assert!(verified_anew(&world), "{:?}", world.log);
}

#[test]
fn who_asks_for_another_tunnel_gets_one() {
    let mut world = connected("a");
    world.command(2, Command::Reconnect);
    world.run();
    assert_eq!(world.reply(2), Some(Ok(())));
    world.give(connect(3, "b"));
    world.run();
    assert_eq!(world.reply(3), Some(Ok(())));
    assert!(!verified_anew(&world), "{:?}", world.log);
}

#[test]
fn no_attempt_is_waited_for_that_began_on_another_network() {
    for event in [Event::NetworkChanged, Event::NetworkBack] {
        let mut world = connected("a");
        world.give(Event::Health(Health::Down, None));
        while world.finish(Lane::Host) {}
        let (old, _) = world.running[&1].clone();
        world.log.clear();
        world.give(event);
        let (new, _) = world.running[&1].clone();
        assert_ne!(old, new, "{:?}", world.log);
        assert!(world.engine.is_some(), "the engine lives on");
        world.run();
        assert_eq!(world.state().name(), "connected");
    }
}

#[test]
fn a_network_that_needs_a_moment_is_tried_again_at_once() {
    let mut world = connected("a");
    world.give(Event::NetworkGone);
    for _ in 0..8 {
        while world.finish(Lane::Host) {}
        world.fail(Lane::Engine, Code::NoNetwork, false);
        let at = world.machine.poll_timeout().expect("another attempt");
        world.now = at.max(world.now);
        world.give(Event::Timer);
    }
    world.give(Event::NetworkBack);
    while world.finish(Lane::Host) {}
    world.fail(Lane::Engine, Code::Unreachable, false);
    world.run();
    assert_eq!(world.state().name(), "connected", "{:?}", world.log);
}

#[test]
fn networks_that_come_and_go_are_followed_without_a_pause() {
    let mut world = connected("a");
    for _ in 0..10 {
        world.give(Event::NetworkBack);
        world.run();
        assert_eq!(world.state().name(), "connected");
    }
}

#[test]
fn stopping_keeps_the_block() {
    let mut world = connected("a");
    world.give(Event::Stop);
    world.run();
    assert!(world.exited);
    assert_eq!(world.kernel, HostWant::Blocked([].into_iter().collect()));
    assert_eq!(world.disk.goal(), Goal::Secured);
    assert!(world.engine.is_none());
    world.give(connect(9, "b"));
    assert_eq!(world.reply(9), Some(Err(Code::Stopping)));

    let mut world = World::fresh();
    world.run();
    world.give(Event::Stop);
    world.run();
    assert!(world.exited);
    assert_eq!(world.kernel, HostWant::Open);
}

#[test]
fn a_network_that_comes_back_is_tried_at_once_and_costs_no_flow() {
    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    until_connecting(&mut world);
    world.fail(Lane::Engine, Code::Unreachable, false);
    world.run();
    assert_eq!(world.state().name(), "blocked");
    world.give(Event::NetworkBack);
    world.run();
    assert_eq!(world.state().name(), "connected");
    world.give(Event::NetworkBack);
    assert_eq!(world.state().cause().unwrap().code, Code::NetworkChanged);
    world.run();
    assert_eq!(world.state().name(), "connected");
    assert!(verified_anew(&world), "{:?}", world.log);

    let mut world = World::fresh();
    world.run();
    world.give(connect(1, "a"));
    until_connecting(&mut world);
    world.fail(Lane::Engine, Code::Certificate, false);
    world.run();
    world.give(Event::NetworkBack);
    assert_eq!(
        world.state().cause().unwrap().code,
        Code::Certificate,
        "no use"
    );
}
