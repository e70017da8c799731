//! How much of the daemon a client may take.

use std::time::Duration;

use crate::rate::Rate;

/// What clients may take. The defaults suit a control daemon.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest message, in bytes.
    pub message: usize,
    /// Connections of everybody together.
    pub conns: usize,
    /// Connections of one user; root has no such limit.
    pub conns_per_uid: usize,
    /// How many of the connections are kept free for root.
    pub root_reserve: usize,
    /// Calls of one user: who is faster is not read from for a while. Root is
    /// not paced.
    pub rate: Rate,
    /// From the connection to the end of its first message.
    pub first: Duration,
    /// From the first byte of a message to its last.
    pub message_within: Duration,
    /// Without a message.
    pub idle: Duration,
    /// For the client to take a reply, or what is queued of a stream.
    pub write: Duration,
    /// Events of a stream that wait to be sent; a stream whose queue holds as
    /// many bytes as a message may have waits too.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 1 << 20,
            conns: 256,
            conns_per_uid: 32,
            root_reserve: 8,
            rate: Rate::per_sec(100).burst(200),
            first: Duration::from_secs(5),
            message_within: Duration::from_secs(5),
            idle: Duration::from_secs(300),
            write: Duration::from_secs(5),
            queue: 64,
        }
    }
}
