//! Taking over the descriptor that the daemon left open for this process.

#![expect(
    unsafe_code,
    reason = "a descriptor that was inherited has no owner yet"
)]

use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the daemon leaves the control socket.
const CONTROL: RawFd = 3;

/// Whether the descriptor has an owner already.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The descriptor, if it is open; it is given out once.
pub(super) fn control_descriptor() -> Option<OwnedFd> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the borrow ends with the next line, and nothing of this process closes
    // a descriptor it did not open.
    let inherited = unsafe { BorrowedFd::borrow_raw(CONTROL) };
    rustix::io::fcntl_getfd(inherited).ok()?;
    // SAFETY: the descriptor is open, was inherited, and the flag above sees to it that
    // this is its only owner.
    Some(unsafe { OwnedFd::from_raw_fd(CONTROL) })
}
