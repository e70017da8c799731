//! Traffic of ordinary programs, whatever happens around them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use vpnm_world::addresses::{SITE, SITE_NAME};
use vpnm_world::{Host, User, Visitor};

/// How long a transfer is, and how long a program rests between two exchanges.
const TRANSFER: Duration = Duration::from_millis(60);
const REST: Duration = Duration::from_millis(40);

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    carried: AtomicU64,
}

/// Programs at a time: one that is cut off may take seconds to notice.
const PROGRAMS: u32 = 6;

/// Programs that fetch, resolve, load down and up in turn.
#[derive(Debug)]
pub(super) struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Starts them on a host.
    pub(super) fn start(host: &Host) -> Result<Self> {
        let mut traffic = Self {
            shared: Arc::new(Shared::default()),
            threads: Vec::new(),
        };
        for first in 0..PROGRAMS {
            let shared = Arc::clone(&traffic.shared);
            let alice = Visitor::new(host, User::Alice);
            let thread = thread::Builder::new()
                .name("lab-traffic".to_owned())
                .spawn(move || go_on(&alice, &shared, first))?;
            traffic.threads.push(thread);
        }
        Ok(traffic)
    }

    /// Ends them, and says how many exchanges came through.
    pub(super) fn stop(mut self) -> u64 {
        self.end();
        self.shared.carried.load(Ordering::Relaxed)
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.end();
    }
}

fn go_on(alice: &Visitor, shared: &Shared, first: u32) {
    let page = |address: IpAddr| alice.fetch((address, 80).into(), SITE_NAME, "/address");
    for turn in first.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let result = match turn % 5 {
            0 => page(SITE.v4.into()).map(drop),
            1 => page(SITE.v6.into()).map(drop),
            2 => alice.resolve(SITE_NAME).map(drop),
            3 => alice.download(TRANSFER).map(drop),
            _ => alice.upload(TRANSFER).map(drop),
        };
        let came = u64::from(result.is_ok());
        shared.carried.fetch_add(came, Ordering::Relaxed);
        thread::sleep(REST);
    }
}
