//! Datagrams that nobody takes.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use vpnm_engine::netshell::{Counters, DnsQuery, Handler, TcpIncoming, UdpIncoming};

use crate::direct;
use crate::exchange::world_of;
use crate::world::{Queue, SERVER};

static COUNTERS: OnceLock<Arc<Counters>> = OnceLock::new();

/// Keeps every flow, and takes nothing from it.
#[derive(Default)]
struct Idle(RefCell<Vec<UdpIncoming>>);

impl Handler for Idle {
    fn tcp(self: &Rc<Self>, flow: TcpIncoming) {
        drop(flow);
    }

    fn udp(self: &Rc<Self>, flow: UdpIncoming) {
        self.0.borrow_mut().push(flow);
    }

    fn dns(self: &Rc<Self>, query: DnsQuery) {
        drop(query);
    }
}

fn serve(tun: OwnedFd) {
    direct::serve_counting(tun, &COUNTERS, Idle::default());
}

#[test]
fn datagrams_that_nobody_takes_are_counted_as_lost() {
    let Some(world) = world_of(Queue::Offload, serve) else {
        return;
    };
    world.app.run(|| {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        let counters = COUNTERS.wait();
        // The test runner's own limit is the only one.
        while counters.totals().udp_lost < 100 {
            client.send_to(&[7; 1_400], (SERVER[0], 9)).unwrap();
        }
    });
}
