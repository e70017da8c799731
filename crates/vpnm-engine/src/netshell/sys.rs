//! What the shell needs that has no safe form.

#![expect(unsafe_code, reason = "malloc_trim")]

use std::hint::black_box;

/// Twice the blocks of each size that the allocator sets aside for a thread: 7, or 16 in
/// newer versions of glibc.
const EXCHANGED: usize = 32;
/// Longest blocks in bytes that are looked after, and how far the sizes are apart. It sets
/// longer ones aside too, of which more are needed than they are worth.
const LONGEST: usize = 520;
const STEP: usize = 16;

/// Has the allocator return its free pages to the system.
///
/// Blocks that it set aside for this thread count as used, and each keeps its page.
/// Measured after a thousand connections over two queues: 600 KiB more than before them,
/// with these put together 300.
pub(super) fn return_free_memory() {
    trim();
    for size in (STEP..=LONGEST).step_by(STEP) {
        exchange_cached(size);
    }
    trim();
}

/// Sets blocks of this size aside that lie side by side, instead of those scattered over
/// the pages of flows which are gone.
fn exchange_cached(size: usize) {
    let mut blocks: Vec<_> = (0..EXCHANGED)
        .map(|_| black_box(Vec::<u8>::with_capacity(size)))
        .collect();
    // What was cached came first and goes last, when the cache is full.
    while blocks.pop().is_some() {}
}

fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no memory of ours and may be made at any time.
    unsafe {
        libc::malloc_trim(0)
    };
}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use super::*;

    const SIZE: usize = 264;
    /// No more than the allocator sets aside.
    const NEXT: usize = 7;

    /// How many of the next blocks that the allocator gives are in one of these places.
    fn next_in(places: &[usize]) -> usize {
        let blocks: Vec<Vec<u8>> = (0..NEXT).map(|_| Vec::with_capacity(SIZE)).collect();
        let at = blocks.iter().map(|block| block.as_ptr().addr());
        at.filter(|place| places.contains(place)).count()
    }

    #[test]
    fn what_the_allocator_sets_aside_is_exchanged() {
        let mut scattered = Vec::with_capacity(EXCHANGED);
        let mut blocks: Vec<Vec<u8>> = (0..2_000).map(|_| Vec::with_capacity(SIZE)).collect();
        // The first that go are those set aside, however many.
        for block in blocks.iter_mut().skip(100).step_by(50).take(EXCHANGED) {
            scattered.push(block.as_ptr().addr());
            *block = Vec::new();
        }
        drop(blocks);
        assert_eq!(next_in(&scattered), NEXT);
        return_free_memory();
        // One may have been free and found again.
        assert!(next_in(&scattered) <= 1);
    }
}
