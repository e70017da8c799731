//! The corpus of the fuzz target, replayed with mutations.

#![cfg(test)]

mod player;

use std::fs;
use std::path::Path;

/// Mutants made of each file.
const MUTANTS: u64 = 400;

#[test]
fn any_life_of_a_stack_comes_to_rest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/netstack/corpus/stack");
    let mut files: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 6, "the corpus is there");
    for file in files {
        let script = fs::read(file).unwrap();
        player::play(&script);
        for seed in 1..=MUTANTS {
            player::play(&mutant(&script, seed));
        }
    }
}

/// A script with a few bytes changed.
fn mutant(script: &[u8], seed: u64) -> Vec<u8> {
    let mut script = script.to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..=seed % 6 {
        state = state.rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let at = usize::try_from(state >> 40).unwrap() % script.len();
        script[at] = state.to_be_bytes()[7];
    }
    script
}
