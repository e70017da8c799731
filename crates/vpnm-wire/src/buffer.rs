//! Pooled buffers: memory that goes from the device to a flow and back without copies.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Size of a large buffer in bytes: the longest IP packet (65535), the longest
/// virtio header in front of it (12), rounded up to whole cache lines.
pub const LARGE: usize = 65_600;
/// Size of a small buffer in bytes: what one packet of an ordinary link carries.
pub const SMALL: usize = 2_048;
/// Free buffers kept of each size; more are given back to the allocator.
const KEPT_LARGE: usize = 96;
const KEPT_SMALL: usize = 512;

/// A thread's stock of buffers in two sizes.
///
/// A buffer taken from the pool is plain initialised memory with stale content;
/// it returns by itself when dropped. The pool counts what is out, so that its
/// user can bound it.
#[derive(Clone)]
pub struct BufferPool(Rc<Shelves>);

#[derive(Default)]
struct Shelves {
    large: RefCell<Vec<Box<[u8]>>>,
    small: RefCell<Vec<Box<[u8]>>>,
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
        let kept = self.0.large.borrow_mut().pop();
        self.lend(kept.unwrap_or_else(|| vec![0; LARGE].into_boxed_slice()))
    }

    /// A buffer of at least `size` bytes: [`SMALL`] or [`LARGE`].
    ///
    /// Nothing longer than [`LARGE`] is ever needed, since no packet is.
    #[must_use]
    pub fn fitting(&self, size: usize) -> Buffer {
        if size > SMALL {
            return self.large();
        }
        let kept = self.0.small.borrow_mut().pop();
        self.lend(kept.unwrap_or_else(|| vec![0; SMALL].into_boxed_slice()))
    }

    /// A chunk that holds a copy of `content`, with room behind it; what does not
    /// fit into [`LARGE`] bytes is left out.
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
        let large = std::mem::take(&mut *self.0.large.borrow_mut());
        let small = std::mem::take(&mut *self.0.small.borrow_mut());
        !large.is_empty() || !small.is_empty()
    }

    fn lend(&self, bytes: Box<[u8]>) -> Buffer {
        let out = &self.0.bytes_out;
        out.set(out.get() + bytes.len());
        Buffer {
            bytes,
            home: Rc::clone(&self.0),
        }
    }
}

impl Shelves {
    fn take_back(&self, bytes: Box<[u8]>) {
        self.bytes_out
            .set(self.bytes_out.get().saturating_sub(bytes.len()));
        let (shelf, kept) = if bytes.len() == SMALL {
            (&self.small, KEPT_SMALL)
        } else {
            (&self.large, KEPT_LARGE)
        };
        let mut shelf = shelf.borrow_mut();
        if shelf.len() < kept {
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
        let (large, small) = (pool.large(), pool.fitting(SMALL));
        assert_eq!(pool.bytes_out(), LARGE + SMALL);
        drop((large, small));
        assert_eq!(pool.bytes_out(), 0);
        assert!(pool.trim(), "both were kept");
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
