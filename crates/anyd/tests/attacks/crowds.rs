//! Many connections, of one user and of several, that come and go.

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyd::{Limits, Socket};

use crate::arena::{
    Arena, MALLORY, Place, Raw, as_user, brisk, call, is_root, runtime, skip, until,
};

#[test]
fn users_in_league_leave_root_its_places() {
    if !is_root() && skip("needs root and other users") {
        return;
    }
    let arena = Arena::new(Limits::default());
    let mut crowd = Vec::new();
    for uid in 2000..2012 {
        let path = arena.path();
        crowd.push(as_user(uid, move || {
            let connect = || UnixStream::connect(&path);
            (0..60).filter_map(|_| connect().ok()).collect::<Vec<_>>()
        }));
    }
    assert!(crowd.iter().all(|of_one| of_one.len() == 60));
    for _ in 0..4 {
        arena.assert_alive();
    }
    let mut late = arena.attacker();
    assert_eq!(late.receive().unwrap()["error"], "anyd.TooManyConnections");
    drop(crowd);
    until("there is room again", || {
        let mut raw = arena.attacker();
        raw.ask(&call("Whoami", "{}"))["error"].is_null()
    });
}

#[test]
fn who_comes_and_goes_without_a_word_leaves_nothing() {
    let arena = Arena::new(brisk());
    let path = arena.path();
    as_user(MALLORY, move || {
        for n in 0..5000 {
            let stream = UnixStream::connect(&path).unwrap();
            match n % 4 {
                0 => {}
                1 => stream.shutdown(Shutdown::Write).unwrap(),
                2 => stream.shutdown(Shutdown::Read).unwrap(),
                // Closed with a reply unread, which resets the connection.
                _ => {
                    let text = call("Whoami", "{}") + "\0";
                    let _taken = std::io::Write::write_all(&mut &stream, text.as_bytes());
                }
            }
        }
    });
    // Its places are all free: as many as a user may have are served.
    let most = brisk().conns_per_uid;
    until("all places are free again", || {
        let mut crowd: Vec<Raw> = (0..most).map(|_| arena.attacker()).collect();
        crowd
            .iter_mut()
            .all(|raw| raw.ask(&call("Whoami", "{}"))["error"].is_null())
    });
}

#[test]
fn a_half_open_connection_counts_until_its_time_is_over() {
    let arena = Arena::new(Limits {
        conns_per_uid: 3,
        first: Duration::from_millis(300),
        ..brisk()
    });
    let crowd: Vec<Raw> = (0..3).map(|_| arena.attacker()).collect();
    for raw in &crowd {
        // The daemon may write, and waits for words in vain.
        raw.stream.shutdown(Shutdown::Read).unwrap();
    }
    until("the silent ones are closed", || {
        let mut raw = arena.attacker();
        raw.ask(&call("Whoami", "{}"))["error"].is_null()
    });
    drop(crowd);
}

/// Connects without a pause until told to stop.
fn crowd_at(path: std::path::PathBuf, stop: &'static AtomicBool) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        as_user(MALLORY, move || {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                count += usize::from(UnixStream::connect(&path).is_ok());
            }
            count
        })
    })
}

#[test]
fn a_crowd_at_one_socket_does_not_keep_another_waiting() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let place = Place::new();
    let quiet = place.socket();
    let arena = Arena::with(brisk(), |daemon| daemon.listen(Socket::path(&quiet)));
    until("the second socket is there", || quiet.exists());
    let crowds: Vec<_> = (0..3).map(|_| crowd_at(arena.path(), &STOP)).collect();
    for _ in 0..50 {
        let mut raw = Raw::connect(&quiet);
        assert!(raw.ask(&call("Whoami", "{}"))["error"].is_null());
        arena.assert_alive();
    }
    STOP.store(true, Ordering::SeqCst);
    for crowd in crowds {
        assert!(crowd.join().unwrap() > 0, "nobody came");
    }
}

#[test]
fn an_asynchronous_client_is_told_that_there_is_no_room() {
    let arena = Arena::new(Limits {
        conns: 2,
        root_reserve: 0,
        conns_per_uid: 2,
        ..brisk()
    });
    let mut kept = Vec::new();
    until("the daemon is full", || {
        let mut raw = arena.attacker();
        let served = raw.ask(&call("Whoami", "{}"))["error"].is_null();
        kept.push(raw);
        !served
    });
    let refused = runtime().block_on(async {
        let trust = anyd::Trust::RootOrSelf;
        let client = anyd::Client::open_trusting(arena.path(), trust)
            .await
            .unwrap();
        crate::target::TargetClient::from(client).whoami().await
    });
    assert!(matches!(refused, Err(anyd::CallError::Busy)), "{refused:?}");
}
