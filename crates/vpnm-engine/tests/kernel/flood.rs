//! SYNs from addresses nobody has, put into the device as fast as it takes them.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::spawn_local;
use vpnm_engine::netshell::{Config, Counters, DnsQuery, Handler, TcpIncoming, UdpIncoming};
use vpnm_wire::{Checksum, protocol};

use crate::connections::eight_megabytes;
use crate::direct;
use crate::exchange::{connect, world_of};
use crate::world::{self, Queue};

const SYNS: u32 = 100_000;
/// Those of a flood that lasts, each millisecond.
const BURST: u32 = 32;
/// Who is asked for; the engine itself is there.
const TARGET: ([u8; 4], u16) = ([10, 99, 0, 1], 4_444);

/// Of the engines under the floods.
static COUNTERS: OnceLock<Arc<Counters>> = OnceLock::new();
static MEANWHILE: OnceLock<Arc<Counters>> = OnceLock::new();

/// Accepts every connection at once and sends back what comes.
struct Echo;

impl Handler for Echo {
    fn tcp(self: &Rc<Self>, flow: TcpIncoming) {
        let (mut from, mut to) = tokio::io::split(flow.accept());
        spawn_local(async move {
            if tokio::io::copy(&mut from, &mut to).await.is_ok() {
                tokio::io::AsyncWriteExt::shutdown(&mut to).await.ok();
            }
        });
    }

    fn udp(self: &Rc<Self>, flow: UdpIncoming) {
        drop(flow);
    }

    fn dns(self: &Rc<Self>, query: DnsQuery) {
        drop(query);
    }
}

fn serve(tun: OwnedFd) {
    direct::serve_counting(tun, &COUNTERS, Echo);
}

fn serve_meanwhile(tun: OwnedFd) {
    direct::serve_counting(tun, &MEANWHILE, Echo);
}

/// A SYN from the `number`th address, behind a virtio header that promises nothing.
fn syn(number: u32) -> Vec<u8> {
    let from = (0x0b00_0000 + number).to_be_bytes();
    let mut segment = Vec::from(1_111_u16.to_be_bytes());
    segment.extend(TARGET.1.to_be_bytes());
    segment.extend(number.to_be_bytes());
    segment.extend([0, 0, 0, 0, 5 << 4, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let length = segment.len();
    let mut sum = Checksum::pseudo_header(from.into(), TARGET.0.into(), protocol::TCP, length);
    sum.add(&segment);
    segment[16..18].copy_from_slice(&sum.finish());
    let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol::TCP, 0, 0];
    packet.extend(from);
    packet.extend(TARGET.0);
    let mut sum = Checksum::new();
    sum.add(&packet);
    let header = sum.finish();
    packet[10..12].copy_from_slice(&header);
    [vec![0; 10], packet, segment].concat()
}

#[test]
fn a_flood_of_attempts_is_bounded_and_passes() {
    let Some(world) = world_of(Queue::Offload, serve) else {
        return;
    };
    let most = Config::new(1_500).unwrap().stack.max_half_open;
    let (served, open) = world.app.run(|| {
        let mut before = connect(TARGET.into());
        let socket = world::packet_socket().unwrap();
        let counters = COUNTERS.wait();
        let mut open = 0;
        for number in 0..SYNS {
            // The device takes no more than its queue holds; the rest is lost.
            rustix::io::write(&socket, &syn(number)).ok();
            open = open.max(counters.totals().tcp_flows);
        }
        let mut answer = [0; 4];
        let served = before.write_all(b"stay").is_ok() && before.read_exact(&mut answer).is_ok();
        (served && answer == *b"stay", open)
    });
    assert!(served, "who was there before goes on");
    assert!(open > 1_000, "the flood came to {open} flows only");
    assert!(usize::try_from(open).unwrap() <= most + 1, "{open} flows");
    // Attempts that nobody completes go, and others get their place.
    assert!(world.app.run(|| eight_megabytes(TARGET.into())));
}

/// Whether a new connection carries a word there and back.
fn is_served() -> io::Result<bool> {
    let limit = Duration::from_secs(20);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(TARGET), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"word")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"word")
}

#[test]
fn who_comes_while_a_flood_lasts_is_served() {
    let Some(world) = world_of(Queue::Offload, serve_meanwhile) else {
        return;
    };
    assert!(world.app.run(is_served).unwrap());
    let over = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&over);
    let flood = world.app.spawn(move || {
        let socket = world::packet_socket().unwrap();
        let mut number = 0;
        while !until.load(Ordering::Relaxed) {
            // Ten times what makes room in the table, and no more than the device takes.
            for _ in 0..BURST {
                number = (number + 1) % 0x00ff_ffff;
                rustix::io::write(&socket, &syn(number)).ok();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let most = Config::new(1_500).unwrap().stack.max_half_open;
    let counters = MEANWHILE.get().expect("the engine runs");
    let served: Vec<_> = (0..8)
        .map(|_| {
            while usize::try_from(counters.totals().tcp_flows).unwrap() < most {
                std::thread::yield_now();
            }
            world.app.run(is_served)
        })
        .collect();
    over.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    assert!(
        served.iter().all(|one| matches!(one, Ok(true))),
        "{served:?}"
    );
}
