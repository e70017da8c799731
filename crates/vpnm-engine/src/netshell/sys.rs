//! What the shell needs that has no safe form.

#![expect(unsafe_code, reason = "malloc_trim")]

/// Has the allocator return its free pages to the system.
pub(super) fn return_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no memory of ours and may be made at any time.
    unsafe {
        libc::malloc_trim(0)
    };
}
