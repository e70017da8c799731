//! A connection to the system bus, for a handful of calls.
//!
//! Every call ends within a second, whatever the other side does. Nothing is ever
//! started: a service that does not run is left alone.

mod message;

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) use message::{Arguments, Writer};
use message::{Call, Kind, Malformed, Message, PREFIX, Reader, encode_call, message_length};

/// Where the system bus listens.
const SOCKET: &str = "/run/dbus/system_bus_socket";
/// Longest time for a call, there and back.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two attempts to get into the queue of a bus.
const PAUSE: Duration = Duration::from_millis(20);

const BUS: Object<'_> = Object {
    name: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The bus cannot be reached, or gave no answer in time.
    #[error("the system bus does not answer")]
    Io(#[from] io::Error),
    /// What came is no message, or not the one that was to come.
    #[error("the answer is not understood")]
    Malformed,
    /// The call was refused.
    #[error("{name}: {text}")]
    Refused {
        /// The error's name.
        name: String,
        /// What it says for people.
        text: String,
    },
}

impl BusError {
    /// Whether there is no bus at all.
    pub(super) fn is_without_bus(&self) -> bool {
        let is_missing = |error: &io::Error| {
            let kind = error.kind();
            kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused
        };
        matches!(self, Self::Io(error) if is_missing(error))
    }
}

impl From<Malformed> for BusError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Where a method is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
}

/// A connection to the system bus.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// The service whose coming and going counts.
    watched: String,
    /// It came or went.
    signalled: bool,
}

impl Bus {
    /// Connects to the system bus.
    pub(super) fn open() -> Result<Self, BusError> {
        let until = Instant::now() + PATIENCE;
        Self::over(connect(Path::new(SOCKET), until)?)
    }

    /// Says to the bus at the other end who we are.
    fn over(stream: UnixStream) -> Result<Self, BusError> {
        let mut bus = Self {
            stream,
            serial: 0,
            watched: String::new(),
            signalled: false,
        };
        bus.authenticate(Instant::now() + PATIENCE)?;
        bus.call(BUS, "Hello", &Arguments::default())?;
        Ok(bus)
    }

    /// By the uid the kernel vouches for (D-Bus Specification, "EXTERNAL").
    fn authenticate(&mut self, until: Instant) -> Result<(), BusError> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        self.write(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes(), until)?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.read(&mut byte, until)?;
            line.extend_from_slice(&byte);
            if line.len() > 512 {
                return Err(BusError::Malformed);
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(BusError::Malformed);
        }
        self.write(b"BEGIN\r\n", until)
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(
        &mut self,
        object: Object<'_>,
        member: &str,
        arguments: &Arguments,
    ) -> Result<Message, BusError> {
        let until = Instant::now() + PATIENCE;
        self.serial = self.serial.wrapping_add(1).max(1);
        let serial = self.serial;
        let call = Call {
            destination: object.name,
            path: object.path,
            interface: object.interface,
            member,
        };
        self.write(&encode_call(serial, &call, arguments), until)?;
        loop {
            let message = self.receive(until)?;
            if is_of_bus(object.name) && !is_of_bus(&message.sender) {
                continue;
            }
            match &message.kind {
                Kind::Reply(to) if *to == serial => return Ok(message),
                Kind::Error(to, name) if *to == serial => {
                    return Err(BusError::Refused {
                        name: name.clone(),
                        text: message.leading_text().unwrap_or_default(),
                    });
                }
                // What answers an earlier call comes too late.
                Kind::Reply(_) | Kind::Error(..) | Kind::Other => {}
                Kind::Signal(..) => self.note(&message),
            }
        }
    }

    /// Reads a property: the value's type is the caller's to check.
    pub(super) fn property(
        &mut self,
        name: &str,
        path: &str,
        interface: &str,
        property: &str,
    ) -> Result<Property, BusError> {
        let object = Object {
            name,
            path,
            interface: PROPERTIES,
        };
        let which = Arguments::default().text(interface).text(property);
        Ok(Property(self.call(object, "Get", &which)?))
    }

    /// Whether a service runs.
    pub(super) fn has_owner(&mut self, name: &str) -> Result<bool, BusError> {
        let which = Arguments::default().text(name);
        let answer = self.call(BUS, "NameHasOwner", &which)?;
        let mut body = answer.body("b").ok_or(BusError::Malformed)?;
        Ok(body.flag()?)
    }

    /// Asks to be told when a service comes or goes; see [`Bus::take_signals`].
    pub(super) fn watch(&mut self, name: &str) -> Result<(), BusError> {
        let rule = format!(
            "type='signal',sender='{sender}',member='NameOwnerChanged',arg0='{name}'",
            sender = BUS.name
        );
        self.call(BUS, "AddMatch", &Arguments::default().text(&rule))?;
        name.clone_into(&mut self.watched);
        Ok(())
    }

    /// Whether a watched service came or went since this was asked last. Waits for
    /// nothing; an error means that the connection is of no more use.
    pub(super) fn take_signals(&mut self) -> Result<bool, BusError> {
        let now = Instant::now();
        while is_readable(&self.stream)? {
            let message = self.receive(now + PATIENCE)?;
            self.note(&message);
        }
        Ok(std::mem::take(&mut self.signalled))
    }

    /// Any client can send us any signal; only the bus itself knows who came or went.
    fn note(&mut self, message: &Message) {
        let Kind::Signal(interface, member) = &message.kind else {
            return;
        };
        let is_news = interface == BUS.interface && member == "NameOwnerChanged";
        let subject = || message.body("sss")?.text().ok();
        self.signalled |=
            is_news && is_of_bus(&message.sender) && subject().as_ref() == Some(&self.watched);
    }

    fn receive(&mut self, until: Instant) -> Result<Message, BusError> {
        let mut prefix = [0; PREFIX];
        self.read(&mut prefix, until)?;
        let length = message_length(&prefix)?;
        let mut bytes = prefix.to_vec();
        bytes.resize(length, 0);
        self.read(bytes.get_mut(PREFIX..).unwrap_or_default(), until)?;
        Ok(Message::decode(&bytes)?)
    }

    fn read(&mut self, buffer: &mut [u8], until: Instant) -> Result<(), BusError> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            self.stream.set_read_timeout(Some(left(until)?))?;
            match self.stream.read(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], until: Instant) -> Result<(), BusError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.stream.set_write_timeout(Some(left(until)?))?;
            match self.stream.write(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for Bus {
    /// Readable when [`Bus::take_signals`] has something to read.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A property's value.
#[derive(Debug)]
pub(super) struct Property(Message);

impl Property {
    /// The value, if it is of this type.
    pub(super) fn value(&self, signature: &str) -> Result<Reader<'_>, BusError> {
        let mut body = self.0.body("v").ok_or(BusError::Malformed)?;
        if body.signature()? != signature {
            return Err(BusError::Malformed);
        }
        Ok(body)
    }

    /// The value, if it is a text.
    pub(super) fn text(&self) -> Result<String, BusError> {
        Ok(self.value("s")?.text()?)
    }
}

/// Whether a name is that of the bus itself, which nobody else can have.
fn is_of_bus(name: &str) -> bool {
    name == BUS.name
}

/// Connects before `until`: a bus that accepts nobody must not hold us, and the kernel
/// would let us wait for ever for a place in its queue.
fn connect(path: &Path, until: Instant) -> io::Result<UnixStream> {
    use rustix::net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
    };
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => {
                let stream = UnixStream::from(socket);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(rustix::io::Errno::AGAIN) => {
                let pause = left(until)?.min(PAUSE);
                std::thread::sleep(pause);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

fn is_readable(stream: &UnixStream) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let now = Timespec::default();
    let ready = poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&now))?;
    Ok(ready > 0)
}

#[cfg(test)]
mod tests;
