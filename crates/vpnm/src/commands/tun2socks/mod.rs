//! `vpnm tun2socks`

mod url;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::time::Duration;

use vpnm_engine::tun2socks::{self, Bypass, Options, Proxy};
use vpnm_host::tun::{self, TunError};

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Flag, Group, Kind, Value};
use crate::exit::Exit;
use crate::logging;
use crate::output::{Failure, Problem, chain};
use url::ProxyUrl;

const PROXY: Flag = Flag {
    long: "proxy",
    short: Some('p'),
    value: Some(Value {
        name: "URL",
        kind: Kind::Text,
    }),
    summary: "The proxy: socks5://[USER:PASSWORD@]HOST:PORT, or - to read it from standard input",
    details: "What is percent-encoded in the user name or password is decoded. A URL on the \
              command line can be read by every user of this machine; one from standard input cannot.",
};
const DEVICE: Flag = Flag {
    long: "device",
    short: Some('d'),
    value: Some(Value {
        name: "NAME",
        kind: Kind::Text,
    }),
    summary: "The TUN device; made if it does not exist (tun0)",
    details: "",
};
const MTU: Flag = Flag {
    long: "mtu",
    short: None,
    value: Some(Value {
        name: "BYTES",
        kind: Kind::Text,
    }),
    summary: "The MTU of the device (1500)",
    details: "A larger one is not faster: the engine takes and gives segments of 64 KiB and more whatever \
              the MTU is.",
};
const QUEUES: Flag = Flag {
    long: "queues",
    short: None,
    value: Some(Value {
        name: "NUMBER",
        kind: Kind::Text,
    }),
    summary: "Queues of the device, each with a thread (one a processor, at most 4)",
    details: "Several flows then use several processors; one flow stays with one. All limits are \
              divided among the queues. A device that exists must have been made for several: \
              ip tuntap add NAME mode tun multi_queue.",
};
const INTERFACE: Flag = Flag {
    long: "interface",
    short: Some('i'),
    value: Some(Value {
        name: "NAME",
        kind: Kind::Text,
    }),
    summary: "Reach the proxy over this interface, whatever the routes say",
    details: "",
};
const MARK: Flag = Flag {
    long: "fwmark",
    short: None,
    value: Some(Value {
        name: "NUMBER",
        kind: Kind::Text,
    }),
    summary: "Mark the packets to the proxy, for a routing rule that keeps them out of the device",
    details: "",
};
const NO_UDP: Flag = Flag {
    long: "no-udp",
    short: None,
    value: None,
    summary: "Refuse datagrams instead of relaying them",
    details: "",
};
const NO_PING: Flag = Flag {
    long: "no-ping",
    short: None,
    value: None,
    summary: "Leave pings unanswered",
    details: "SOCKS 5 carries none. A ping is answered when its host takes or refuses a connection to \
              its port 443, provided the proxy does not say so of hosts that do not exist.",
};
const UDP_TIMEOUT: Flag = Flag {
    long: "udp-timeout",
    short: None,
    value: Some(Value {
        name: "SECONDS",
        kind: Kind::Text,
    }),
    summary: "How long a datagram socket may be idle (60)",
    details: "",
};

pub(super) const COMMAND: Command = Command {
    name: "tun2socks",
    group: Group::Tools,
    summary: "Carry what enters a TUN device through a SOCKS 5 proxy",
    about: "\
The engine alone, for those who have a proxy and need nothing else: no daemon, no firewall, no \
resolver. Addresses and routes of the device, and what keeps the way to the proxy out of it, are \
yours to set; --interface or --fwmark help with the latter. It ends with Ctrl-C, and a device \
that it made goes with it.",
    operands: &[],
    flags: &[
        &PROXY,
        &DEVICE,
        &MTU,
        &QUEUES,
        &INTERFACE,
        &MARK,
        &NO_UDP,
        &NO_PING,
        &UDP_TIMEOUT,
        &logging::LEVEL,
    ],
    examples: &[
        (
            "vpnm tun2socks --proxy socks5://127.0.0.1:1080 --device tun0",
            "Serve tun0; then, in another shell:",
        ),
        (
            "ip address add 198.18.0.1/15 dev tun0 && ip link set tun0 up txqueuelen 4096",
            "Bring the device up, with room for large segments",
        ),
    ],
};

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    logging::start(matches);
    let options = options(matches)?;
    let name = matches
        .value(&DEVICE)
        .map_or_else(|| "tun0".into(), |name| name.to_string_lossy());
    let queues = open(&name, queues(matches)?)?;
    context.output.note(match queues.len() {
        1 => format!("serving {name}; Ctrl-C ends it"),
        several => format!("serving {name} with {several} queues; Ctrl-C ends it"),
    })?;
    tun2socks::run(queues, options).map_err(|error| {
        Problem::new(
            Exit::Failed,
            "device_lost",
            format!("the device {name} can no longer be served"),
            chain(&error),
            format!("ip link show {name}"),
        )
    })?;
    Ok(Exit::Success)
}

/// Opens as many queues as were asked for; fewer only where nobody asked.
fn open(name: &str, asked: Option<NonZeroU32>) -> Result<Vec<OwnedFd>, Problem> {
    let owner = rustix::process::geteuid().as_raw();
    let wanted = asked.unwrap_or_else(usual_queues);
    let opened = tun::open_queues(name, owner, wanted).map_err(|error| no_device(name, &error))?;
    if asked.is_some() && opened.devices.len() < count(wanted) {
        return Err(Problem::new(
            Exit::State,
            "foreign",
            format!("the device {name} has one queue only"),
            "it exists and was made without multi_queue",
            "leave --queues out, or take another --device",
        ));
    }
    Ok(opened.devices.into_iter().map(|queue| queue.fd).collect())
}

/// Most queues that can be asked for.
const MOST_QUEUES: u32 = 16;

fn queues(matches: &Matches) -> Result<Option<NonZeroU32>, Problem> {
    let wanted = format!("a number from 1 to {MOST_QUEUES}");
    let asked: Option<NonZeroU32> = number(matches, &QUEUES, &wanted)?;
    match asked {
        Some(asked) if asked.get() > MOST_QUEUES => {
            Err(bad_value(&QUEUES, &format!("it must be {wanted}")))
        }
        asked => Ok(asked),
    }
}

/// As many as processors, and no more than 4, with which one seldom waits for the engine.
///
/// Also where those who use the device need the processors as well: what a second queue was
/// measured to bring on two is in decision 0017.
fn usual_queues() -> NonZeroU32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let queues = u32::try_from(processors.min(4)).unwrap_or(1);
    NonZeroU32::new(queues).unwrap_or(NonZeroU32::MIN)
}

fn count(queues: NonZeroU32) -> usize {
    usize::try_from(queues.get()).unwrap_or(usize::MAX)
}

fn options(matches: &Matches) -> Result<Options, Problem> {
    let defaults = Options::new(proxy(matches)?);
    let mtu = number(matches, &MTU, "a number of bytes from 1280 to 65535")?;
    if mtu.is_some_and(|mtu: u16| mtu < 1280) {
        return Err(bad_value(&MTU, "IPv6 needs 1280 bytes at least"));
    }
    let wanted = "a number of seconds, at least 1";
    let idle: Option<NonZeroU32> = number(matches, &UDP_TIMEOUT, wanted)?;
    Ok(Options {
        mtu: mtu.unwrap_or(defaults.mtu),
        udp: !matches.has(&NO_UDP),
        ping: !matches.has(&NO_PING),
        udp_idle: idle.map_or(defaults.udp_idle, |seconds| {
            Duration::from_secs(seconds.get().into())
        }),
        ..defaults
    })
}

fn proxy(matches: &Matches) -> Result<Proxy, Problem> {
    let Some(given) = matches.value(&PROXY) else {
        return Err(Problem::new(
            Exit::Usage,
            "usage",
            "no proxy was given",
            "the engine alone has nowhere to send traffic",
            "vpnm tun2socks --proxy socks5://127.0.0.1:1080",
        ));
    };
    let text = if given == "-" {
        crate::secret::read_standard_input()?
    } else {
        given.to_string_lossy().into_owned()
    };
    let url: ProxyUrl = text
        .trim()
        .parse()
        .map_err(|error| bad_value(&PROXY, &chain(&error)))?;
    let address = resolve(&url.host, url.port)?;
    Ok(Proxy::new(address, url.credentials, bypass(matches)?))
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, Problem> {
    let why = match (host, port).to_socket_addrs() {
        Ok(mut addresses) => match addresses.next() {
            Some(address) => return Ok(address),
            None => "its name has no address".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    Err(Problem::new(
        Exit::Failed,
        "name_not_found",
        "the proxy's name cannot be resolved",
        why,
        "give its address instead of its name",
    ))
}

fn bypass(matches: &Matches) -> Result<Bypass, Problem> {
    match (matches.value(&INTERFACE), matches.value(&MARK)) {
        (None, None) => Ok(Bypass::None),
        (Some(name), None) => Ok(Bypass::Interface(name.to_string_lossy().into_owned())),
        (None, Some(mark)) => mark
            .to_str()
            .and_then(|text| match text.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            })
            .map(Bypass::Mark)
            .ok_or_else(|| bad_value(&MARK, "it is no number of 32 bits")),
        (Some(_), Some(_)) => Err(bad_value(&MARK, "--interface was given as well")),
    }
}

/// The number given to `flag`, which must be `wanted`.
fn number<T: FromStr>(matches: &Matches, flag: &Flag, wanted: &str) -> Result<Option<T>, Problem> {
    matches
        .value(flag)
        .map(|value| {
            value
                .to_str()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| bad_value(flag, &format!("it must be {wanted}")))
        })
        .transpose()
}

fn bad_value(flag: &Flag, why: &str) -> Problem {
    Problem::new(
        Exit::Usage,
        "usage",
        format!("--{} cannot be used as it was given", flag.long),
        why,
        "vpnm tun2socks --help",
    )
}

fn no_device(name: &str, error: &TunError) -> Problem {
    let (exit, code, next) = match error {
        TunError::NoDevice => (
            Exit::Machine,
            "no_tun_device",
            "sudo modprobe tun".to_owned(),
        ),
        TunError::NotPermitted => (
            Exit::Denied,
            "not_permitted",
            "the same line with sudo".to_owned(),
        ),
        TunError::Busy => (
            Exit::State,
            "device_busy",
            "stop the other program, or take another --device".to_owned(),
        ),
        TunError::Foreign => (
            Exit::State,
            "foreign",
            "take another --device: 1 to 15 bytes, and no interface of another kind".to_owned(),
        ),
        TunError::Refused { .. } => (Exit::Machine, "host", format!("ip link show {name}")),
    };
    let why = match error {
        TunError::NoDevice => "/dev/net/tun does not exist".to_owned(),
        TunError::NotPermitted => "making a device needs root (CAP_NET_ADMIN)".to_owned(),
        TunError::Busy => "another program serves it".to_owned(),
        TunError::Foreign => "the name is no name of a TUN device".to_owned(),
        TunError::Refused { .. } => chain(error),
    };
    Problem::new(
        exit,
        code,
        format!("the device {name} cannot be opened"),
        why,
        next,
    )
}
