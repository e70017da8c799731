//! The daemon under a service manager, which the test plays.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "an integration test is a test module"
)]

use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyd::server::IntrospectionBlocking;
use anyd::{Daemon, Socket, Trust, systemd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};

/// The daemon, a process of its own.
#[test]
fn helper_daemon() {
    let Some(path) = std::env::var_os("ANYD_TEST_DAEMON") else {
        return;
    };
    let mut stored = systemd::stored_fds();
    let (name, fd) = stored.pop().unwrap();
    assert!(stored.is_empty(), "one was passed");
    let mut file = std::fs::File::from(fd);
    file.write_all(b"from the next daemon").unwrap();
    systemd::status(&format!("got {name}")).unwrap();
    systemd::store_fd("kept", &file).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let daemon = Daemon::new(anyd::product!()).listen(Socket::path(PathBuf::from(path)));
    runtime.block_on(daemon.run(anyd::signals())).unwrap();
}

struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn hear(&self) -> (String, Vec<OwnedFd>) {
        let mut room = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut room)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .unwrap();
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(arrived) = message {
                fds.extend(arrived);
            }
        }
        let text = room.get(..received.bytes).unwrap();
        (String::from_utf8(text.to_vec()).unwrap(), fds)
    }
}

#[test]
fn a_daemon_is_activated_notifies_stores_and_stops() {
    let place = std::env::temp_dir().join(format!("anyd-systemd-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    let manager = Manager {
        socket: UnixDatagram::bind(place.join("notify")).unwrap(),
    };
    manager
        .socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let path = place.join("d.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let (mut reads, writes) = std::io::pipe().unwrap();
    // The shell puts both where a service manager puts them.
    let mut daemon = Command::new("/bin/sh")
        .arg("-c")
        .arg("export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\" 3<&0 4>&1 </dev/null >&2")
        .arg("sh")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "helper_daemon", "--nocapture"])
        .env("ANYD_TEST_DAEMON", &path)
        .env("NOTIFY_SOCKET", place.join("notify"))
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "api:pipe")
        .env("WATCHDOG_USEC", "100000")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::from(writes.as_fd().try_clone_to_owned().unwrap()))
        .spawn()
        .unwrap();
    drop(writes);
    assert_eq!(manager.hear().0, "STATUS=got pipe");
    let (text, stored) = manager.hear();
    assert_eq!(text, "FDSTORE=1\nFDNAME=kept\nFDPOLL=0");
    assert_eq!(stored.len(), 1);
    assert_eq!(manager.hear().0, "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.hear().0, "WATCHDOG=1");
    }
    let client = anyd::blocking::Client::open_trusting(&path, Trust::RootOrSelf).unwrap();
    let info = IntrospectionBlocking::from(client).get_info().unwrap();
    assert_eq!(info.interfaces, ["org.varlink.service"]);

    let pid = i32::try_from(daemon.id()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    loop {
        let (text, _) = manager.hear();
        if text == "STOPPING=1" {
            break;
        }
        assert_eq!(text, "WATCHDOG=1");
    }
    assert!(daemon.wait().unwrap().success());
    assert!(path.exists(), "the manager's socket is the manager's");
    // What was stored outlives the daemon.
    let kept = stored.into_iter().next().unwrap();
    std::fs::File::from(kept)
        .write_all(b", and after it")
        .unwrap();
    let mut text = String::new();
    reads.read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the next daemon, and after it");
    std::fs::remove_dir_all(place).unwrap();
}

#[test]
fn without_a_manager_there_is_nobody_to_tell() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        assert!(!systemd::ready().unwrap());
        assert!(systemd::stored_fd("tun").is_none());
    }
}
