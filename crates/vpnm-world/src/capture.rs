//! The leak observer: a packet capture on the router's side of the client's
//! wire, in which every frame of the client is accounted for.

mod class;
mod frame;
mod pcap;
mod tally;
mod tap;

pub use class::{Endpoint, Protocol};
pub use tally::Tally;
pub use tap::Capture;
