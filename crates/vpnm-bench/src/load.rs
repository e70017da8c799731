//! What the engines are made to carry.

mod bulk;
mod connections;
mod datagrams;
mod flood;
mod flows;
mod idle;
mod ping;

pub(crate) use bulk::{Direction, bulk};
pub(crate) use connections::{CONCURRENT, connections, many};
pub(crate) use datagrams::{Datagrams, datagrams};
pub(crate) use flood::{flood, flooded};
pub(crate) use flows::{new_flows, open_flows};
pub(crate) use idle::idle;
pub(crate) use ping::{Latency, ping};
