//! A reply and what comes with it.

use std::os::fd::OwnedFd;

/// A reply that descriptors come with.
#[derive(Debug)]
pub struct WithFds<R> {
    /// The reply.
    pub reply: R,
    /// As many as the method's `#[fds(out = N)]` says.
    pub fds: Vec<OwnedFd>,
}
