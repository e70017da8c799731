//! Names of the local network: asked of its resolver where that is permitted, and
//! nothing else ever is.

#![cfg(test)]

mod world;

use std::time::Duration;

use vpnm_dns::wire::{kind, question};
use vpnm_dns::{LocalDomains, LocalQuery, Locality};
use vpnm_wire::{Domain, Host};
use world::{World, edns_query, query, response, wire};

const NXDOMAIN: u8 = 3;

fn domain(name: &str) -> Domain {
    match Host::domain(name).unwrap() {
        Host::Domain(domain) => domain,
        Host::Ip(_) => panic!("an address"),
    }
}

/// A world whose local network is asked, also for `corp.example`.
fn open() -> World {
    let mut world = World::warm(1);
    let domains = LocalDomains::new(&[domain("Corp.Example")]);
    world.resolver.handle_locality(Locality::Asked(domains));
    world
}

fn asked_locally(world: &mut World) -> Vec<LocalQuery> {
    std::iter::from_fn(|| world.resolver.poll_local_query()).collect()
}

/// Asks for a name and has the local network answer with `message`, made of the query.
fn answered(world: &mut World, name: &str, answer: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let client = world.ask(name);
    let asked = asked_locally(world);
    let [asked] = asked.as_slice() else {
        panic!("{name}: {asked:?}");
    };
    let message = answer(&asked.message);
    world
        .resolver
        .handle_local_answer(asked.id, Some(&message), world.now);
    world.settle();
    world.reply(client).unwrap().message.clone()
}

/// A response with these records: owner, type and data.
fn records(query: &[u8], answers: &[(&str, u16, Vec<u8>)]) -> Vec<u8> {
    let count = u8::try_from(answers.len()).unwrap();
    let mut message = vec![0, 0, 0x85, 0xa0, 0, 1, 0, count, 0, 0, 0, 0];
    message.extend(question(query).unwrap());
    for (owner, kind, data) in answers {
        message.extend(wire(owner));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 1, 44]);
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
    }
    message
}

#[test]
fn a_blocked_network_is_asked_for_nothing_and_the_answer_says_why() {
    let mut world = World::warm(1);
    let client = world.send(&edns_query("nas.lan", kind::A, 1232));
    let reply = world.reply(client).unwrap();
    assert_eq!(reply.rcode, NXDOMAIN);
    let text = String::from_utf8_lossy(&reply.message);
    assert!(text.contains("lan = false"), "{text:?}");
    let client = world.ask("wiki.corp.example");
    world.run(Duration::from_secs(1));
    assert_eq!(world.reply(client).unwrap().rcode, 0, "a public name");
    assert_eq!(asked_locally(&mut world), []);
}

#[test]
fn names_go_to_one_side_alone() {
    let mut world = open();
    let local = [
        "nas.lan",
        "router",
        "WIKI.corp.example",
        "corp.example",
        "x.home.arpa",
        "9.77.168.192.in-addr.arpa",
    ];
    for name in local {
        world.ask(name);
    }
    assert_eq!(asked_locally(&mut world).len(), local.len());
    assert!(world.sends.is_empty(), "{:?}", world.sends);
    let public = [
        "site.example",
        "xcorp.example",
        "lan.example",
        "8.8.8.8.in-addr.arpa",
    ];
    for name in public {
        world.ask(name);
    }
    for never in ["a.local", "x.onion", "a.invalid", "localhost"] {
        world.ask(never);
    }
    assert_eq!(asked_locally(&mut world), []);
    assert_eq!(world.sends.len(), public.len());
}

#[test]
fn one_lookup_serves_all_who_ask_and_those_who_ask_later() {
    let mut world = open();
    let clients = [world.ask("nas.lan"), world.ask("NAS.lan")];
    let asked = asked_locally(&mut world);
    assert_eq!(asked.len(), 1);
    let answer = response(&asked[0].message, 0, 300);
    world
        .resolver
        .handle_local_answer(asked[0].id, Some(&answer), world.now);
    world.settle();
    assert!(clients.iter().all(|client| world.reply(*client).is_some()));
    let later = world.ask("nas.lan");
    assert_eq!(world.reply(later).unwrap().rcode, 0);
    assert_eq!(asked_locally(&mut world), []);
    // Past its time it is asked again; nothing stale is served.
    world.run(Duration::from_secs(400));
    world.ask("nas.lan");
    assert_eq!(asked_locally(&mut world).len(), 1);
}

#[test]
fn it_is_believed_in_its_own_names_only() {
    let mut world = open();
    let lie = |query: &[u8]| {
        let target = wire("bank.example");
        let address = vec![192, 168, 77, 66];
        records(
            query,
            &[
                ("NAS.lan", kind::CNAME, target),
                ("bank.example", kind::A, address),
                ("nas.lan", kind::A, vec![192, 168, 77, 9]),
            ],
        )
    };
    let message = answered(&mut world, "nas.lan", lie);
    assert_eq!(message[7], 1, "{message:?}");
    assert!(!message.ends_with(&[192, 168, 77, 66]));
    assert_eq!(message[3] & 0x20, 0, "it cannot say what is authentic");
    let address = "192.168.77.66".parse().unwrap();
    assert_eq!(world.resolver.name_of(address), None);
    let client = world.ask("bank.example");
    world.run(Duration::from_secs(1));
    assert!(
        world
            .reply(client)
            .unwrap()
            .message
            .ends_with(&[192, 0, 2, 1])
    );
}

#[test]
fn an_answer_to_another_question_is_none() {
    let mut world = open();
    let other = |_: &[u8]| response(&query("tv.lan", kind::A), 0, 300);
    let message = answered(&mut world, "nas.lan", other);
    assert_eq!(message[3] & 0xf, world::SERVFAIL);
}

#[test]
fn another_network_is_asked_anew_and_waiting_clients_are_told() {
    let mut world = open();
    let kept = |query: &[u8]| response(query, 0, 300);
    answered(&mut world, "nas.lan", kept);
    let waits = world.ask("tv.lan");
    let asked = asked_locally(&mut world);
    let domains = LocalDomains::new(&[domain("corp.example")]);
    world.resolver.handle_locality(Locality::Unknown(domains));
    world.settle();
    assert_eq!(world.reply(waits).unwrap().rcode, world::SERVFAIL);
    // What comes late belongs to the network before.
    let late = response(&asked[0].message, 0, 300);
    world
        .resolver
        .handle_local_answer(asked[0].id, Some(&late), world.now);
    let none = world.ask("nas.lan");
    assert_eq!(world.reply(none).unwrap().rcode, NXDOMAIN);
    let listed = world.ask("wiki.corp.example");
    assert_eq!(world.reply(listed).unwrap().rcode, world::SERVFAIL);
    let domains = LocalDomains::default();
    world.resolver.handle_locality(Locality::Asked(domains));
    world.ask("nas.lan");
    assert_eq!(asked_locally(&mut world).len(), 1);
}

#[test]
fn lookups_are_bounded() {
    let mut world = open();
    let clients: Vec<u32> = (0..2_000)
        .map(|n| world.ask(&format!("n{n}.lan")))
        .collect();
    let asked = asked_locally(&mut world).len();
    assert!((100..1_000).contains(&asked), "{asked}");
    assert_eq!(world.failures(), clients.len() - asked);
}
