//! Two network namespaces with the engine between them: applications on a TUN device
//! in one, servers in the other.

#![expect(unsafe_code, reason = "unshare and ioctl have no safe form")]

use std::fs::{self, File};
use std::io;
use std::net::UdpSocket;
use std::num::NonZeroU32;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::Command;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use vpnm_host::tun::{self, Options};
use vpnm_world::delivery::await_delivery;

/// The TUN link.
pub(crate) const LINK: &str = "tun0";
/// The servers' address of each family.
pub(crate) const SERVER: [&str; 2] = ["10.99.0.1", "fd99::1"];
/// The applications' address of each family.
pub(crate) const CLIENT: [&str; 2] = ["10.98.0.1", "fd98::1"];

/// A network namespace, which lives as long as a descriptor or a thread of it does.
pub(crate) struct Namespace(OwnedFd);

impl Namespace {
    /// A new one, with its loopback up.
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(1);
        spawn(move || sender.send(create()).ok());
        receiver.recv().map_err(io::Error::other)?.map(Self)
    }

    /// Moves the calling thread, and those it will spawn, into the namespace.
    pub(crate) fn enter(&self) -> io::Result<()> {
        let kind = rustix::thread::LinkNameSpaceType::Network;
        Ok(rustix::thread::move_into_link_name_space(
            self.0.as_fd(),
            Some(kind),
        )?)
    }

    /// Runs `work` on a thread in the namespace and returns what it returned.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = sync_channel(1);
        let namespace = self.duplicate();
        let thread = spawn(move || {
            namespace.enter().expect("the namespace can be entered");
            sender.send(work()).ok()
        });
        match receiver.recv() {
            Ok(value) => value,
            Err(_) => panic!("in the namespace: {:?}", thread.join()),
        }
    }

    /// Starts `work` on a thread in the namespace.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let namespace = self.duplicate();
        spawn(move || {
            namespace.enter().expect("the namespace can be entered");
            work()
        })
    }

    /// A name for other programs, for as long as this handle lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Another handle of the same namespace.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.try_clone().expect("a descriptor can be duplicated"))
    }
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::Builder::new()
        .spawn(work)
        .expect("a thread can be spawned")
}

fn create() -> io::Result<OwnedFd> {
    // SAFETY: a new network namespace concerns this thread alone and no memory.
    let status = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    ip("link set lo up")?;
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Runs `ip` with the words of `command` in the thread's namespace.
pub(crate) fn ip(command: &str) -> io::Result<()> {
    let status = Command::new("ip").args(command.split(' ')).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("ip {command}: {status}")))
    }
}

/// What kind of TUN queue the engine gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// With super-packets both ways, as vpnm opens it.
    Offload,
    /// One packet of the MTU's size at a time.
    Plain,
}

/// The two namespaces; the engine runs on a thread of its own until the process ends.
pub(crate) struct World {
    pub(crate) app: Namespace,
    pub(crate) net: Namespace,
}

impl World {
    /// Builds it and starts `engine` with the TUN queue, on a thread in the servers' namespace.
    pub(crate) fn start(
        queue: Queue,
        engine: impl FnOnce(OwnedFd) + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(move || open_tun(queue), engine)
    }

    /// The same with several queues.
    pub(crate) fn start_with_queues(
        queues: Queues,
        engine: impl FnOnce(Vec<OwnedFd>) + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(move || open_queues(queues), engine)
    }

    fn start_with<Tun: 'static>(
        open: impl FnOnce() -> io::Result<Tun> + Send + 'static,
        engine: impl FnOnce(Tun) + Send + 'static,
    ) -> io::Result<Self> {
        let (app, net) = (Namespace::new()?, Namespace::new()?);
        net.run(|| {
            ip(&format!("addr add {}/32 dev lo", SERVER[0]))?;
            add_ipv6(SERVER[1], 128, "lo")?;
            report_every_error()
        })?;
        let (ready, is_ready) = sync_channel::<io::Result<()>>(1);
        let (from, to) = (app.duplicate(), net.duplicate());
        spawn(move || engine_thread(open, &from, &to, &ready, engine));
        is_ready.recv().map_err(io::Error::other)??;
        Ok(Self { app, net })
    }
}

/// Has the kernel send every ICMP error of the thread's namespace: usually it sends only
/// so many a second, to each host and of all namespaces together.
fn report_every_error() -> io::Result<()> {
    for (mask, none) in [("ipv4/icmp_ratemask", "0"), ("ipv6/icmp/ratemask", "\n")] {
        fs::write(format!("/proc/sys/net/{mask}"), none)?;
    }
    Ok(())
}

fn engine_thread<Tun>(
    open: impl FnOnce() -> io::Result<Tun>,
    app: &Namespace,
    net: &Namespace,
    ready: &SyncSender<io::Result<()>>,
    engine: impl FnOnce(Tun),
) {
    let prepared = app.enter().and_then(|()| open());
    match prepared {
        Ok(tun) => {
            net.enter().expect("the namespace can be entered");
            ready.send(Ok(())).ok();
            engine(tun);
        }
        Err(error) => {
            ready.send(Err(error)).ok();
        }
    }
}

fn open_tun(queue: Queue) -> io::Result<OwnedFd> {
    let fd = match queue {
        Queue::Plain => open_plain()?,
        Queue::Offload => {
            let options = Options {
                owner: 0,
                multi_queue: false,
            };
            let device = tun::open_named(LINK, options).map_err(io::Error::other)?;
            device.fd
        }
    };
    configure()?;
    Ok(fd)
}

/// How the packets of a device with several queues come into them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queues {
    /// Each into its own, by a program of ours.
    Steered(u32),
    /// As the kernel does it by itself: vpnm finds such a device and leaves it so.
    Spread(u32),
}

fn open_queues(queues: Queues) -> io::Result<Vec<OwnedFd>> {
    let (Queues::Steered(count) | Queues::Spread(count)) = queues;
    let is_steered = matches!(queues, Queues::Steered(_));
    if !is_steered {
        ip(&format!("tuntap add dev {LINK} mode tun multi_queue"))?;
    }
    let count = NonZeroU32::new(count).expect("a number of queues");
    let opened = tun::open_queues(LINK, 0, count).map_err(io::Error::other)?;
    if opened.steered != is_steered {
        return Err(io::Error::other("programs for the kernel are not allowed"));
    }
    configure()?;
    Ok(opened.devices.into_iter().map(|one| one.fd).collect())
}

fn configure() -> io::Result<()> {
    ip(&format!("addr add {}/32 dev {LINK}", CLIENT[0]))?;
    add_ipv6(CLIENT[1], 128, LINK)?;
    bring_up()
}

/// Gives a link of the thread's namespace an IPv6 address, at which packets are taken when
/// this returns.
pub(crate) fn add_ipv6(address: &str, prefix: u8, link: &str) -> io::Result<()> {
    ip(&format!("addr add {address}/{prefix} dev {link} nodad"))?;
    await_delivery(address.parse().map_err(io::Error::other)?)
}

/// Sets the TUN link up and makes it the way to everywhere.
pub(crate) fn bring_up() -> io::Result<()> {
    ip(&format!("link set {LINK} up mtu 1500 txqueuelen 4096"))?;
    ip(&format!("route replace default dev {LINK} congctl cubic"))?;
    ip(&format!(
        "-6 route replace default dev {LINK} congctl cubic"
    ))
}

/// Has the kernel cut what is sent into datagrams of `size` bytes.
pub(crate) fn send_in_segments(socket: &UdpSocket, size: u16) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    let size = libc::c_int::from(size);
    // SAFETY: the option takes one int, which `size` is.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            (&raw const size).cast(),
            length,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A socket that puts packets into the TUN link of the thread's namespace, each behind a
/// virtio header.
pub(crate) fn packet_socket() -> io::Result<OwnedFd> {
    let socket = socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, None)?;
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the option takes one int, which `on` is.
    let status = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_VNET_HDR,
            (&raw const on).cast(),
            length,
        )
    };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    let name = std::ffi::CString::new(LINK).map_err(io::Error::other)?;
    // SAFETY: the name is a string with a zero behind it.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    // SAFETY: all zero bytes are a valid sockaddr_ll, which is plain data.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::sa_family_t::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = u16::try_from(libc::ETH_P_IP)
        .map_err(io::Error::other)?
        .to_be();
    address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let length =
        libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: `address` is one sockaddr_ll of that length.
    let status = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket.into())
}

/// A TUN queue without any offload, as other programs open it.
fn open_plain() -> io::Result<OwnedFd> {
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: all zero bytes are a valid ifreq, which is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(LINK.bytes()) {
        *place = libc::c_char::try_from(byte).map_err(io::Error::other)?;
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    let set = libc::Ioctl::from(libc::TUNSETIFF);
    // SAFETY: the request reads and writes one ifreq, which `request` is.
    let status = unsafe { libc::ioctl(file.as_raw_fd(), set, &raw mut request) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}
