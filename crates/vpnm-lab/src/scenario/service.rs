//! What an attack does to service: bytes moved with it and without it, in turns.
//!
//! A flow that began without the attack has to live through its beginning.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use vpnm_world::addresses::SITE;
use vpnm_world::internet::SOURCE_PORT;
use vpnm_world::{User, Visitor};

use crate::session::Session;

/// How long bytes are counted, and how long they run before that: the program under test
/// looks at what has changed meanwhile, which takes its part of two cores.
const SLICE: Duration = Duration::from_millis(100);
const RUN_UP: Duration = Duration::from_millis(100);
/// Longest silence of a flow that still lives.
const PATIENCE: Duration = Duration::from_secs(20);
const CHUNK: usize = 256 * 1024;

/// Bytes that a user takes from the site.
#[derive(Debug)]
pub(super) struct Flow(TcpStream);

impl Flow {
    /// Begins one; the first bytes have come.
    pub(super) fn begin(session: &Session) -> io::Result<Self> {
        let alice = Visitor::new(session.client(), User::Alice);
        let stream = alice.connect((SITE.v4, SOURCE_PORT).into())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut flow = Self(stream);
        flow.take(Duration::ZERO)?;
        Ok(flow)
    }

    /// Bytes that come in a slice of time; an error if the flow broke or stood still.
    pub(super) fn slice(&mut self) -> io::Result<u64> {
        self.take(RUN_UP)?;
        self.take(SLICE)
    }

    /// An error if the flow broke or stands still.
    pub(super) fn goes_on(&mut self) -> io::Result<()> {
        self.take(RUN_UP).map(drop)
    }

    /// Bytes that come in so much time, some at least.
    fn take(&mut self, time: Duration) -> io::Result<u64> {
        let (start, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; CHUNK]);
        loop {
            let length = self.0.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes += u64::try_from(length).unwrap_or(0);
            if start.elapsed() >= time {
                return Ok(bytes);
            }
        }
    }
}
