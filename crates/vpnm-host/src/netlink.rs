//! Netlink: attributes, message frames, and a socket that pairs requests with answers
//! (include/uapi/linux/netlink.h).

mod attributes;
mod failure;
mod message;
mod socket;

pub(crate) use attributes::{Attributes, Writer, text};
pub(crate) use failure::Failure;
pub(crate) use message::{Body, Message, Request, messages};
pub(crate) use socket::{Protocol, Socket};
