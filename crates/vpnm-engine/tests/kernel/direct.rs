//! A handler without a proxy: each flow goes where it wants to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use vpnm_engine::netshell::{
    self, Config, Counters, DnsQuery, EchoRequest, Ended, Handler, Refusal, TcpIncoming,
    UdpIncoming,
};

/// Who answers pings.
pub(crate) const ALIVE: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(10, 99, 0, 1)),
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1)),
];

/// Datagrams to this port are answered by several at once.
pub(crate) const MULTIPLIER: u16 = 7_777;

pub(crate) struct Direct;

/// Serves the device on this thread until the process ends.
pub(crate) fn serve(tun: OwnedFd) {
    panic!("the engine ended: {:?}", run(tun));
}

/// As `serve`, with another handler, and with counters that `counters` gets.
pub(crate) fn serve_counting(
    tun: OwnedFd,
    counters: &OnceLock<Arc<Counters>>,
    handler: impl Handler + 'static,
) {
    let config = Config::new(1_500).expect("an MTU of Ethernet");
    let first = counters.set(Arc::clone(&config.counters));
    first.expect("one engine a process");
    panic!("the engine ended: {:?}", run_with(tun, config, handler));
}

/// Serves the device on this thread until it is gone.
pub(crate) fn run(tun: OwnedFd) -> io::Result<()> {
    run_with(tun, Config::new(1_500)?, Direct)
}

fn run_with(tun: OwnedFd, config: Config, handler: impl Handler + 'static) -> io::Result<()> {
    netshell::runtime()?.block_on(netshell::run(tun, config, Rc::new(handler)))
}

impl Handler for Direct {
    fn tcp(self: &Rc<Self>, flow: TcpIncoming) {
        tokio::task::spawn_local(tcp(flow));
    }

    fn udp(self: &Rc<Self>, flow: UdpIncoming) {
        tokio::task::spawn_local(udp(flow));
    }

    fn dns(self: &Rc<Self>, query: DnsQuery) {
        let mut answer = query.bytes().to_vec();
        answer.reverse();
        query.answer(&answer);
    }

    fn echo(self: &Rc<Self>, request: EchoRequest) {
        if ALIVE.contains(&request.destination()) {
            request.answer();
        }
    }
}

async fn tcp(flow: TcpIncoming) {
    let mut outbound = match TcpStream::connect(flow.destination).await {
        Ok(outbound) => outbound,
        Err(error) => return flow.refuse(refusal(&error)),
    };
    outbound.set_nodelay(true).ok();
    if let Err(Ended::Application(_)) = netshell::relay(flow.accept(), &mut outbound).await {
        outbound.set_zero_linger().ok();
    }
}

fn refusal(error: &io::Error) -> Refusal {
    let kinds = [
        (io::ErrorKind::HostUnreachable, Refusal::HostUnreachable),
        (io::ErrorKind::NetworkUnreachable, Refusal::NetUnreachable),
        (io::ErrorKind::PermissionDenied, Refusal::Prohibited),
    ];
    let known = kinds.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or(Refusal::Reset, |(_, refusal)| refusal)
}

/// Answers a datagram by three of half its length, sent as one packet.
async fn multiply(incoming: UdpIncoming) {
    let mut flow = incoming.accept();
    let mut buffer = vec![0; 65_535];
    if let Ok(count) = flow.recv(&mut buffer).await {
        let answers = buffer[..count].repeat(2);
        flow.send_batch(&answers[..count / 2 * 3], count / 2);
    }
}

async fn udp(incoming: UdpIncoming) {
    let destination = incoming.destination;
    if destination.port() == MULTIPLIER {
        return multiply(incoming).await;
    }
    let Ok(socket) = connected(destination).await else {
        return incoming.refuse(Refusal::NetUnreachable);
    };
    let mut flow = incoming.accept();
    let (mut up, mut down) = (vec![0; 65_535], vec![0; 65_535]);
    loop {
        tokio::select! {
            received = flow.recv(&mut up) => {
                let Ok(count) = received else { return };
                if socket.send(&up[..count]).await.is_err() {
                    return flow.refuse(Refusal::Reset);
                }
            }
            received = socket.recv(&mut down) => match received {
                Ok(count) => flow.send(&down[..count]),
                Err(_) => return flow.refuse(Refusal::Reset),
            },
            () = tokio::time::sleep(Duration::from_secs(30)) => return,
        }
    }
}

async fn connected(destination: SocketAddr) -> io::Result<UdpSocket> {
    let any = if destination.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(destination).await?;
    Ok(socket)
}
