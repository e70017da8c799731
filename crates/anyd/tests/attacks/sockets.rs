//! The socket's place in the file system.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;

use anyd::{Daemon, DaemonError, Limits, Socket};

use crate::arena::{Arena, MALLORY, Place, as_user, is_root, skip};

fn run(socket: Socket) -> anyd::Result<()> {
    let daemon = Daemon::new(anyd::product!()).listen(socket);
    crate::arena::runtime().block_on(daemon.run(std::future::ready(())))
}

fn refused(socket: Socket) -> String {
    match run(socket) {
        Err(error @ DaemonError::Listen { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let place = Place::new();
    for mode in [0o777, 0o775, 0o1777] {
        fs::set_permissions(&place.0, fs::Permissions::from_mode(mode)).unwrap();
        let text = refused(Socket::path(place.socket()));
        assert!(text.contains("others may write to"), "{text}");
    }
    let inner = place.0.join("mine");
    fs::create_dir(&inner).unwrap();
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o777)).unwrap();
    let text = refused(Socket::path(inner.join("s")));
    assert!(text.contains("others may write to"), "{text}");
}

#[test]
fn a_directory_of_another_user_is_refused() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let place = Place::new();
    chown(&place.0, Some(MALLORY), None).unwrap();
    let text = refused(Socket::path(place.socket()));
    assert!(text.contains("belongs to uid 1000"), "{text}");
}

#[test]
fn a_relative_path_and_an_unknown_group_are_refused() {
    let text = refused(Socket::path("d.sock"));
    assert!(text.contains("not an absolute path"), "{text}");
    let place = Place::new();
    let text = refused(Socket::path(place.socket()).group("no-such-group"));
    assert!(text.contains("there is no group no-such-group"), "{text}");
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0);
}

#[test]
fn a_link_in_the_way_is_replaced_and_its_target_untouched() {
    let place = Place::new();
    let treasure = place.0.join("treasure");
    fs::write(&treasure, "gold").unwrap();
    symlink(&treasure, place.socket()).unwrap();
    run(Socket::path(place.socket())).unwrap();
    assert_eq!(fs::read_to_string(&treasure).unwrap(), "gold");
    assert!(!place.socket().exists(), "the socket goes with the daemon");
}

#[test]
fn a_link_in_place_of_the_lock_is_not_followed() {
    let place = Place::new();
    let treasure = place.0.join("treasure");
    symlink(&treasure, place.0.join("d.sock.lock")).unwrap();
    refused(Socket::path(place.socket()));
    assert!(!treasure.exists());
}

#[test]
fn what_a_crashed_daemon_has_left_is_replaced() {
    let place = Place::new();
    drop(UnixListener::bind(place.socket()).unwrap());
    fs::write(place.0.join("d.sock.lock"), "").unwrap();
    run(Socket::path(place.socket())).unwrap();
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0);
}

#[test]
fn the_missing_directory_is_made() {
    let place = Place::new();
    let path = place.0.join("made/d.sock");
    run(Socket::path(&path)).unwrap();
    let made = fs::metadata(place.0.join("made")).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o755);
}

#[test]
fn there_is_one_daemon_for_a_socket() {
    let arena = Arena::new(Limits::default());
    let text = refused(Socket::path(arena.path()));
    assert!(text.contains("another daemon serves this socket"), "{text}");
    arena.assert_alive();
}

#[test]
fn only_the_own_socket_is_removed() {
    let mut arena = Arena::new(Limits::default());
    fs::remove_file(arena.path()).unwrap();
    fs::write(arena.path(), "another's").unwrap();
    arena.ask_to_stop();
    arena.wait_for_end();
    assert_eq!(fs::read_to_string(arena.path()).unwrap(), "another's");
}

#[test]
fn the_mode_and_the_group_are_those_asked_for() {
    let place = Place::new();
    let arena = Arena::with(Limits::default(), |daemon| {
        let groups = [("mine", rustix::process::getgid().as_raw())];
        daemon
            .groups(anyd::Groups::fixed(groups))
            .listen(Socket::path(place.socket()).mode(0o660).group("mine"))
    });
    crate::arena::until("the second socket is there", || place.socket().exists());
    let made = fs::symlink_metadata(place.socket()).unwrap();
    assert!(made.file_type().is_socket());
    assert_eq!(made.mode() & 0o7777, 0o660);
    assert_eq!(made.gid(), rustix::process::getgid().as_raw());
    if is_root() {
        let path = place.socket();
        let connected = as_user(MALLORY, || std::os::unix::net::UnixStream::connect(path));
        let refused = connected.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    }
    drop(arena);
}
