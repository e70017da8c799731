//! The corpora of the fuzz targets, replayed with mutations.

#![cfg(test)]

mod world;

use std::fs;
use std::path::Path;
use std::time::Duration;

use vpnm_dns::wire::{Asker, Query, Records, Reply, Response, kind, render};
use world::World;

/// Mutants made of each file.
const MUTANTS: u64 = 300;

fn replay(corpus: &str, mut parse: impl FnMut(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/dns/corpus");
    let mut files: Vec<_> = fs::read_dir(root.join(corpus))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let bytes = fs::read(file).unwrap();
        parse(&bytes);
        for seed in 1..MUTANTS {
            parse(&mutant(&bytes, seed));
        }
    }
}

fn mutant(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..=seed % 4 {
        state = state.rotate_left(23).wrapping_mul(0xd134_2543_de82_ef95);
        let [kind, value, high, low, ..] = state.to_be_bytes();
        let at = usize::from(u16::from_be_bytes([high, low])) % bytes.len().max(1);
        match kind % 4 {
            0 => bytes[at] = value,
            1 => bytes.insert(at, value),
            2 => drop(bytes.remove(at)),
            _ => bytes[at] ^= 1 << (value % 8),
        }
    }
    bytes
}

fn well_formed(message: &[u8]) {
    let mut records = Records::of(message).unwrap();
    assert!(records.by_ref().all(|record| record.is_ok()));
    assert_eq!(records.position(), message.len());
}

#[test]
fn answers_to_any_query_are_well_formed() {
    let mut world = World::warm(2);
    replay("query", |bytes| {
        world.send(bytes);
        world.run(Duration::from_millis(100));
        for reply in world.replies.drain(..) {
            well_formed(&reply.message);
        }
    });
}

#[test]
fn what_is_made_of_any_response_is_well_formed() {
    let asked = world::edns_query("site.example", kind::A, 1232);
    let key = world::key("site.example", kind::A);
    let mut taken = 0_u32;
    replay("response", |bytes| {
        let Ok(response) = Response::decode(bytes, &key) else {
            return;
        };
        taken += 1;
        let believed = |name: &[u8]| name == key.name();
        if let Ok(response) = Response::decode_trusting(bytes, &key, believed) {
            well_formed(response.message());
        }
        for age in [0, 7, 100_000] {
            let asker = Asker::of(&Query::decode(&asked).unwrap(), age == 7);
            let age = Duration::from_secs(age);
            let reply = Reply::Kept {
                response: &response,
                age,
                info: None,
            };
            well_formed(&render(&asker, &reply));
        }
    });
    assert!(taken > 100, "{taken}");
}
