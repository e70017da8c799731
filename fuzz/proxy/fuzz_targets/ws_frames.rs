//! Whatever a WebSocket carries, to either end, in pieces of any size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpnm_proxy::ws::frame::{Receiver, Role};

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (limit, bytes) = input;
    for role in [Role::Client, Role::Server] {
        let mut receiver = Receiver::new(role);
        let mut waiting = bytes.clone();
        while let Ok((used, event)) = receiver.handle(&mut waiting, usize::from(limit).max(1)) {
            if used == 0 && event.is_none() {
                break;
            }
            waiting.drain(..used);
        }
    }
});
