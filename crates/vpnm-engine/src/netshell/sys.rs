//! What the shell needs that has no safe form.

#![expect(unsafe_code, reason = "malloc_trim")]

use std::hint::black_box;

/// Blocks of each size that the allocator sets aside for a thread, and some more.
const CACHED: usize = 24;
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
    let mut blocks: Vec<_> = (0..CACHED)
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

    /// Where the next blocks of this size are that the allocator gives.
    fn next_places(size: usize) -> Vec<usize> {
        let blocks: Vec<Vec<u8>> = (0..7).map(|_| Vec::with_capacity(size)).collect();
        blocks.iter().map(|block| block.as_ptr().addr()).collect()
    }

    #[test]
    fn what_the_allocator_sets_aside_is_exchanged() {
        const SIZE: usize = 264;
        let mut blocks: Vec<Vec<u8>> = (0..2_000).map(|_| Vec::with_capacity(SIZE)).collect();
        // The first that go are those set aside.
        for place in (100..1_900).step_by(250) {
            blocks[place] = Vec::new();
        }
        let scattered = next_places(SIZE);
        drop(blocks);
        assert!(
            next_places(SIZE)
                .iter()
                .all(|place| scattered.contains(place))
        );
        return_free_memory();
        assert!(
            !next_places(SIZE)
                .iter()
                .any(|place| scattered.contains(place))
        );
    }
}
