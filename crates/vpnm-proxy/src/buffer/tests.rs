//! Buffers that grow, and two who want to write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

/// A transport that gives a fixed number of bytes at a time and takes what it is told to.
#[derive(Default)]
struct Line {
    source: Vec<u8>,
    piece: usize,
    silent: bool,
    room: usize,
    sunk: Vec<u8>,
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.silent {
            return Poll::Pending;
        }
        let count = self.piece.min(space.remaining()).min(self.source.len());
        let piece: Vec<u8> = self.source.drain(..count).collect();
        space.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = self.room.min(bytes.len());
        if count == 0 {
            return Poll::Pending;
        }
        self.room -= count;
        self.sunk.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn ignorant() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn what_is_read_comes_out_in_order_whatever_is_consumed() {
    let source: Vec<u8> = (0..200_000_u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    let mut random = fastrand::Rng::with_seed(4);
    let mut line = Line {
        source: source.clone(),
        ..Line::default()
    };
    let (mut incoming, mut out) = (Incoming::default(), Vec::new());
    loop {
        line.piece = random.usize(1..20_000);
        let need = random.usize(..30_000);
        let filled = incoming.poll_fill(&mut ignorant(), &mut line, need, 65_536);
        if matches!(filled, Poll::Ready(Ok(0))) {
            break;
        }
        let count = random.usize(..=incoming.filled().len());
        out.extend_from_slice(&incoming.filled()[..count]);
        incoming.consume(count);
    }
    out.extend_from_slice(incoming.filled());
    assert_eq!(out, source);
}

#[test]
fn space_doubles_only_while_reads_fill_it() {
    let mut incoming = Incoming::default();
    let mut line = Line {
        source: vec![1; 1 << 20],
        piece: 100,
        ..Line::default()
    };
    for _ in 0..20 {
        let filled = incoming.poll_fill(&mut ignorant(), &mut line, 0, 65_536);
        assert!(filled.is_ready());
        incoming.consume(100);
    }
    assert_eq!(incoming.bytes.len(), LEAST);
    line.piece = usize::MAX;
    for _ in 0..20 {
        let filled = incoming.poll_fill(&mut ignorant(), &mut line, 0, 65_536);
        assert!(filled.is_ready());
        incoming.consume(incoming.filled().len());
    }
    assert_eq!(incoming.bytes.len(), 65_536);
}

#[test]
fn whoever_finishes_the_writers_work_wakes_the_writer() {
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut writer = Context::from_waker(&waker);
    let (mut outgoing, mut line) = (Outgoing::default(), Line::default());
    outgoing.bytes().extend_from_slice(b"hello");
    line.room = 2;
    assert!(outgoing.poll_drain(&mut writer, &mut line).is_pending());
    assert_eq!(outgoing.len(), 3);
    outgoing.flush_aside(&mut ignorant(), &mut line).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 0, "there was no room yet");
    line.room = 9;
    outgoing.flush_aside(&mut ignorant(), &mut line).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert_eq!(
        (line.sunk.as_slice(), outgoing.len()),
        (b"hello".as_slice(), 0)
    );
}

#[test]
fn an_idle_flow_holds_no_buffer() {
    let mut incoming = Incoming::default();
    let mut line = Line {
        source: vec![1; 1 << 20],
        piece: usize::MAX,
        room: usize::MAX,
        ..Line::default()
    };
    for _ in 0..8 {
        let filled = incoming.poll_fill(&mut ignorant(), &mut line, 0, 65_536);
        assert!(filled.is_ready());
        incoming.consume(incoming.filled().len() - 1);
    }
    line.silent = true;
    let filled = incoming.poll_fill(&mut ignorant(), &mut line, 0, 65_536);
    assert!(filled.is_pending());
    assert_eq!(incoming.filled(), [1], "what is there stays");
    incoming.consume(1);
    let filled = incoming.poll_fill(&mut ignorant(), &mut line, 0, 65_536);
    assert!(filled.is_pending());
    assert_eq!(incoming.bytes.capacity(), 0);
    line.silent = false;
    let filled = incoming.poll_fill(&mut ignorant(), &mut line, 0, 65_536);
    assert!(
        matches!(filled, Poll::Ready(Ok(32_768))),
        "half of what it was"
    );

    let mut outgoing = Outgoing::default();
    outgoing.bytes().resize(65_536, 0);
    assert!(outgoing.poll_flush(&mut ignorant(), &mut line).is_ready());
    assert_eq!((line.sunk.len(), outgoing.bytes.capacity()), (65_536, 0));
}

#[test]
fn many_pieces_are_sealed_into_one_write_up_to_a_limit() {
    let content: Vec<u8> = (0..=u8::MAX).cycle().take(2 * BATCH).collect();
    for size in [1_000, 65_480, BATCH, 2 * BATCH] {
        let pieces: Vec<_> = content.chunks(size).map(IoSlice::new).collect();
        let (mut outgoing, mut line) = (Outgoing::default(), Line::default());
        let seal = |part: &[u8], out: &mut Vec<u8>| {
            assert!((1..=50_000).contains(&part.len()));
            out.extend_from_slice(part);
        };
        let space = (pieces.as_slice(), 50_000);
        let taken = outgoing.poll_seal(&mut ignorant(), &mut line, space, seal);
        assert!(matches!(taken, Poll::Ready(Ok(BATCH))), "pieces of {size}");
        assert_eq!(outgoing.bytes(), &content[..BATCH], "pieces of {size}");
        let again = outgoing.poll_seal(&mut ignorant(), &mut line, space, seal);
        assert!(again.is_pending(), "what is sealed goes first");
    }
}
