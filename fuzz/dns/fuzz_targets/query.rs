//! Whatever a client sends, the answer is a well-formed message, or none.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use vpnm_dns::wire::Records;
use vpnm_dns::{Carriage, Config, Path, Resolver};

fuzz_target!(|bytes: &[u8]| {
    let mut resolver = Resolver::new(Config {
        upstreams: 2,
        cache_bytes: 1 << 16,
        lookups: 16,
        clients: 16,
        addresses: 16,
        seed: 1,
    });
    let now = Instant::now();
    resolver.handle_query((), bytes, Carriage::Datagram, now);
    resolver.handle_path(Path::Renewed, now);
    resolver.handle_query((), bytes, Carriage::Stream, now);
    resolver.handle_path(Path::Absent, now);
    while let Some(answer) = resolver.poll_answer() {
        let records = Records::of(&answer.message).expect("an answer has a header");
        assert!(records.into_iter().all(|record| record.is_ok()));
    }
});
