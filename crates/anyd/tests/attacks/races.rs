//! Attackers at the socket's path while daemons come and go.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyd::{CallError, Daemon, Socket, Trust};

use crate::arena::{MALLORY, PATIENCE, Place, as_user, is_root, runtime, skip, until};
use crate::target::{TargetBlocking, TargetService, Victim};

/// Does something over and over, as the attacker, until it is dropped.
struct Obsessed {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Obsessed {
    fn with(mut action: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let rounds = Arc::<AtomicUsize>::default();
        let (told, counted) = (Arc::clone(&stop), Arc::clone(&rounds));
        let act = move || {
            while !told.load(Ordering::SeqCst) {
                action();
                counted.fetch_add(1, Ordering::SeqCst);
            }
        };
        let thread = std::thread::spawn(move || as_user(MALLORY, act));
        Self {
            stop,
            rounds,
            thread: Some(thread),
        }
    }

    /// Waits until it has been done once more.
    fn once_more(&self) {
        let before = self.rounds.load(Ordering::SeqCst);
        until("the attacker acts", || {
            self.rounds.load(Ordering::SeqCst) > before
        });
    }
}

impl Drop for Obsessed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Starts a daemon and stops it at once.
fn come_and_go(socket: Socket) -> anyd::Result<()> {
    let daemon = Daemon::new(anyd::product!()).listen(socket);
    runtime().block_on(daemon.run(tokio::task::yield_now()))
}

#[test]
fn a_closed_socket_is_never_open_for_a_moment() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let place = Place::new();
    let got_in = Arc::<AtomicUsize>::default();
    let (paths, counted) = (
        [place.socket(), place.0.join(".d.sock/s")],
        Arc::clone(&got_in),
    );
    let attacker = Obsessed::with(move || {
        let connected = paths
            .iter()
            .filter(|path| UnixStream::connect(path).is_ok());
        counted.fetch_add(connected.count(), Ordering::SeqCst);
    });
    for _ in 0..100 {
        come_and_go(Socket::path(place.socket()).mode(0o600)).unwrap();
        attacker.once_more();
    }
    drop(attacker);
    assert_eq!(got_in.load(Ordering::SeqCst), 0);
}

#[test]
fn a_link_that_changes_leads_nothing_astray() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let place = Place::new();
    let [good, theirs] = ["good", "theirs"].map(|name| place.0.join(name));
    for directory in [&good, &theirs] {
        fs::create_dir(directory).unwrap();
    }
    chown(&theirs, Some(MALLORY), None).unwrap();
    let trap = theirs.join("trap");
    fs::create_dir(&trap).unwrap();
    chown(&trap, Some(MALLORY), None).unwrap();
    let link = theirs.join("link");
    symlink(&good, &link).unwrap();
    let (from, to) = (link.clone(), trap.clone());
    let mut turn = [good.clone(), to].into_iter().cycle();
    let attacker = Obsessed::with(move || {
        let next = from.with_file_name("next");
        symlink(turn.next().unwrap(), &next).unwrap();
        fs::rename(&next, &from).unwrap();
    });
    let mut served = 0;
    for _ in 0..300 {
        served += usize::from(come_and_go(Socket::path(link.join("d.sock"))).is_ok());
        assert_eq!(fs::read_dir(&trap).unwrap().count(), 0, "astray");
    }
    drop(attacker);
    println!("{served} of 300 daemons found the right place, the others refused");
    assert_eq!(fs::read_dir(&good).unwrap().count(), 0, "all is removed");
}

#[test]
fn what_is_in_the_way_is_not_harmed() {
    let place = Place::new();
    fs::create_dir(place.socket()).unwrap();
    fs::write(place.socket().join("treasure"), "gold").unwrap();
    come_and_go(Socket::path(place.socket())).unwrap_err();
    let kept = fs::read_to_string(place.socket().join("treasure")).unwrap();
    assert_eq!(kept, "gold");
}

#[test]
fn of_daemons_that_start_at_once_one_serves_at_a_time() {
    static SERVING: AtomicUsize = AtomicUsize::new(0);
    let place = Place::new();
    let start = |path: PathBuf| {
        let daemon = Daemon::new(anyd::product!()).listen(Socket::path(path));
        runtime().block_on(daemon.run(async {
            let others = SERVING.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            assert_eq!(others, 0, "two daemons serve one socket");
            SERVING.fetch_sub(1, Ordering::SeqCst);
        }))
    };
    let starting = [(); 4].map(|()| {
        let path = place.socket();
        std::thread::spawn(move || (0..50).filter(|_| start(path.clone()).is_ok()).count())
    });
    let served: usize = starting.into_iter().map(|one| one.join().unwrap()).sum();
    println!("{served} of 200 daemons served, one at a time");
    assert!(served > 0);
    assert_eq!(fs::read_dir(&place.0).unwrap().count(), 0, "nothing stays");
}

/// A daemon that is started anew as often as it is stopped.
fn restart(path: PathBuf, times: usize) {
    for _ in 0..times {
        let daemon = Daemon::new(anyd::product!())
            .serve(TargetService(Victim::default()))
            .listen(Socket::path(&path).mode(0o666));
        let pause = tokio::time::sleep;
        runtime()
            .block_on(async {
                daemon
                    .run(pause(std::time::Duration::from_millis(10)))
                    .await
            })
            .unwrap();
    }
}

#[test]
fn clients_of_a_daemon_that_restarts_are_answered_or_told() {
    let place = Place::new();
    let path = place.socket();
    let (there, done) = (path.clone(), Arc::<AtomicBool>::default());
    let told = Arc::clone(&done);
    let daemon = std::thread::spawn(move || {
        restart(there, 50);
        told.store(true, Ordering::SeqCst);
    });
    let (mut answered, mut closed) = (0, 0);
    while !done.load(Ordering::SeqCst) {
        let Ok(client) = anyd::blocking::Client::open_trusting(&path, Trust::RootOrSelf) else {
            continue;
        };
        let mut client = TargetBlocking::from(client.timeout(PATIENCE));
        loop {
            match client.echo("hello".parse().unwrap()) {
                Ok(said) => assert_eq!(said.arg, "hello"),
                Err(CallError::Closed { .. } | CallError::Io { .. }) => break,
                Err(other) => panic!("{other:?}"),
            }
            answered += 1;
        }
        closed += 1;
    }
    daemon.join().unwrap();
    assert!(answered > 50 && closed > 10, "{answered} {closed}");
}

#[test]
fn who_takes_the_path_of_a_daemon_that_is_gone_is_not_believed() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let place = Place::new();
    come_and_go(Socket::path(place.socket())).unwrap();
    // The worst that an administrator can do.
    chown(&place.0, Some(MALLORY), None).unwrap();
    let path = place.socket();
    let there = path.clone();
    let squatter = as_user(MALLORY, move || UnixListener::bind(there).unwrap());
    let refused = anyd::blocking::Client::open(&path).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    let refused = come_and_go(Socket::path(&path)).unwrap_err().to_string();
    assert!(refused.contains("belongs to uid 1000"), "{refused}");
    drop(squatter);
}
