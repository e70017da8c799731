//! Descriptors that nobody asked for.

use std::io::{IoSlice, PipeReader, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::arena::{Arena, brisk, call, is_root, skip};

/// The most that the kernel takes with one message (`SCM_MAX_FD`).
const MOST: usize = 253;

/// Sends bytes with descriptors.
fn smuggle(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .is_ok()
}

/// Whoever held a copy of the writing end would keep this from ending.
fn assert_let_go(mut reads: PipeReader) {
    let mut nothing = Vec::new();
    reads.read_to_end(&mut nothing).unwrap();
}

#[test]
fn descriptors_of_a_stranger_never_arrive() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(brisk());
    let raw = arena.attacker();
    let (reads, writes) = std::io::pipe().unwrap();
    let bomb = vec![writes.as_fd(); MOST];
    let mut sent = 0;
    for _ in 0..6 {
        sent += usize::from(smuggle(&raw.stream, b"{", &bomb));
    }
    println!("the kernel took {sent} of 6 bombs from the sender");
    drop(writes);
    assert_let_go(reads);
    arena.assert_alive();
}

#[test]
fn a_stranger_cannot_attach_descriptors_to_a_call_that_takes_them() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let (reads, writes) = std::io::pipe().unwrap();
    let text = call("Keep", "{}") + "\0";
    if smuggle(&raw.stream, text.as_bytes(), &[writes.as_fd()]) {
        let answer = raw.receive().unwrap();
        assert_eq!(answer["error"], "org.varlink.service.PermissionDenied");
    }
    drop(writes);
    assert_let_go(reads);
}

#[test]
fn who_may_send_descriptors_may_not_send_others() {
    if !is_root() && skip("needs root") {
        return;
    }
    let arena = Arena::new(brisk());
    let honest = || crate::arena::Raw::connect(&arena.path());
    let (reads, writes) = std::io::pipe().unwrap();
    let one = writes.as_fd();

    let mut raw = honest();
    assert!(smuggle(
        &raw.stream,
        (call("Keep", "{}") + "\0").as_bytes(),
        &[one]
    ));
    assert_eq!(raw.receive().unwrap()["parameters"], serde_json::json!({}));

    let (name, _) = raw.ask_error(&call("Keep", "{}"));
    assert_eq!(
        name, "org.varlink.service.InvalidParameter",
        "none came with it"
    );

    assert!(smuggle(
        &raw.stream,
        (call("Whoami", "{}") + "\0").as_bytes(),
        &[one]
    ));
    let answer = raw.receive().unwrap();
    assert_eq!(
        answer["parameters"]["parameter"], "fds",
        "a method that takes none"
    );

    let mut raw = honest();
    let _refused = smuggle(
        &raw.stream,
        (call("Keep", "{}") + "\0").as_bytes(),
        &[one; 9],
    );
    assert_eq!(raw.receive(), None, "more than any method takes");

    drop(writes);
    assert_let_go(reads);
    arena.assert_alive();
}

#[test]
fn sockets_inside_of_sockets_are_let_go_of() {
    let arena = Arena::new(brisk());
    let (reads, writes) = std::io::pipe().unwrap();
    // Each socket carries the one before, and the first one the pipe.
    let (mut outer, mut kept) = UnixStream::pair().unwrap();
    assert!(smuggle(&kept, b"x", &[writes.as_fd()]));
    for _ in 0..3 {
        let (next, end) = UnixStream::pair().unwrap();
        assert!(smuggle(&end, b"x", &[outer.as_fd(), kept.as_fd()]));
        (outer, kept) = (next, end);
    }
    // By who may not send any, and by who may send one.
    let text = call("Keep", "{}") + "\0";
    for raw in [arena.attacker(), crate::arena::Raw::connect(&arena.path())] {
        let bomb = vec![outer.as_fd(); 100];
        let _refused = smuggle(&raw.stream, b"{", &bomb);
        let _refused = smuggle(&raw.stream, text.as_bytes(), &[outer.as_fd()]);
        // Itself inside of itself.
        let _refused = smuggle(&raw.stream, b"{", &[raw.stream.as_fd()]);
    }
    drop((outer, kept, writes));
    assert_let_go(reads);
    arena.assert_alive();
}

#[test]
fn descriptors_that_come_one_by_one_are_counted_together() {
    if !is_root() && skip("needs root") {
        return;
    }
    let arena = Arena::new(brisk());
    let mut raw = crate::arena::Raw::connect(&arena.path());
    let (reads, writes) = std::io::pipe().unwrap();
    let mut sent = 0;
    for byte in call("Keep", "{}").bytes() {
        sent += usize::from(smuggle(&raw.stream, &[byte], &[writes.as_fd()]));
    }
    println!("{sent} came before the daemon had enough");
    assert_eq!(raw.receive(), None, "more than any method takes");
    drop(writes);
    assert_let_go(reads);
    arena.assert_alive();
}

#[test]
fn our_client_is_told_that_its_descriptors_are_not_taken() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(brisk());
    let path = arena.path();
    let refused = crate::arena::as_user(crate::arena::MALLORY, move || {
        let client = anyd::blocking::Client::open(path).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        crate::target::TargetBlocking::from(client).keep(&[null.as_fd()])
    });
    let denied = matches!(refused, Err(anyd::CallError::Denied { .. }));
    assert!(denied, "{refused:?}");
}
