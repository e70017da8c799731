//! What goes to clients, byte by byte where it matters.

#![cfg(test)]

mod world;

use std::time::Duration;

use vpnm_dns::wire::{Flags, Header, Lifetime, Query, Records, Response, Section, kind};
use vpnm_dns::{Carriage, ReverseMap};
use world::{MS, World, edns_query, key, query, response, wire};

fn answer_to(message: &[u8]) -> Vec<u8> {
    let mut world = World::warm(1);
    let client = world.send(message);
    world
        .reply(client)
        .map(|reply| reply.message.clone())
        .unwrap_or_default()
}

fn rcode(message: &[u8]) -> u16 {
    Header::decode(message).unwrap().flags.rcode()
}

#[test]
fn what_is_no_query_is_not_answered() {
    assert!(answer_to(&[]).is_empty());
    assert!(answer_to(&[0; 11]).is_empty());
    let mut reply = query("example.com", kind::A);
    reply[2] |= 0x80;
    assert!(answer_to(&reply).is_empty());
}

#[test]
fn malformed_queries_are_told_so() {
    let good = query("example.com", kind::A);
    let mut none = good.clone();
    none[5] = 0;
    let mut two = good.clone();
    two[5] = 2;
    let mut compressed = good[..12].to_vec();
    compressed.extend([0xc0, 0, 0, 1, 0, 1]);
    let mut two_opts = edns_query("example.com", kind::A, 1232);
    two_opts[11] = 2;
    two_opts.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    for message in [&none[..], &two, &compressed, &two_opts, &good[..20]] {
        let answer = answer_to(message);
        assert_eq!(rcode(&answer), 1, "{message:?}");
        assert_eq!(answer[..2], message[..2]);
    }
}

#[test]
fn other_operations_classes_and_transfers_are_declined() {
    let mut notify = query("example.com", kind::A);
    notify[2] |= 4 << 3;
    assert_eq!(rcode(&answer_to(&notify)), 4);
    let mut chaos = query("version.bind", 16);
    *chaos.last_mut().unwrap() = 3;
    assert_eq!(rcode(&answer_to(&chaos)), 5);
    assert_eq!(rcode(&answer_to(&query("example.com", kind::AXFR))), 5);
}

#[test]
fn a_later_edns_version_is_answered_badvers() {
    let mut message = edns_query("example.com", kind::A, 1232);
    let version = message.len() - 5;
    message[version] = 1;
    let answer = answer_to(&message);
    assert_eq!(rcode(&answer), 0);
    let opt = Records::of(&answer).unwrap().last().unwrap().unwrap();
    assert_eq!(opt.kind, kind::OPT);
    assert_eq!(
        opt.ttl >> 24,
        1,
        "BADVERS is 16: its upper bits are in the record"
    );
}

#[test]
fn every_type_is_answered_by_one_small_record() {
    let answer = answer_to(&query("example.com", kind::ANY));
    let record = Records::of(&answer).unwrap().next().unwrap().unwrap();
    assert_eq!(record.kind, kind::HINFO);
    assert_eq!(&answer[record.data], b"\x07RFC8482\0");
}

#[test]
fn a_name_that_stays_here_carries_its_soa() {
    let answer = answer_to(&query("printer.LOCAL", kind::A));
    assert_eq!(rcode(&answer), 3);
    let soa = Records::of(&answer).unwrap().next().unwrap().unwrap();
    assert_eq!((soa.section, soa.kind), (Section::Authority, kind::SOA));
    let zone = usize::from(u16::from_be_bytes([answer[soa.start], answer[soa.start + 1]]) & 0x3fff);
    assert_eq!(&answer[zone..zone + 7], b"\x05LOCAL\0");
}

#[test]
fn the_client_gets_its_own_spelling_identifier_and_flags_back() {
    let mut world = World::warm(1);
    let message = edns_query("MiXeD.Example", kind::A, 1232);
    let client = world.send(&message);
    world.run(100 * MS);
    let answer = &world.reply(client).unwrap().message;
    assert_eq!(answer[..2], [0x12, 0x34]);
    assert_eq!(answer[12..27], message[12..27]);
    let flags = Header::decode(answer).unwrap().flags;
    assert!(flags.has(Flags::QR) && flags.has(Flags::RD) && flags.has(Flags::RA));
    assert!(!flags.has(Flags::AD));
    let opts = Records::of(answer).unwrap().map(Result::unwrap);
    assert_eq!(opts.filter(|record| record.kind == kind::OPT).count(), 1);
}

#[test]
fn a_client_without_edns_gets_none() {
    let mut world = World::warm(1);
    let client = world.ask("plain.example");
    world.run(100 * MS);
    let answer = &world.reply(client).unwrap().message;
    let mut records = Records::of(answer).unwrap();
    assert!(
        records
            .by_ref()
            .all(|record| record.unwrap().kind == kind::A)
    );
    assert_eq!(records.position(), answer.len());
}

#[test]
fn times_to_live_count_down_in_the_cache() {
    let mut world = World::warm(1);
    world.ask("aging.example");
    world.run(20 * MS + Duration::from_secs(100));
    let client = world.ask("aging.example");
    let answer = &world.reply(client).unwrap().message;
    let record = Records::of(answer).unwrap().next().unwrap().unwrap();
    assert_eq!(record.ttl, 200);
}

/// A response of `count` addresses.
fn large(query: &[u8], count: u8) -> Vec<u8> {
    let single = response(query, 0, 300);
    let question_end = single.len() - 11 - 16;
    let mut message = single[..question_end].to_vec();
    message[7] = count;
    message[11] = 0;
    for n in 0..count {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, n]);
    }
    message
}

#[test]
fn what_does_not_fit_is_cut_and_asked_again_by_stream() {
    let asked = query("large.example", kind::A);
    let key = key("large.example", kind::A);
    let kept = Response::decode(&large(&asked, 100), &key).unwrap();
    let cases = [
        (query("large.example", kind::A), Carriage::Datagram, true),
        (
            edns_query("large.example", kind::A, 1232),
            Carriage::Datagram,
            true,
        ),
        (
            edns_query("large.example", kind::A, 4096),
            Carriage::Datagram,
            true,
        ),
        (query("large.example", kind::A), Carriage::Stream, false),
    ];
    for (message, carriage, cut) in cases {
        let client = Query::decode(&message).unwrap();
        let asker = vpnm_dns::wire::Asker::of(&client, carriage == Carriage::Stream);
        let reply = vpnm_dns::wire::Reply::Kept {
            response: &kept,
            age: Duration::ZERO,
            info: None,
        };
        let answer = vpnm_dns::wire::render(&asker, &reply);
        assert_eq!(Header::decode(&answer).unwrap().flags.has(Flags::TC), cut);
        assert_eq!(answer.len() < 512, cut);
        let mut records = Records::of(&answer).unwrap();
        assert!(records.by_ref().all(|record| record.is_ok()));
        assert_eq!(records.position(), answer.len());
    }
}

#[test]
fn negative_answers_live_as_long_as_the_soa_says() {
    let asked = query("gone.example", kind::A);
    let mut message = response(&asked, 3, 0);
    message.truncate(message.len() - 11);
    message[11] = 0;
    message[9] = 1;
    message.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0x0e, 0x10, 0, 22, 0, 0]);
    message.extend([0; 16]);
    message.extend(120_u32.to_be_bytes());
    let key = key("gone.example", kind::A);
    let kept = Response::decode(&message, &key).unwrap();
    assert_eq!(kept.lifetime(), Lifetime::Fresh(Duration::from_secs(120)));
    let without_soa = response(&asked, 3, 0);
    let kept = Response::decode(&without_soa, &key).unwrap();
    assert_eq!(kept.lifetime(), Lifetime::Once);
}

#[test]
fn a_response_to_another_question_is_not_taken() {
    let theirs = response(&query("theirs.example", kind::A), 0, 300);
    assert!(Response::decode(&theirs, &key("ours.example", kind::A)).is_err());
    assert!(Response::decode(&theirs, &key("theirs.example", kind::AAAA)).is_err());
    assert!(Response::decode(&theirs, &key("theirs.example", kind::A)).is_ok());
}

#[test]
fn addresses_lead_back_to_the_name_that_was_asked() {
    let mut world = World::warm(1);
    world.ask("Site.Example");
    world.run(100 * MS);
    let address = "192.0.2.1".parse().unwrap();
    assert_eq!(
        world.resolver.name_of(address).unwrap().as_str(),
        "site.example"
    );
    let mut map = ReverseMap::new(2);
    let name = vpnm_dns::wire::domain_of(&wire("a.b")).unwrap();
    for last in 0..10_u8 {
        map.observe([10, 0, 0, last].into(), &name);
    }
    let known = (0..10_u8).filter(|last| map.name([10, 0, 0, *last].into()).is_some());
    assert_eq!(known.count(), 2);
}

#[test]
fn mutated_messages_never_panic_and_answers_stay_well_formed() {
    let asked = edns_query("fuzzed.example", kind::A, 1232);
    let seeds = [
        asked.clone(),
        response(&asked, 0, 300),
        large(&asked, 20),
        query("a.b", 65),
    ];
    let key = key("fuzzed.example", kind::A);
    let mut state = 1_u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut world = World::warm(1);
    for round in 0..60_000_usize {
        let mut message = seeds[round % seeds.len()].clone();
        for _ in 0..=random(4) {
            let at = random(message.len());
            match random(4) {
                0 => message[at] = u8::try_from(random(256)).unwrap(),
                1 => message.truncate(at.max(1)),
                2 => message.insert(at, u8::try_from(random(256)).unwrap()),
                _ => message[at] ^= 1 << random(8),
            }
        }
        if let Ok(kept) = Response::decode(&message, &key) {
            assert!(kept.addresses().count() <= message.len());
            let client = Query::decode(&asked).unwrap();
            let asker = vpnm_dns::wire::Asker::of(&client, true);
            let age = Duration::from_secs(5);
            let reply = vpnm_dns::wire::Reply::Kept {
                response: &kept,
                age,
                info: None,
            };
            well_formed(&vpnm_dns::wire::render(&asker, &reply));
        }
        let client = world.send(&message);
        if round % 50 == 0 {
            world.run(Duration::from_secs(6));
        }
        for reply in world.replies.drain(..) {
            assert!(reply.client <= client);
            well_formed(&reply.message);
        }
    }
    world.run(Duration::from_secs(6));
    assert_eq!(world.resolver.poll_timeout(), None);
}

fn well_formed(message: &[u8]) {
    let mut records = Records::of(message).unwrap();
    assert!(records.by_ref().all(|record| record.is_ok()), "{message:?}");
    assert_eq!(records.position(), message.len());
}
