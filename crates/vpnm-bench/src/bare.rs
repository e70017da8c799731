//! The least that any engine with a TUN device can take: the bytes of one TCP connection and
//! the datagrams of one flow go to the SOCKS 5 proxy and come back by nothing but the system
//! calls that every such engine needs.
//!
//! It is no TCP: nothing is sent again, no window is looked at, no timer is set and no checksum
//! verified. What it takes is what the kernel takes, and how near to it an engine is, is all
//! that the engine itself can be blamed for.
//!
//! Readiness is level-triggered: where one packet is likely to be all there is, no read is made
//! only to learn that nothing is left.

mod packet;
mod relay;
mod run;
mod socks;
mod stream;

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::device;
use crate::metric::Load;
use packet::Packet;
use relay::Relay;
use stream::Stream;

/// What this program is told to be this engine by.
pub(crate) const WORD: &str = "bare";
/// The loads that need no more than it does.
pub(crate) const LOADS: [Load; 3] = [Load::Ping, Load::Pinned, Load::Datagrams];

/// Bytes of the longest packet, its virtio header included, and more.
const ROOM: usize = 70_000;
/// Whose readiness it is.
const QUEUE: u64 = 0;
const STREAM: u64 = 1;
const RELAY: u64 = 2;
/// All of them.
const SOURCES: usize = 3;

/// Serves the device until it is gone.
pub(crate) fn run() -> anyhow::Result<()> {
    let device = device::open()?;
    let mut bare = Bare {
        epoll: epoll::create(CreateFlags::CLOEXEC)?,
        relay: Relay::new(device.udp_segmentation)?,
        queue: device.fd,
        packet: vec![0; ROOM].into_boxed_slice(),
        stream: None,
    };
    watch(&bare.epoll, &bare.queue, QUEUE)?;
    watch(&bare.epoll, bare.relay.socket(), RELAY)?;
    let mut events = Vec::with_capacity(SOURCES);
    loop {
        bare.turn(&mut events)?;
    }
}

fn watch(epoll: &OwnedFd, source: &impl std::os::fd::AsFd, whose: u64) -> Result<(), Errno> {
    epoll::add(epoll, source, EventData::new_u64(whose), EventFlags::IN)
}

/// The engine.
struct Bare {
    epoll: OwnedFd,
    queue: OwnedFd,
    /// The packet that was read last.
    packet: Box<[u8]>,
    /// The one connection, from its first segment on.
    stream: Option<Stream>,
    relay: Relay,
}

impl Bare {
    /// Waits until there is something to move, and moves it.
    fn turn(&mut self, events: &mut Vec<Event>) -> anyhow::Result<()> {
        match epoll::wait(&self.epoll, spare_capacity(events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            match event.data.u64() {
                QUEUE => self.read_queue()?,
                STREAM => self.read_stream()?,
                _ => self.relay.receive(&self.queue),
            }
        }
        Ok(())
    }

    /// Takes one segment, or all datagrams that are there: these are sent together.
    fn read_queue(&mut self) -> anyhow::Result<()> {
        loop {
            let count = match rustix::io::read(&self.queue, &mut *self.packet) {
                Ok(count) => count,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            };
            match Packet::decode(self.packet.get(..count).unwrap_or_default()) {
                Some(Packet::Datagrams(datagrams)) => self.relay.take(&datagrams)?,
                Some(Packet::Segment(segment)) => {
                    if segment.header.flags.opens() {
                        let stream = Stream::open(&segment, &self.queue)?;
                        watch(&self.epoll, stream.socket(), STREAM)?;
                        self.stream = Some(stream);
                    } else if let Some(stream) = &mut self.stream
                        && !stream.take(&segment, &self.queue)?
                    {
                        self.stream = None;
                    }
                    break;
                }
                None => break,
            }
        }
        self.relay.flush();
        Ok(())
    }

    fn read_stream(&mut self) -> anyhow::Result<()> {
        if let Some(stream) = &mut self.stream
            && !stream.receive(&self.queue)?
        {
            self.stream = None;
        }
        Ok(())
    }
}
