//! What the engines are made to carry.

mod bulk;
mod connections;
mod datagrams;
mod ping;

pub(crate) use bulk::{Direction, bulk};
pub(crate) use connections::connections;
pub(crate) use datagrams::datagrams;
pub(crate) use ping::ping;
