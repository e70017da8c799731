//! The system calls that need `unsafe`: bpf, ioctls and socket options that no safe
//! wrapper offers.

pub(crate) mod bpf;
pub(crate) mod clock;
pub(crate) mod netlink;
pub(crate) mod tun;
