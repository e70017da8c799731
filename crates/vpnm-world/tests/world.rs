//! The world itself: built, connected, isolated, and gone afterwards.
//!
//! Needs root; skipped loudly otherwise, and a failure with `VPNM_LAB=require`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use vpnm_world::addresses::{CLIENT, NODE, SITE};
use vpnm_world::{Signal, User, World};

fn world() -> Option<World> {
    match World::build() {
        Ok(world) => Some(world),
        Err(error) if std::env::var_os("VPNM_LAB").is_none() => {
            println!("SKIP {error}: {:?}", std::error::Error::source(&error));
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

#[test]
fn packets_cross_the_router_over_both_families() {
    let Some(world) = world() else { return };
    for (site, client) in SITE.both().into_iter().zip(CLIENT.both()) {
        let echo = world
            .internet()
            .run(|| UdpSocket::bind((site, 7)))
            .expect("bound");
        let sender = world
            .client()
            .run(|| UdpSocket::bind((client, 0)))
            .expect("bound");
        sender.send_to(b"hello", (site, 7)).expect("sent");
        echo.set_read_timeout(Some(Duration::from_secs(5)))
            .expect("set");
        let mut buffer = [0; 16];
        let (length, from) = echo.recv_from(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"hello");
        assert_eq!(from.ip(), client, "no address translation on the way");
    }
}

#[test]
fn the_node_is_reached_by_tcp() {
    let Some(world) = world() else { return };
    let address = SocketAddr::new(IpAddr::V4(NODE.v4), 443);
    let listener = world
        .node()
        .run(|| TcpListener::bind(address))
        .expect("bound");
    let mut near = world
        .client()
        .run(|| TcpStream::connect(address))
        .expect("connected");
    let (mut far, from) = listener.accept().expect("accepted");
    assert_eq!(from.ip(), IpAddr::V4(CLIENT.v4));
    near.write_all(b"ping").expect("written");
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).expect("read");
    assert_eq!(text, "ping");
}

#[test]
fn a_command_sees_the_private_files_as_the_user_asked_for() {
    let Some(world) = world() else { return };
    let script = "id -u; id -G; cat /etc/resolv.conf; ls /run /var/lib; touch /run/x && echo wrote";
    let output = world
        .client()
        .command("sh")
        .args(["-c", script])
        .user(User::Alice)
        .output();
    let output = output.expect("ran");
    let text = String::from_utf8_lossy(&output.stdout);
    let expected =
        "1000\n1000 7671\nnameserver 192.168.77.1\nnameserver 2001:db8:77::1\n/run:\n\n/var/lib:\n";
    assert_eq!(text, expected);
}

#[test]
fn the_machines_files_cannot_be_written_from_inside() {
    let Some(world) = world() else { return };
    let script = "touch /etc/.machine/vpnm-was-here; touch /etc/vpnm-is-private && echo private";
    let output = world
        .client()
        .command("sh")
        .args(["-c", script])
        .output()
        .expect("ran");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "private\n");
    assert!(!std::path::Path::new("/etc/vpnm-was-here").exists());
    assert!(!std::path::Path::new("/etc/vpnm-is-private").exists());
}

#[test]
fn processes_end_with_their_handle() {
    let Some(world) = world() else { return };
    let sleeper = world
        .client()
        .command("sleep")
        .arg("1000")
        .spawn()
        .expect("started");
    let directory = format!("/proc/{}", sleeper.id());
    assert!(std::path::Path::new(&directory).exists());
    sleeper.signal(Signal::CONT).expect("alive");
    drop(sleeper);
    assert!(!std::path::Path::new(&directory).exists());
}
