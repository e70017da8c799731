//! The far side of the wire: a router with servers, and a record of what arrived.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::{SERVER, SERVER_6, process, run};

/// A frame on the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    /// What the frame is, as far as the packet filter may let it pass; for anything
    /// else its bytes.
    pub(crate) fn kind(&self) -> &'static str {
        let Self(bytes) = self;
        match (bytes.get(12..14), bytes.get(23), bytes.get(20)) {
            (Some([0x08, 0x06]), ..) => "arp",
            (Some([0x08, 0x00]), Some(6 | 17), _) if self.goes_to_server(30..34, 36..38) => {
                "server"
            }
            (Some([0x86, 0xdd]), _, Some(6 | 17)) if self.goes_to_server(38..54, 56..58) => {
                "server"
            }
            (Some([0x86, 0xdd]), _, Some(58)) if matches!(bytes.get(54), Some(133..=136)) => {
                "discovery"
            }
            _ => "leak",
        }
    }

    /// Whether it carries what the probes send, and not just what the kernel says of
    /// itself, such as multicast reports.
    pub(crate) fn is_probe(&self) -> bool {
        self.0.windows(8).any(|bytes| bytes == [0x55; 8])
    }

    /// Whether it is a packet to the address.
    pub(crate) fn is_for(&self, ip: &str) -> bool {
        let (kind, to, octets) = match ip.parse().expect("a literal address") {
            IpAddr::V4(ip) => ([0x08, 0x00], 30..34, ip.octets().to_vec()),
            IpAddr::V6(ip) => ([0x86, 0xdd], 38..54, ip.octets().to_vec()),
        };
        self.0.get(12..14) == Some(&kind) && self.0.get(to) == Some(&octets)
    }

    /// Whether it tells somebody to send by another router (ICMP 5, ICMPv6 137).
    pub(crate) fn is_redirect(&self) -> bool {
        let at = |index: usize| self.0.get(index).copied();
        match self.0.get(12..14) {
            Some([0x08, 0x00]) => (at(23), at(34)) == (Some(1), Some(5)),
            Some([0x86, 0xdd]) => (at(20), at(54)) == (Some(58), Some(137)),
            _ => false,
        }
    }

    /// Whether it asks who has an address, by ARP or by neighbour discovery.
    pub(crate) fn asks_for(&self, ip: &str) -> bool {
        let (kind, target, octets) = match ip.parse().expect("a literal address") {
            IpAddr::V4(ip) => ("arp", 38..42, ip.octets().to_vec()),
            IpAddr::V6(ip) => ("discovery", 62..78, ip.octets().to_vec()),
        };
        self.kind() == kind && self.0.get(target) == Some(&octets)
    }

    fn goes_to_server(&self, address: Range<usize>, port: Range<usize>) -> bool {
        let address = self.0.get(address).unwrap_or_default();
        let servers = [SERVER, SERVER_6].map(|ip| ip.parse().expect("a literal address"));
        let is_server = servers.iter().any(|ip| match ip {
            IpAddr::V4(ip) => ip.octets() == address,
            IpAddr::V6(ip) => ip.octets() == address,
        });
        is_server && self.0.get(port) == Some(&443_u16.to_be_bytes()[..])
    }
}

type Job = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind())?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The far side, reached over the link `eth0`.
#[derive(Debug)]
pub(crate) struct Far {
    /// The hardware address of this side's link.
    own: Vec<u8>,
    /// Work for a thread on the far side.
    jobs: SyncSender<Job>,
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Far {
    /// Makes the far side and connects the calling thread's namespace with it.
    pub(crate) fn connect() -> Self {
        let (ready, is_ready) = sync_channel(0);
        let (go, may_go) = sync_channel(0);
        let (jobs, to_do) = sync_channel::<Job>(0);
        let frames = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&frames);
        thread::spawn(move || {
            process::new_network().expect("a second namespace");
            let own = rustix::thread::gettid().as_raw_nonzero();
            ready.send(own).expect("the test waits");
            may_go.recv().expect("the test goes on");
            live();
            thread::spawn(move || to_do.iter().for_each(|job| job()));
            capture(&record);
        });
        let thread = is_ready.recv().expect("the far side starts");
        let namespace = format!("/proc/{}/task/{thread}/ns/net", std::process::id());
        run(
            "ip",
            &format!("link add eth0 type veth peer name far0 netns {namespace}"),
        );
        for arguments in [
            "addr add 192.168.77.10/24 dev eth0",
            "addr add 2001:db8:77::10/64 dev eth0 nodad",
            "link set eth0 up",
        ] {
            run("ip", arguments);
        }
        go.send(()).expect("the far side waits");
        is_up("eth0");
        for arguments in [
            "route add default via 192.168.77.1",
            "-6 route add default via 2001:db8:77::1",
        ] {
            run("ip", arguments);
        }
        let own = hardware_address("eth0");
        let far = Self { own, jobs, frames };
        far.does(|| ());
        far
    }

    /// Does something on the far side and waits for the result.
    pub(crate) fn does<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (result, outcome) = sync_channel(1);
        let job = Box::new(move || drop(result.send(work())));
        self.jobs.send(job).expect("the far side lives");
        outcome.recv().expect("the far side lives")
    }

    /// Whether this side answers an ARP request of the far side for an address.
    pub(crate) fn asks_who_has(&self, ip: &str) -> bool {
        let ip = ip.to_owned();
        self.does(move || {
            run("ip", &format!("route replace {ip}/32 dev far0"));
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            for _ in 0..100 {
                drop(socket.send_to(&[0x55; 8], (ip.as_str(), 9)));
                thread::sleep(Duration::from_millis(5));
                if run("ip", &format!("neigh show {ip} dev far0")).contains("lladdr") {
                    return true;
                }
            }
            false
        })
    }

    /// Sends a packet to this side that is meant for somebody else.
    pub(crate) fn sends_through(&self, ip: &str) {
        let ip = ip.to_owned();
        self.does(move || {
            run("ip", &format!("route replace {ip}/32 via 192.168.77.10"));
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            drop(socket.send_to(&[0x55; 8], (ip.as_str(), 9)));
        });
    }

    /// Tells this side, as the router, that a datagram of the given source port to the
    /// server is larger than `mtu`.
    pub(crate) fn reports_too_large(&self, port: u16, mtu: u16) {
        let mut packet = vec![3, 4, 0, 0, 0, 0];
        packet.extend(mtu.to_be_bytes());
        packet.extend([
            0x45, 0, 5, 220, 0, 1, 0x40, 0, 64, 17, 0, 0, 192, 168, 77, 10,
        ]);
        packet.extend([192, 0, 2, 1]);
        packet.extend(port.to_be_bytes());
        packet.extend(443_u16.to_be_bytes());
        packet.extend([5, 200, 0, 0]);
        let words = packet
            .chunks(2)
            .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).expect("folded");
        packet.splice(2..4, checksum.to_be_bytes());
        self.does(move || {
            let icmp = rustix::net::ipproto::ICMP;
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(icmp));
            let to = SocketAddr::from(([192, 168, 77, 10], 0));
            let sent =
                rustix::net::sendto(socket.expect("root may"), &packet, SendFlags::empty(), &to);
            sent.expect("the report leaves");
        });
    }

    /// Takes what has arrived from this side so far and is not just ARP or neighbour
    /// discovery.
    pub(crate) fn take(&self) -> Vec<Frame> {
        let mut frames = self.take_all();
        frames.retain(|frame| !["arp", "discovery"].contains(&frame.kind()));
        frames
    }

    /// Takes whatever has arrived from this side so far.
    pub(crate) fn take_all(&self) -> Vec<Frame> {
        // Frames cross a veth pair within microseconds; the recording thread needs a turn.
        thread::sleep(Duration::from_millis(50));
        let mut frames = std::mem::take(&mut *self.frames.lock().expect("no panic"));
        frames.retain(|frame| frame.0.get(6..12) == Some(&self.own[..]));
        frames
    }
}

pub(super) fn hardware_address(link: &str) -> Vec<u8> {
    let text = run("ip", &format!("-j link show dev {link}"));
    let links: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let address = links[0]["address"].as_str().expect("an address");
    let bytes = address.split(':').map(|byte| u8::from_str_radix(byte, 16));
    bytes.collect::<Result<_, _>>().expect("hexadecimal bytes")
}

/// Waits until a link is up and its own IPv6 address is usable.
fn is_up(link: &str) {
    for _ in 0..300 {
        let text = run("ip", &format!("addr show dev {link}"));
        if text.contains("LOWER_UP") && text.contains("fe80") && !text.contains("tentative") {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{link} does not come up");
}

/// Gives the far side its addresses and servers; it ends with the test's process.
fn live() {
    for arguments in [
        "link set lo up",
        "link set far0 up",
        "addr add 192.168.77.1/24 dev far0",
        "addr add 2001:db8:77::1/64 dev far0 nodad",
    ] {
        run("ip", arguments);
    }
    for ip in [SERVER, "203.0.113.9"] {
        run("ip", &format!("addr add {ip}/32 dev lo"));
    }
    run("ip", &format!("addr add {SERVER_6}/128 dev lo nodad"));
    for ip in [SERVER, SERVER_6] {
        let ip: IpAddr = ip.parse().expect("a literal address");
        let tcp = TcpListener::bind((ip, 443)).expect("a port");
        serve(tcp);
    }
    let udp = UdpSocket::bind((SERVER, 443)).expect("a port");
    thread::spawn(move || echo(&udp));
}

/// Answers every connection with what it sent first.
fn serve(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 512];
            if let Ok(length) = stream.read(&mut buffer) {
                drop(stream.write_all(buffer.get(..length).unwrap_or_default()));
            }
        }
    });
}

fn echo(socket: &UdpSocket) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        drop(socket.send_to(buffer.get(..length).unwrap_or_default(), from));
    }
}

/// Records every frame that comes in by `far0`.
fn capture(record: &Mutex<Vec<Frame>>) {
    let all = rustix::net::Protocol::from_raw(
        u32::from(0x0003_u16.to_be()).try_into().expect("not zero"),
    );
    let socket = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(all),
    )
    .expect("a packet socket");
    let mut buffer = vec![0; 65536];
    while let Ok((length, _)) =
        rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())
    {
        let frame = Frame(buffer.get(..length).unwrap_or_default().to_vec());
        record.lock().expect("no panic").push(frame);
    }
}
