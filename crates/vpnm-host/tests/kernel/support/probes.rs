//! Attempts to get a packet onto the wire, past everything.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::time::Duration;

use super::process::{as_uid, bind_to_link, prefer_link, raw_frames, send_raw_ip};
use super::{SERVER, SERVER_6};

/// Long enough for an answer from the far side, which comes within a millisecond.
const PATIENCE: Duration = Duration::from_millis(120);

/// Opens a connection.
pub(crate) fn connect(ip: &str, port: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::new(ip.parse().expect("a literal address"), port);
    TcpStream::connect_timeout(&address, PATIENCE)
}

/// Tries every way out there is, as root and as an ordinary user; how each attempt
/// ends is of no interest, only what reaches the far side.
pub(crate) fn probe_everything() {
    for uid in [0, 1000] {
        as_uid(uid, || {
            datagrams(|_| ());
            datagrams(|socket| bind_to_link(socket, "eth0"));
            datagrams(|socket| prefer_link(socket, "eth0"));
            connections();
            multicast();
        });
    }
    send_raw_ip("eth0");
    raw_frames("eth0");
}

/// Destinations on the link and beyond, the servers among them.
const DESTINATIONS: [&str; 9] = [
    "203.0.113.9:9",
    "203.0.113.9:53",
    "192.168.77.1:53",
    "192.168.77.1:853",
    "192.168.77.1:9",
    "255.255.255.255:9",
    "224.0.0.251:5353",
    "[2001:db8:77::1]:53",
    "[2001:db8:9::9]:443",
];

fn datagrams(prepare: impl Fn(&UdpSocket)) {
    let servers = [
        format!("{SERVER}:443"),
        format!("{SERVER}:80"),
        format!("[{SERVER_6}]:443"),
    ];
    let fixed = DESTINATIONS.iter().map(|text| (*text).to_owned());
    for destination in fixed.chain(servers) {
        let destination: SocketAddr = destination.parse().expect("a literal address");
        let any = if destination.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).expect("a socket");
        drop(socket.set_broadcast(true));
        prepare(&socket);
        drop(socket.send_to(&[0x55; 64], destination));
        // Larger than the link's packets: it leaves in fragments, if at all.
        drop(socket.send_to(&[0x55; 4000], destination));
    }
    link_local("eth0");
}

/// To the router's and to everybody's link-local address.
fn link_local(link: &str) {
    let socket = UdpSocket::bind("[::]:0").expect("a socket");
    let scope = rustix::net::netdevice::name_to_index(&socket, link).expect("the link exists");
    for (ip, port) in [
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77), 53),
        (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 9),
        (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), 5353),
    ] {
        drop(socket.send_to(&[0x55; 64], SocketAddrV6::new(ip, port, 0, scope)));
    }
}

fn connections() {
    for destination in ["203.0.113.9:443", "192.168.77.1:53", "[2001:db8:9::9]:443"] {
        let destination = destination.parse().expect("a literal address");
        drop(TcpStream::connect_timeout(
            &destination,
            Duration::from_millis(5),
        ));
    }
    for ip in [SERVER, SERVER_6] {
        let address = SocketAddr::new(ip.parse().expect("a literal address"), 443);
        drop(TcpStream::connect_timeout(
            &address,
            Duration::from_millis(5),
        ));
    }
}

fn multicast() {
    let socket = UdpSocket::bind("192.168.77.10:0").expect("the link's address");
    let group = Ipv4Addr::new(239, 1, 2, 3);
    drop(socket.join_multicast_v4(&group, &Ipv4Addr::new(192, 168, 77, 10)));
    drop(socket.send_to(&[0x55; 64], (group, 9)));
    drop(socket.send_to(&[0x55; 64], (Ipv4Addr::new(203, 0, 113, 9), 9)));
}
