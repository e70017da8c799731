//! Pooled buffers: memory that goes from the device to a flow and back without copies.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Size of a large buffer in bytes: the longest IP packet (65535), the longest
/// virtio header in front of it (12), room to align them, rounded up to whole cache lines.
pub const LARGE: usize = 65_600;
/// Size of a huge buffer in bytes: what one packet of the longest kind that Linux takes
/// from itself carries here.
pub const HUGE: usize = 262_144;
/// Size of a medium buffer in bytes: what a record of TLS or of a proxy protocol carries.
pub const MEDIUM: usize = 16_640;
/// Size of a small buffer in bytes: what one packet of an ordinary link carries.
pub const SMALL: usize = 2_048;
/// Sizes, and how many free buffers of each are kept: sixteen megabytes of large and of
/// huge ones for a few flows at full speed, one megabyte of the others; more are given back
/// to the allocator. Measured: a huge one anew is cleared by the kernel or by us, which
/// takes a tenth of the time of eight flows.
const SHELVES: [(usize, usize); 4] = [(SMALL, 512), (MEDIUM, 64), (LARGE, 256), (HUGE, 64)];

/// A thread's stock of buffers in four sizes.
///
/// A buffer taken from the pool is plain initialised memory with stale content;
/// it returns by itself when dropped. The pool counts what is out, so that its
/// user can bound it.
#[derive(Clone)]
pub struct BufferPool(Rc<Shelves>);

#[derive(Default)]
struct Shelves {
    free: RefCell<[Vec<Box<[u8]>>; 4]>,
    bytes_out: Cell<usize>,
}

/// Memory taken from a [`BufferPool`].
pub struct Buffer {
    bytes: Box<[u8]>,
    home: Rc<Shelves>,
}

/// A buffer and the range of it that is content.
///
/// The room behind the content can be appended to.
pub struct Chunk {
    buffer: Buffer,
    start: usize,
    end: usize,
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new()
    }
}

impl BufferPool {
    /// An empty pool; memory is allocated when it is first needed.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::default())
    }

    /// A buffer of [`LARGE`] bytes.
    #[must_use]
    pub fn large(&self) -> Buffer {
        self.fitting(LARGE)
    }

    /// A buffer of at least `size` bytes: [`SMALL`], [`MEDIUM`], [`LARGE`] or [`HUGE`].
    ///
    /// Nothing longer than [`HUGE`] is ever needed, since no packet is.
    #[must_use]
    pub fn fitting(&self, size: usize) -> Buffer {
        let shelf = shelf(size);
        let (length, _) = shelf.map_or((HUGE, 0), |(_, shelf)| shelf);
        let kept = shelf.and_then(|(index, _)| self.0.free.borrow_mut().get_mut(index)?.pop());
        let bytes = kept.unwrap_or_else(|| vec![0; length].into_boxed_slice());
        let out = &self.0.bytes_out;
        out.set(out.get() + bytes.len());
        Buffer {
            bytes,
            home: Rc::clone(&self.0),
        }
    }

    /// A chunk that holds a copy of `content`, with room behind it; what does not
    /// fit into [`HUGE`] bytes is left out.
    #[must_use]
    pub fn copy(&self, content: &[u8]) -> Chunk {
        let mut chunk = Chunk::empty(self.fitting(content.len()));
        chunk.append(content);
        chunk
    }

    /// Bytes of memory that are out of the pool at the moment.
    #[must_use]
    pub fn bytes_out(&self) -> usize {
        self.0.bytes_out.get()
    }

    /// Gives the free buffers back to the allocator; whether there were any.
    #[must_use]
    pub fn trim(&self) -> bool {
        let free = std::mem::take(&mut *self.0.free.borrow_mut());
        free.iter().any(|shelf| !shelf.is_empty())
    }
}

/// The shelf of the smallest buffers with room for `size` bytes, or of the largest.
fn shelf(size: usize) -> Option<(usize, (usize, usize))> {
    let mut shelves = SHELVES.into_iter().enumerate();
    shelves.find(|(_, (length, _))| size <= *length || *length == HUGE)
}

impl Shelves {
    fn take_back(&self, bytes: Box<[u8]>) {
        self.bytes_out
            .set(self.bytes_out.get().saturating_sub(bytes.len()));
        let Some((index, (_, kept))) = shelf(bytes.len()) else {
            return;
        };
        if let Some(shelf) = self.free.borrow_mut().get_mut(index)
            && shelf.len() < kept
        {
            shelf.push(bytes);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.take_back(std::mem::take(&mut self.bytes));
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Chunk {
    /// A chunk without content, all of whose buffer is room.
    #[must_use]
    pub fn empty(buffer: Buffer) -> Self {
        Self {
            buffer,
            start: 0,
            end: 0,
        }
    }

    /// The bytes `start..end` of `buffer`; a range beyond the buffer is cut.
    #[must_use]
    pub fn new(buffer: Buffer, start: usize, end: usize) -> Self {
        let end = end.min(buffer.len());
        Self {
            start: start.min(end),
            end,
            buffer,
        }
    }

    /// Drops `count` bytes of content from the front, at most all.
    pub fn advance(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Keeps the first `count` bytes of content.
    pub fn truncate(&mut self, count: usize) {
        self.end = self.end.min(self.start.saturating_add(count));
    }

    /// Copies as much of `content` behind the present content as there is room for;
    /// says how much that was.
    pub fn append(&mut self, content: &[u8]) -> usize {
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let count = room.len().min(content.len());
        if let (Some(room), Some(content)) = (room.get_mut(..count), content.get(..count)) {
            room.copy_from_slice(content);
            self.end += count;
        }
        count
    }

    /// Bytes that can still be appended.
    #[must_use]
    pub fn room(&self) -> usize {
        self.buffer.len() - self.end
    }

    /// The pool the chunk's memory goes back to.
    #[must_use]
    pub fn pool(&self) -> BufferPool {
        BufferPool(Rc::clone(&self.buffer.home))
    }

    /// Bytes of memory the chunk keeps out of the pool.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.buffer.len()
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool")
            .field("bytes_out", &self.bytes_out())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes.len())
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({}..{})", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_return_to_their_pool() {
        let pool = BufferPool::new();
        let sizes = [1, SMALL, SMALL + 1, MEDIUM + 1, LARGE + 1, usize::MAX];
        let buffers = sizes.map(|size| pool.fitting(size));
        let lengths = [SMALL, SMALL, MEDIUM, LARGE, HUGE, HUGE];
        assert_eq!(buffers.each_ref().map(|buffer| buffer.len()), lengths);
        assert_eq!(pool.bytes_out(), 2 * (SMALL + HUGE) + MEDIUM + LARGE);
        drop(buffers);
        assert_eq!(pool.bytes_out(), 0);
        assert!(pool.trim(), "they were kept");
        assert!(!pool.trim(), "and are gone");
    }

    #[test]
    fn a_chunk_is_cut_and_appended_to_within_its_buffer() {
        let pool = BufferPool::new();
        let mut chunk = pool.copy(b"hello world");
        chunk.advance(6);
        chunk.truncate(3);
        assert_eq!(&*chunk, b"wor");
        assert_eq!(chunk.append(b"k"), 1);
        assert_eq!(&*chunk, b"work");
        assert_eq!(chunk.append(&[7; 2 * SMALL]), SMALL - 10);
        assert_eq!(chunk.room(), 0);
        chunk.advance(usize::MAX);
        assert!(chunk.is_empty());
    }

    #[test]
    fn a_range_beyond_the_buffer_is_cut() {
        let pool = BufferPool::new();
        let chunk = Chunk::new(pool.fitting(1), 5_000, usize::MAX);
        assert!(chunk.is_empty());
    }
}
