//! The corpus of the fuzz targets, replayed.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "an integration test is a test module"
)]

use std::path::PathBuf;

fn replay(target: &str, feed: fn(&[u8])) {
    let place = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/anyd/corpus")
        .join(target);
    let mut replayed = 0;
    for entry in std::fs::read_dir(&place).unwrap() {
        feed(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed > 2, "{}", place.display());
}

#[test]
fn frames() {
    replay("frames", anyd::fuzz::frames);
}

#[test]
fn calls() {
    replay("call", anyd::fuzz::call);
}

#[test]
fn pickles() {
    replay("pickle", anyd::fuzz::pickle);
}
