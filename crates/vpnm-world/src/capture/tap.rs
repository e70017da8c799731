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
use super::pcap::Recording;
use super::tally::Tally;
use crate::addresses::{LAN_LINK, Pair};
use crate::{World, links, sys};

/// How much of a frame is looked at: headers, and a probe's marker.
const SNAP: usize = 2048;
/// The kernel holds this much while the thread is not scheduled.
const BUFFER: usize = 256 << 20;
/// Frames looked at before others may look at the counts.
const BATCH: usize = 64;
/// Longest wait of one round, so that a stop is noticed.
const ROUND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
/// Frames of so long are read at once: to be woken for each, and to ask each time
/// what was lost, costs more than to look at it.
const GATHER: Duration = Duration::from_millis(1);
/// Of the thread: the kernel's usual is 0, its most urgent -20.
const PRIORITY: i32 = -15;
/// Longest wait for the queue to run dry before counting.
const SETTLE: Duration = Duration::from_secs(30);

/// A running capture of what the client sends, on the router's side of the
/// wire. Ends when dropped.
#[derive(Debug)]
pub struct Capture {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
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
        Self::start_with_room(world, endpoints, record, BUFFER)
    }

    /// As [`Capture::start`], where the kernel holds so many bytes of frames that were
    /// not looked at yet, and counts the others as lost.
    ///
    /// # Errors
    ///
    /// As [`Capture::start`].
    pub fn start_with_room(
        world: &World,
        endpoints: &[Endpoint],
        record: Option<&Path>,
        room: usize,
    ) -> io::Result<Self> {
        let socket = world.router().run(|| open(room))?;
        if record.is_none() {
            // Half of the traffic, of which nothing can be a leak.
            sys::ignore_outgoing(socket.as_fd())?;
        }
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
        let (theirs, router) = (Arc::clone(&shared), world.router().clone());
        let thread = thread::Builder::new()
            .name("world-capture".to_owned())
            .spawn(move || {
                // Before whoever makes the frames, where that is allowed: this thread's
                // priority alone changes (setpriority(2), notes).
                rustix::process::setpriority_process(None, PRIORITY).ok();
                let entered = router.enter().and_then(|()| lost_before());
                match entered {
                    Ok(lost) => watch(&Tap { socket, lost }, &theirs, recording),
                    Err(error) => theirs.fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
                }
            })?;
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
    /// When the capture itself failed, or did not come to the end of what was on
    /// the wire: its counts mean nothing then.
    pub fn tally(&self) -> io::Result<Tally> {
        self.shared.tally(SETTLE)
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
    /// The counts once the queue was found empty, if that is within `patience`.
    fn tally(&self, patience: Duration) -> io::Result<Tally> {
        let state = self.lock();
        let seen = state.rounds;
        // Two: the round under way may have begun before the call.
        let (state, waited) = self
            .dry
            .wait_timeout_while(state, patience, |state| {
                state.rounds < seen + 2 && state.failure.is_none()
            })
            .unwrap_or_else(PoisonError::into_inner);
        match state.failure {
            Some(failure) => Err(failure.into()),
            None if waited.timed_out() => Err(io::ErrorKind::TimedOut.into()),
            None => Ok(state.tally.clone()),
        }
    }

    fn fail(&self, why: Errno) {
        self.lock().failure = Some(why);
        self.dry.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters stay meaningful whoever panicked while counting.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(room: usize) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(eth::ALL),
    )?;
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, room).is_err() {
        // Inside a user namespace the machine's limit holds.
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, room)?;
    }
    sys::bind_packet(socket.as_fd(), links::index(LAN_LINK)?)?;
    // What arrived before the socket was bound came from other interfaces.
    let mut scratch = [0; 1];
    while rustix::net::recv(&socket, &mut scratch[..], RecvFlags::empty()).is_ok() {}
    sys::packet_drops(socket.as_fd())?;
    Ok(socket)
}

/// Frames the wire has lost before the capture could see them: the kernel had
/// no room in the queue between the two ends.
fn lost_before() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    let line = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(LAN_LINK)?.strip_prefix(':'));
    line.and_then(|counts| counts.split_whitespace().nth(3)?.parse().ok())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The socket on the wire, and what had been lost when it was opened.
#[derive(Debug)]
struct Tap {
    socket: OwnedFd,
    lost: u64,
}

impl Tap {
    /// What was lost since the last call, by the wire or by the socket.
    fn lost(&self, before: &mut u64) -> io::Result<u64> {
        let wire = lost_before()?;
        let lost = wire.saturating_sub(*before);
        *before = wire;
        Ok(lost + u64::from(sys::packet_drops(self.socket.as_fd())?))
    }
}

fn watch(tap: &Tap, shared: &Shared, mut recording: Option<Recording>) {
    let mut buffer = vec![0; SNAP];
    let mut before = tap.lost;
    loop {
        let result = drain(&tap.socket, shared, &mut buffer, recording.as_mut());
        let lost = tap.lost(&mut before);
        let mut state = shared.lock();
        state.rounds += 1;
        state.failure = result.err();
        match lost {
            Ok(lost) => state.tally.dropped += lost,
            Err(_) => state.failure = Some(Errno::IO),
        }
        shared.dry.notify_all();
        if state.stop || state.failure.is_some() {
            break;
        }
        drop(state);
        let mut waiting = [PollFd::new(&tap.socket, PollFlags::IN)];
        poll(&mut waiting, Some(&ROUND)).ok();
        thread::sleep(GATHER);
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
        let mut state = shared.lock();
        for _ in 0..BATCH {
            let received = match sys::receive_frame(socket.as_fd(), buffer) {
                Ok(received) => received,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::NETDOWN) => continue,
                Err(error) => return Err(error),
            };
            let length = received.length;
            let frame = buffer.get(..length.min(SNAP)).unwrap_or_default();
            if let Some(recording) = recording.as_deref_mut() {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                recording.write(now, frame, length).map_err(|_| Errno::IO)?;
            }
            if !received.is_outgoing {
                let judgement = judge(frame, &state.permitted);
                let length = u64::try_from(length).unwrap_or(u64::MAX);
                state.tally.add(judgement, length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_queue_that_never_ran_dry_are_none() {
        let shared = Shared::default();
        let found = shared.tally(Duration::from_millis(1));
        assert_eq!(
            found.expect_err("nobody drains").kind(),
            io::ErrorKind::TimedOut
        );
        shared.fail(Errno::IO);
        assert_eq!(
            shared.tally(SETTLE).expect_err("failed").raw_os_error(),
            Some(libc::EIO)
        );
    }
}
