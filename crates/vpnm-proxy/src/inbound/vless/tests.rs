//! Our client through our server, over real sockets of this machine.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use tokio::net::{TcpStream, UdpSocket};
use vpnm_wire::{Domain, Target};

use super::*;
use crate::inbound::{Direct, NameFuture, Names};
use crate::{Outbound, TcpDialer, is_rejection, recv, send};

const USER: &str = "7d3f1c62-8d5e-4b1a-9c0f-2b6a5e4d3c21";

/// Every name is this machine.
struct Here;

impl Names for Here {
    fn look_up<'a>(&'a self, _: &'a Domain, port: u16) -> NameFuture<'a> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]) })
    }
}

async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let users = vec!["another".parse().unwrap(), USER.parse().unwrap()];
    let server = Server::new(users, Arc::new(Direct::new(Arc::new(Here))));
    tokio::spawn(async move { server.serve(listener).await });
    address
}

fn outbound(server: SocketAddr, user: &str) -> Outbound {
    let profile = format!("vless://{user}@{server}").parse().unwrap();
    let roots = Arc::new(RootCertStore::empty());
    Outbound::new(&profile, vec![server], Arc::new(TcpDialer), roots).unwrap()
}

/// A destination that sends back what it gets until its client has ended, then says goodbye.
async fn echo() -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.write_all(b"goodbye").await.unwrap();
    });
    format!("echo.test:{port}").parse().unwrap()
}

#[tokio::test]
async fn a_stream_goes_both_ways_and_ends_one_way_at_a_time() {
    let out = outbound(server().await, USER);
    let mut stream = out.dial_tcp(&echo().await, b"first ").await.unwrap();
    stream.write_all(b"second ").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut got = String::new();
    stream.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "first second goodbye");
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = Target::from(socket.local_addr().unwrap());
    tokio::spawn(async move {
        let mut datagram = vec![0; 65_535];
        loop {
            let (length, from) = socket.recv_from(&mut datagram).await.unwrap();
            socket.send_to(&datagram[..length], from).await.unwrap();
        }
    });
    let out = outbound(server().await, USER);
    let mut session = out.dial_udp(&target).await.unwrap();
    let mut space = vec![0; 65_535];
    for size in [0, 1, 1400, 9000, 60_000] {
        let datagram = vec![7; size];
        send(&mut *session, &datagram).await.unwrap();
        let length = recv(&mut *session, &mut space).await.unwrap();
        assert_eq!(space[..length], datagram);
    }
}

#[tokio::test]
async fn a_stranger_and_an_unreachable_destination_are_rejected() {
    let address = server().await;
    let stranger = outbound(address, "6d3f1c62-8d5e-4b1a-9c0f-2b6a5e4d3c21");
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = Target::from(free.local_addr().unwrap());
    drop(free);
    for (out, target) in [(stranger, echo().await), (outbound(address, USER), closed)] {
        let mut stream = out.dial_tcp(&target, b"x").await.unwrap();
        let error = stream.read(&mut [0; 9]).await.unwrap_err();
        assert!(is_rejection(&error), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_dropped_without_a_word() {
    let address = server().await;
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0; 17], &[1]] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut got = Vec::new();
        let _reset = stream.read_to_end(&mut got).await;
        assert!(got.is_empty(), "{got:?}");
    }
}

/// A flow through the server, and its other end at the destination.
async fn flow() -> (BoxStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::from(listener.local_addr().unwrap());
    let out = outbound(server().await, USER);
    let mut near = out.dial_tcp(&target, b"begun").await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    far.write_all(b"seen").await.unwrap();
    near.read_exact(&mut [0; 4]).await.unwrap();
    (near, far)
}

#[tokio::test]
async fn what_breaks_on_one_side_does_not_end_in_order_on_the_other() {
    let (mut near, mut far) = flow().await;
    near.break_off();
    drop(near);
    let seen = far.read(&mut [0]).await.unwrap_err();
    assert_eq!(seen.kind(), io::ErrorKind::ConnectionReset);
    let (mut near, far) = flow().await;
    far.set_zero_linger().unwrap();
    drop(far);
    let seen = near.read(&mut [0]).await.unwrap_err();
    assert_eq!(seen.kind(), io::ErrorKind::ConnectionReset);
}
