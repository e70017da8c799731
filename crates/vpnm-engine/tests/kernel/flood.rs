//! SYNs from addresses nobody has, put into the device as fast as it takes them.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use tokio::task::spawn_local;
use vpnm_engine::netshell::{Config, Counters, DnsQuery, Handler, TcpIncoming, UdpIncoming};
use vpnm_wire::{Checksum, protocol};

use crate::connections::eight_megabytes;
use crate::direct;
use crate::exchange::{connect, world_of};
use crate::world::{self, Queue};

const SYNS: u32 = 100_000;
/// Who is asked for; the engine itself is there.
const TARGET: ([u8; 4], u16) = ([10, 99, 0, 1], 4_444);

/// Of the engine under the flood.
static COUNTERS: OnceLock<Arc<Counters>> = OnceLock::new();

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
        use std::io::{Read as _, Write as _};
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
