//! What a hostile local user can do to a root daemon: nothing. Each attack
//! runs as another user where the tests run as root.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an integration test is a test module"
)]

mod arena;
mod backlog;
mod connections;
mod crowds;
mod descriptors;
mod encodings;
mod exhaustion;
mod identity;
mod messages;
mod origins;
mod panics;
mod races;
mod servers;
mod shutdown;
mod sockets;
mod target;
mod time;

/// The README names tests that exist.
#[test]
fn every_attack_listed_is_run() {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks");
    let list = std::fs::read_to_string(place.join("README.md")).unwrap();
    let named = list.split('`').filter_map(|word| word.split_once("::"));
    let mut count = 0;
    for (file, test) in named {
        let file = if file.ends_with(".rs") {
            file.to_owned()
        } else {
            format!("{file}.rs")
        };
        let text = std::fs::read_to_string(place.join(&file)).unwrap();
        let function = format!("fn {test}(");
        assert!(text.contains(&function), "{file} has no test {test}");
        count += 1;
    }
    assert!(count > 50, "{count} tests are listed");
}
