//! Whatever arrives and whatever the user does, the stack keeps to its limits and comes
//! to rest.
#![no_main]

#[path = "../../../crates/vpnm-netstack/tests/corpus/player.rs"]
mod player;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| player::play(script));
