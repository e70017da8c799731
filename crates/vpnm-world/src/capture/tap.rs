//! The capture's socket and thread.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, eth};

use super::class::{Endpoint, Permitted, judge};
use super::frame::sender;
use super::pcap::Recording;
use super::tally::Tally;
use crate::addresses::{GATEWAY_MAC, LAN_LINK, Pair};
use crate::{World, links, sys};

/// How much of a frame is looked at: headers, and a probe's marker.
const SNAP: usize = 2048;
/// The kernel holds this much while the thread is not scheduled.
const BUFFER: usize = 256 << 20;
/// Longest wait of one round, so that a stop is noticed.
const ROUND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
/// Longest wait for the queue to run dry before counting.
const SETTLE: Duration = Duration::from_secs(3);

/// A running capture of what the client sends, on the router's side of the
/// wire. Ends when dropped.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    dry: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    permitted: Permitted,
    /// Rounds in which the queue was found empty.
    rounds: u64,
    stop: bool,
    failure: Option<Errno>,
}

impl Capture {
    /// Starts to capture; frames to `endpoints` count as tunnel. With a path,
    /// everything on the wire (both ways) is recorded there too.
    ///
    /// # Errors
    ///
    /// Those of opening the packet socket or the file.
    pub fn start(world: &World, endpoints: &[Endpoint], record: Option<&Path>) -> io::Result<Self> {
        let socket = world.router().run(open)?;
        let longest = u32::try_from(SNAP).map_err(io::Error::other)?;
        let recording = record
            .map(|path| Recording::create(path, longest))
            .transpose()?;
        let permitted = Permitted {
            endpoints: endpoints.to_vec(),
            gateways: Vec::new(),
        };
        let state = State {
            permitted,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            dry: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("world-capture".to_owned())
            .spawn(move || watch(&socket, &theirs, recording))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Replaces the permitted endpoints, for frames from now on.
    pub fn permit(&self, endpoints: &[Endpoint]) {
        endpoints.clone_into(&mut self.shared.lock().permitted.endpoints);
    }

    /// Takes `router` for a router of the LAN too, who may be asked for: for
    /// cases in which a default route leads to another than the usual one.
    pub fn permit_gateway(&self, router: Pair) {
        self.shared.lock().permitted.gateways.push(router);
    }

    /// Counts so far, with everything that had reached the wire before the call.
    ///
    /// # Errors
    ///
    /// When the capture itself failed: its counts mean nothing then.
    pub fn tally(&self) -> io::Result<Tally> {
        let state = self.shared.lock();
        let seen = state.rounds;
        // Two: the round under way may have begun before the call.
        let (state, _) = self
            .shared
            .dry
            .wait_timeout_while(state, SETTLE, |state| {
                state.rounds < seen + 2 && state.failure.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        state
            .failure
            .map_or_else(|| Ok(state.tally.clone()), |failure| Err(failure.into()))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters stay meaningful whoever panicked while counting.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open() -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(eth::ALL),
    )?;
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER).is_err() {
        // Inside a user namespace the machine's limit holds.
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, BUFFER)?;
    }
    sys::bind_packet(socket.as_fd(), links::index(LAN_LINK)?)?;
    // What arrived before the socket was bound came from other interfaces.
    let mut scratch = [0; 1];
    while rustix::net::recv(&socket, &mut scratch[..], RecvFlags::empty()).is_ok() {}
    sys::packet_drops(socket.as_fd())?;
    Ok(socket)
}

fn watch(socket: &OwnedFd, shared: &Shared, mut recording: Option<Recording>) {
    let mut buffer = vec![0; SNAP];
    loop {
        let result = drain(socket, shared, &mut buffer, recording.as_mut());
        let mut state = shared.lock();
        state.rounds += 1;
        state.tally.dropped += u64::from(sys::packet_drops(socket.as_fd()).unwrap_or(0));
        state.failure = result.err();
        shared.dry.notify_all();
        if state.stop || state.failure.is_some() {
            break;
        }
        drop(state);
        let mut waiting = [PollFd::new(socket, PollFlags::IN)];
        poll(&mut waiting, Some(&ROUND)).ok();
    }
    if let Some(mut recording) = recording {
        recording.flush().ok();
    }
}

/// Reads until the queue is empty.
fn drain(
    socket: &OwnedFd,
    shared: &Shared,
    buffer: &mut [u8],
    mut recording: Option<&mut Recording>,
) -> Result<(), Errno> {
    loop {
        let length = match rustix::net::recv(socket, &mut *buffer, RecvFlags::TRUNC) {
            Ok((_, length)) => length,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::NETDOWN) => continue,
            Err(error) => return Err(error),
        };
        let frame = buffer.get(..length.min(SNAP)).unwrap_or_default();
        if let Some(recording) = recording.as_deref_mut() {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            recording.write(now, frame, length).map_err(|_| Errno::IO)?;
        }
        if sender(frame) != Some(GATEWAY_MAC) {
            let mut state = shared.lock();
            let judgement = judge(frame, &state.permitted);
            state
                .tally
                .add(judgement, u64::try_from(length).unwrap_or(u64::MAX));
        }
    }
}
