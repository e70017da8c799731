//! What the kernel says of its own clock (adjtimex(2)).

#![expect(unsafe_code, reason = "adjtimex has no safe interface")]

use std::io;
use std::mem::MaybeUninit;

/// Reads the clock's discipline; changes nothing.
pub(crate) fn discipline() -> io::Result<libc::timex> {
    let mut timex = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: with `modes` 0 the call does nothing but fill the struct, which is ours.
    let state = unsafe { libc::adjtimex(timex.as_mut_ptr()) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it holds nothing but integers, and zeroes are integers.
    Ok(unsafe { timex.assume_init() })
}
