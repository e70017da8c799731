//! The system calls that need `unsafe`: ioctls and socket options that no safe
//! wrapper offers.

pub(crate) mod clock;
pub(crate) mod netlink;
pub(crate) mod tun;
