//! What clients see while upstreams, connections and the path fail.

#![cfg(test)]

mod world;

use std::time::Duration;

use vpnm_dns::Path;
use world::{Behaviour, MS, NOERROR, SERVFAIL, World};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_silently_dead_connection_costs_one_late_answer() {
    let mut world = World::warm(1);
    world.kill_silently();
    let client = world.ask("after.example");
    world.run(SECOND);
    let reply = world.reply(client).unwrap();
    assert_eq!(reply.rcode, NOERROR);
    // One timeout (100 ms), the dial (60 ms), one round trip (20 ms).
    assert!(reply.after <= 200 * MS, "{:?}", reply.after);
    assert_eq!(world.dials, 1);
}

#[test]
fn queries_during_a_race_are_all_answered_once() {
    let mut world = World::warm(1);
    world.kill_silently();
    for n in 0..100 {
        world.ask(&format!("n{n}.example"));
        world.run(5 * MS);
    }
    world.run(SECOND);
    assert_eq!(world.replies.len(), 100);
    assert_eq!(world.failures(), 0);
    assert_eq!(world.dials, 1);
    let slowest = world.replies.iter().map(|reply| reply.after).max();
    assert!(slowest.unwrap() <= 300 * MS, "{slowest:?}");
}

#[test]
fn a_thousand_cold_queries_share_one_connection() {
    let mut world = World::new(2);
    for n in 0..1000 {
        world.ask(&format!("n{n}.example"));
    }
    world.run(SECOND);
    assert_eq!(world.dials, 1);
    assert_eq!(world.replies.len(), 1000);
    assert_eq!(world.failures(), 0);
}

#[test]
fn the_same_question_is_asked_once() {
    let mut world = World::warm(1);
    for _ in 0..100 {
        world.ask("Same.Example");
        world.ask("same.example");
    }
    world.run(SECOND);
    assert_eq!(world.replies.len(), 200);
    assert_eq!(world.sends.len(), 1);
}

#[test]
fn after_an_outage_of_ten_seconds_answers_are_back_within_a_pace() {
    let mut world = World::warm(1);
    world.kill_silently();
    world.upstreams[0].dial = None;
    for n in 0..200 {
        world.ask(&format!("out{n}.example"));
        world.run(50 * MS);
    }
    world.upstreams[0].dial = Some(60 * MS);
    let dials_down = world.dials;
    let before = world.replies.len();
    let first_after = world.ask("back.example");
    world.run(2 * SECOND);
    let reply = world.reply(first_after).unwrap();
    assert_eq!(reply.rcode, NOERROR);
    assert!(reply.after <= 1_400 * MS, "{:?}", reply.after);
    // Nobody who was still waiting within 4.5 s was told of a failure.
    let failed = world.replies[before..]
        .iter()
        .filter(|reply| reply.rcode == SERVFAIL);
    assert!(failed.into_iter().all(|reply| reply.after >= 4_500 * MS));
    // Dials keep a pace of about a second.
    assert!((8..=20).contains(&dials_down), "{dials_down}");
}

#[test]
fn a_slow_path_is_not_mistaken_for_a_dead_one() {
    let mut world = World::new(1);
    world.upstreams[0].dial = Some(4 * SECOND);
    world.upstreams[0].answer = Some(400 * MS);
    let client = world.ask("far.example");
    world.run(5 * SECOND);
    assert_eq!(world.reply(client).unwrap().rcode, NOERROR);
}

#[test]
fn without_an_answer_the_client_hears_of_it_in_time() {
    let mut world = World::warm(1);
    world.kill_silently();
    world.upstreams[0].dial = None;
    let message = world::edns_query("never.example", 1, 1232);
    let client = world.send(&message);
    world.run(5 * SECOND);
    let reply = world.reply(client).unwrap();
    assert_eq!((reply.rcode, reply.after), (SERVFAIL, 4_500 * MS));
    let extended_error = [0, 15, 0, 2, 0, 22];
    assert!(reply.message.ends_with(&extended_error));
}

#[test]
fn known_names_stay_usable_while_nothing_answers() {
    let mut world = World::warm(1);
    world.upstreams[0].ttl = 60;
    world.ask("known.example");
    world.run(61 * SECOND);
    world.kill_silently();
    world.upstreams[0].dial = None;
    let late = world.ask("known.example");
    world.run(3 * SECOND);
    let reply = world.reply(late).unwrap();
    assert_eq!((reply.rcode, reply.after), (NOERROR, 1_800 * MS));
    // Stale data lives 30 s with the client.
    assert!(reply.message.windows(4).any(|ttl| ttl == [0, 0, 0, 30]));
    // From now on it goes out at once.
    let again = world.ask("known.example");
    assert_eq!(world.reply(again).unwrap().after, Duration::ZERO);
}

#[test]
fn while_the_path_is_down_answers_are_stale_or_at_once_a_failure() {
    let mut world = World::warm(1);
    world.upstreams[0].ttl = 10;
    world.ask("known.example");
    world.run(11 * SECOND);
    world.upstreams[0].dial = None;
    world.kill_silently();
    world.path(Path::Down);
    let known = world.ask("known.example");
    let unknown = world.ask("unknown.example");
    assert_eq!(world.reply(known).unwrap().rcode, NOERROR);
    let reply = world.reply(unknown).unwrap();
    assert_eq!((reply.rcode, reply.after), (SERVFAIL, Duration::ZERO));
}

#[test]
fn without_a_way_out_nothing_is_dialled() {
    let mut world = World::warm(1);
    let waiting = world.ask("waiting.example");
    world.path(Path::Absent);
    assert_eq!(world.reply(waiting).unwrap().rcode, SERVFAIL);
    let later = world.ask("later.example");
    assert_eq!(world.reply(later).unwrap().rcode, SERVFAIL);
    world.run(60 * SECOND);
    assert_eq!(world.dials, 0);
    assert_eq!(world.resolver.poll_timeout(), None);
}

#[test]
fn a_new_way_out_takes_the_waiting_queries_along() {
    let mut world = World::warm(1);
    world.upstreams[0].answer = None;
    let client = world.ask("moving.example");
    world.run(10 * MS);
    world.upstreams[0] = Behaviour::default();
    world.path(Path::Renewed);
    world.run(SECOND);
    let reply = world.reply(client).unwrap();
    assert_eq!(reply.rcode, NOERROR);
    assert!(reply.after <= 100 * MS);
}

#[test]
fn an_idle_resolver_never_wakes() {
    let mut world = World::warm(2);
    world.run(10 * SECOND);
    assert_eq!(world.resolver.poll_timeout(), None);
}

#[test]
fn a_slow_answer_is_asked_for_elsewhere_but_not_often() {
    let mut world = World::warm(2);
    world.upstreams[0].answer = Some(900 * MS);
    for n in 0..400 {
        world.ask(&format!("slow{n}.example"));
        world.run(2 * MS);
    }
    world.run(5 * SECOND);
    assert_eq!(world.failures(), 0);
    assert_eq!(world.replies.len(), 400);
    let hedges = world.resolver.statistics().hedges;
    assert!((1..=30).contains(&hedges), "{hedges}");
}

#[test]
fn a_slow_upstream_that_answers_pings_keeps_its_connection() {
    let mut world = World::warm(1);
    world.upstreams[0].answer = Some(3 * SECOND);
    let client = world.ask("slow.example");
    world.run(5 * SECOND);
    assert_eq!(world.reply(client).unwrap().rcode, NOERROR);
    assert!(world.sends.len() <= 2, "{}", world.sends.len());
}

#[test]
fn an_upstream_that_cannot_be_reached_is_left_for_the_other() {
    let mut world = World::new(2);
    world.upstreams[0].refuses = true;
    for n in 0..20 {
        world.ask(&format!("n{n}.example"));
        world.run(50 * MS);
    }
    world.run(SECOND);
    assert_eq!(world.failures(), 0);
    assert_eq!(world.replies.len(), 20);
}

#[test]
fn nonsense_from_one_upstream_is_asked_of_the_other() {
    let mut world = World::new(2);
    world.upstreams[0].nonsense = true;
    let client = world.ask("sane.example");
    world.run(SECOND);
    assert_eq!(world.reply(client).unwrap().rcode, NOERROR);
    world.upstreams[1].nonsense = true;
    let client = world.ask("insane.example");
    world.run(SECOND);
    assert_eq!(world.reply(client).unwrap().rcode, SERVFAIL);
}

#[test]
fn connections_that_break_on_every_query_are_made_at_a_pace() {
    let mut world = World::warm(1);
    world.upstreams[0].breaks = true;
    let client = world.ask("broken.example");
    world.run(5 * SECOND);
    assert_eq!(world.reply(client).unwrap().rcode, SERVFAIL);
    assert!(world.dials <= 12, "{}", world.dials);
    world.upstreams[0].breaks = false;
    let client = world.ask("whole.example");
    world.run(2 * SECOND);
    assert_eq!(world.reply(client).unwrap().rcode, NOERROR);
}

#[test]
fn a_failure_of_the_upstream_is_remembered_for_a_moment() {
    let mut world = World::warm(1);
    world.upstreams[0].rcode = SERVFAIL;
    world.ask("bad.example");
    world.run(SECOND);
    world.ask("bad.example");
    world.run(SECOND);
    assert_eq!(world.sends.len(), 1);
    assert_eq!(world.failures(), 2);
    world.run(5 * SECOND);
    world.upstreams[0].rcode = NOERROR;
    let client = world.ask("bad.example");
    world.run(SECOND);
    assert_eq!(world.reply(client).unwrap().rcode, NOERROR);
}

#[test]
fn popular_names_are_refreshed_before_their_time_is_over() {
    let mut world = World::warm(1);
    world.upstreams[0].ttl = 100;
    world.ask("popular.example");
    world.run(95 * SECOND);
    world.ask("popular.example");
    world.ask("popular.example");
    world.run(SECOND);
    assert_eq!(world.sends.len(), 2);
    world.run(50 * SECOND);
    let client = world.ask("popular.example");
    assert_eq!(world.reply(client).unwrap().after, Duration::ZERO);
}

#[test]
fn nobody_waits_twice_for_what_was_not_answered() {
    let mut world = World::warm(1);
    world.kill_silently();
    world.upstreams[0].dial = None;
    let first = world.ask("new.example");
    world.run(5 * SECOND);
    let reply = world.reply(first).unwrap();
    assert_eq!(reply.rcode, SERVFAIL);
    assert!(reply.after > 4 * SECOND, "{:?}", reply.after);
    // The client's second attempt, and its second server.
    for _ in 0..2 {
        let again = world.ask("new.example");
        let reply = world.reply(again).unwrap();
        assert_eq!(reply.rcode, SERVFAIL);
    }
    // Once a connection stands, it is worth asking.
    world.upstreams[0].dial = Some(60 * MS);
    world.path(Path::Renewed);
    world.run(SECOND);
    let answered = world.ask("new.example");
    world.run(SECOND);
    assert_eq!(world.reply(answered).unwrap().rcode, NOERROR);
}
