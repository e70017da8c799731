//! Netlink: attributes, message frames, and a socket that pairs requests with answers
//! (include/uapi/linux/netlink.h).

mod attributes;
mod failure;
mod link_name;
mod message;
mod socket;

pub(crate) use attributes::{Attributes, Writer};
pub(crate) use failure::Failure;
pub(crate) use link_name::{link_name, link_name_bytes};
pub(crate) use message::{Body, Message, Request, messages};
pub(crate) use socket::{Protocol, Socket};
