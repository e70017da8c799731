//! TCP: every end of a connection is what it would be without the engine.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::Duration;

use socket2::SockRef;

use crate::datagrams::datagrams_come_back;
use crate::direct;
use crate::exchange::{connect, echo, exchange, exchange_in, pattern, world, world_of, world_with};
use crate::world::{self, Queue, SERVER};

/// Sends eight megabytes while it receives; whether they came back as they went.
pub(crate) fn eight_megabytes(address: SocketAddr) -> bool {
    let data = pattern(8 << 20);
    let mut stream = connect(address);
    let mut writer = stream.try_clone().unwrap();
    let sent = data.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    received == data
}

#[test]
fn eight_megabytes_come_back_as_they_went() {
    exchange(echo, eight_megabytes, |equal| assert!(equal));
}

/// Packets wait for the server together, and each time it takes but a part of them.
#[test]
fn what_a_narrow_server_takes_in_parts_comes_as_it_went() {
    exchange(
        |mut stream| {
            SockRef::from(&stream)
                .set_recv_buffer_size(200_000)
                .unwrap();
            let mut request = Vec::new();
            stream.read_to_end(&mut request).unwrap();
            let equal = request == pattern(8 << 20);
            stream.write_all(&[u8::from(equal)]).unwrap();
        },
        |address| {
            let mut stream = connect(address);
            stream.write_all(&pattern(8 << 20)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut equal = [0];
            stream.read_exact(&mut equal).unwrap();
            equal
        },
        |equal| assert_eq!(equal, [1]),
    );
}

#[test]
fn a_queue_without_offload_works_too() {
    let Some(world) = world_with(Queue::Plain) else {
        return;
    };
    exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
    datagrams_come_back(&world);
}

#[test]
fn a_link_that_was_down_goes_on_when_it_is_up() {
    let Some(world) = world() else { return };
    for _ in 0..3 {
        exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
        world.app.run(|| {
            world::ip(&format!("link set {} down", world::LINK)).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            world::bring_up().unwrap();
            world::add_ipv6(world::CLIENT[1], 128, world::LINK).unwrap();
        });
    }
    exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
}

#[test]
fn the_shell_ends_with_its_device() {
    static ENDED: Mutex<Option<io::ErrorKind>> = Mutex::new(None);
    let serve = |tun: OwnedFd| {
        let ended = direct::run(tun).expect_err("only an error ends it");
        *ENDED.lock().unwrap() = Some(ended.kind());
    };
    let Some(world) = world_of(Queue::Offload, serve) else {
        return;
    };
    exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
    world
        .app
        .run(|| world::ip(&format!("link del {}", world::LINK)).unwrap());
    // The test runner's own limit is the only one.
    while ENDED.lock().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_client_may_end_its_half_and_still_be_answered() {
    exchange(
        |mut stream| {
            let mut request = Vec::new();
            stream.read_to_end(&mut request).unwrap();
            std::thread::sleep(Duration::from_millis(300));
            stream.write_all(&pattern(1 << 20)).unwrap();
            assert_eq!(request.len(), 300_000);
        },
        |address| {
            let mut stream = connect(address);
            stream.write_all(&pattern(300_000)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            answer.len()
        },
        |len| assert_eq!(len, 1 << 20),
    );
}

#[test]
fn a_server_may_end_its_half_and_still_be_sent_to() {
    exchange(
        |mut stream| {
            stream.write_all(&pattern(65_536)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert_eq!(rest.len(), 200_000);
        },
        |address| {
            let mut stream = connect(address);
            let mut greeting = Vec::new();
            stream.read_to_end(&mut greeting).unwrap();
            stream.write_all(&pattern(200_000)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            greeting.len()
        },
        |len| assert_eq!(len, 65_536),
    );
}

/// Closes with a reset.
pub(crate) fn reset(stream: TcpStream) {
    let linger = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&stream, linger).unwrap();
    drop(stream);
}

#[test]
fn a_reset_by_the_server_is_one_for_the_client() {
    exchange(
        |mut stream| {
            stream.read_exact(&mut [0]).unwrap();
            reset(stream);
        },
        |address| {
            let mut stream = connect(address);
            stream.write_all(b"x").unwrap();
            stream.read(&mut [0]).map_err(|error| error.kind())
        },
        |outcome| assert_eq!(outcome, Err(io::ErrorKind::ConnectionReset)),
    );
}

#[test]
fn a_reset_by_the_client_is_one_for_the_server() {
    exchange(
        |mut stream| {
            let mut reports = stream.try_clone().unwrap();
            // The first connection tells over the second one what it saw.
            let mut first = [0];
            stream.read_exact(&mut first).unwrap();
            static SEEN: Mutex<Option<io::ErrorKind>> = Mutex::new(None);
            if first == *b"?" {
                while SEEN.lock().unwrap().is_none() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let reset = *SEEN.lock().unwrap() == Some(io::ErrorKind::ConnectionReset);
                reports.write_all(&[u8::from(reset)]).unwrap();
                *SEEN.lock().unwrap() = None;
                return;
            }
            let seen = stream.read(&mut [0]).map_err(|error| error.kind());
            *SEEN.lock().unwrap() = seen.err().or(Some(io::ErrorKind::UnexpectedEof));
        },
        |address| {
            let mut stream = connect(address);
            stream.write_all(b"x").unwrap();
            std::thread::sleep(Duration::from_millis(50));
            reset(stream);
            let mut report = connect(address);
            report.write_all(b"?").unwrap();
            let mut was_reset = [0];
            report.read_exact(&mut was_reset).unwrap();
            was_reset
        },
        |was_reset| assert_eq!(was_reset, [1]),
    );
}

/// Sends for as long as anything is taken.
fn fill(stream: &mut TcpStream) {
    let patience = Some(Duration::from_millis(300));
    stream.set_write_timeout(patience).unwrap();
    while stream.write(&[0; 65_536]).is_ok() {}
}

/// What a server is told that does not read any more.
fn told_without_reading(serve: fn(&mut TcpStream), ask: fn(SocketAddr)) {
    let Some(world) = world() else { return };
    for host in SERVER {
        let listener = world.net.run(move || TcpListener::bind((host, 0)).unwrap());
        let address = listener.local_addr().unwrap();
        let told = world.net.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            serve(&mut stream);
            for _ in 0..400 {
                if let Some(error) = stream.take_error().unwrap() {
                    return Some(error.kind());
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            None
        });
        world.app.run(move || ask(address));
        let told = told.join().unwrap();
        assert!(told.is_some(), "{host}: the server was told nothing");
    }
}

#[test]
fn a_server_that_does_not_read_is_told_of_a_reset() {
    told_without_reading(
        |_| (),
        |address| {
            let mut stream = connect(address);
            fill(&mut stream);
            reset(stream);
        },
    );
}

#[test]
fn a_server_that_has_read_the_end_is_told_of_a_reset() {
    told_without_reading(
        |stream| assert_eq!(stream.read(&mut [0]).unwrap(), 0),
        |address| {
            let stream = connect(address);
            stream.shutdown(Shutdown::Write).unwrap();
            // By then the end has gone all the way.
            std::thread::sleep(Duration::from_millis(200));
            reset(stream);
        },
    );
}

#[test]
fn a_closed_port_refuses_at_connect() {
    let Some(world) = world() else { return };
    for (host, port) in SERVER.into_iter().flat_map(|host| [(host, 9), (host, 0)]) {
        let outcome = world.app.run(move || {
            TcpStream::connect((host, port))
                .map_err(|error| error.kind())
                .map(drop)
        });
        assert_eq!(outcome, Err(io::ErrorKind::ConnectionRefused));
    }
}

#[test]
fn a_host_without_a_route_is_unreachable_at_connect() {
    let Some(world) = world() else { return };
    for (host, kind) in [
        ("203.0.113.7", io::ErrorKind::NetworkUnreachable),
        ("2001:db8::7", io::ErrorKind::NetworkUnreachable),
    ] {
        let outcome = world.app.run(move || {
            TcpStream::connect((host, 80))
                .map_err(|error| error.kind())
                .map(drop)
        });
        assert_eq!(outcome, Err(kind), "{host}");
    }
}

#[test]
fn a_server_that_does_not_read_stops_the_client() {
    exchange(
        |stream| {
            std::thread::sleep(Duration::from_secs(3));
            drop(stream);
        },
        |address| {
            let mut stream = connect(address);
            stream
                .set_write_timeout(Some(Duration::from_millis(500)))
                .unwrap();
            let mut swallowed = 0;
            while let Ok(count) = stream.write(&[0; 65_536]) {
                swallowed += count;
            }
            swallowed
        },
        // The kernel's own buffers, four of them, take what they are allowed to.
        |swallowed| assert!(swallowed < 64 << 20, "{swallowed} bytes were swallowed"),
    );
}

#[test]
fn a_thousand_connections_at_once_are_served() {
    exchange(
        echo,
        |address| {
            let mut streams: Vec<_> = (0..1_000_u32).map(|i| (i, connect(address))).collect();
            for (i, stream) in &mut streams {
                stream.write_all(&i.to_be_bytes()).unwrap();
            }
            streams
                .into_iter()
                .filter_map(|(i, mut stream)| {
                    let mut back = [0; 4];
                    stream.read_exact(&mut back).ok()?;
                    (u32::from_be_bytes(back) == i).then_some(())
                })
                .count()
        },
        |served| assert_eq!(served, 1_000),
    );
}

#[test]
fn short_connections_come_and_go() {
    exchange(
        |mut stream| {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).ok();
            }
        },
        |address| {
            (0..2_000)
                .filter(|_| {
                    let mut stream = connect(address);
                    let mut answer = Vec::new();
                    stream.write_all(b"x").is_ok()
                        && stream.read_to_end(&mut answer).is_ok()
                        && answer == b"x"
                })
                .count()
        },
        |served| assert_eq!(served, 2_000),
    );
}
