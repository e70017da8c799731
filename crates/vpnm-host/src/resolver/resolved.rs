//! systemd-resolved, told about the tunnel link by its interface on the system bus.
//!
//! What is set belongs to the link and goes with it; nothing else of its settings is
//! touched, so there is nothing to be put back. Programs that ask it (by its stub
//! address, its library or its bus interface) get their answers through the tunnel,
//! whatever domains, servers, DNS over TLS or DNSSEC the other links have.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::bus::{Arguments, Bus, BusError, Object, Writer};
use super::link_settings::{LinkChange, LinkResolver, MODES};
use crate::names::LINK;

/// Its name on the bus.
pub(super) const NAME: &str = "org.freedesktop.resolve1";
const MANAGER: Object<'_> = Object {
    name: NAME,
    path: "/org/freedesktop/resolve1",
    interface: "org.freedesktop.resolve1.Manager",
};
const LINK_INTERFACE: &str = "org.freedesktop.resolve1.Link";

/// Numbers of the families in its messages (address_families(7)).
const FAMILY_4: u32 = 2;
const FAMILY_6: u32 = 10;

/// Why systemd-resolved could not be told.
#[derive(Debug, thiserror::Error)]
pub enum ResolvedError {
    /// A call failed.
    #[error("systemd-resolved cannot be asked to {action}")]
    Call {
        /// What it was asked.
        action: String,
        /// Why not.
        #[source]
        source: BusError,
    },
    /// It took the settings and has others all the same.
    #[error("systemd-resolved did not keep what it was told: {missing}")]
    Drift {
        /// What is missing.
        missing: String,
    },
    /// There is no tunnel link.
    #[error("there is no link {LINK}")]
    NoLink,
}

/// How things stand with systemd-resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It does not run; nothing is to be done.
    Absent,
    /// It knows about the tunnel link; these changes were needed.
    Told(Vec<LinkChange>),
}

/// The way to systemd-resolved. Every method may block for some seconds when the bus
/// does not answer: keep it off any path that others wait for.
#[derive(Debug, Default)]
pub struct Resolved {
    bus: Option<Bus>,
}

impl Resolved {
    /// Observes, plans, applies and verifies what it knows about the tunnel link.
    ///
    /// # Errors
    /// [`ResolvedError`]; nothing depends on it but how well names resolve.
    pub fn reach(&mut self) -> Result<Settled, ResolvedError> {
        let told = self.tell();
        self.forget_after(told)
    }

    /// Drops what it remembers of answers: they are another network's from now on.
    ///
    /// # Errors
    /// [`ResolvedError::Call`].
    pub fn flush(&mut self) -> Result<(), ResolvedError> {
        let flushed = self.present().and_then(|bus| bus.map_or(Ok(()), flush));
        self.forget_after(flushed)
    }

    /// Whether it came or went since this was asked last. A bus that was lost counts;
    /// the next [`Resolved::reach`] connects to it anew.
    pub fn has_changed(&mut self) -> bool {
        let Some(bus) = &mut self.bus else {
            return false;
        };
        let changed = bus.take_signals();
        if changed.is_err() {
            self.bus = None;
        }
        changed.unwrap_or(true)
    }

    /// Readable when [`Resolved::has_changed`] is worth asking.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.bus.as_ref().map(AsFd::as_fd)
    }

    fn tell(&mut self) -> Result<Settled, ResolvedError> {
        let Some(bus) = self.present()? else {
            return Ok(Settled::Absent);
        };
        let link = link_number().ok_or(ResolvedError::NoLink)?;
        let desired = LinkResolver::of_tunnel();
        let changes = desired.changes_from(&observe(bus, link)?);
        for change in &changes {
            apply(bus, link, change)?;
        }
        if changes.is_empty() {
            return Ok(Settled::Told(changes));
        }
        let missing = desired.changes_from(&observe(bus, link)?);
        if let Some(first) = missing.first() {
            return Err(ResolvedError::Drift {
                missing: first.to_string(),
            });
        }
        flush(bus)?;
        Ok(Settled::Told(changes))
    }

    /// The bus, if systemd-resolved is on it.
    fn present(&mut self) -> Result<Option<&mut Bus>, ResolvedError> {
        let failed = |source| failed("be there".to_owned(), source);
        if self.bus.is_none() {
            let mut bus = match Bus::open() {
                Err(error) if error.is_without_bus() => return Ok(None),
                opened => opened.map_err(failed)?,
            };
            bus.watch(NAME).map_err(failed)?;
            self.bus = Some(bus);
        }
        let Some(bus) = &mut self.bus else {
            return Ok(None);
        };
        let is_there = bus.has_owner(NAME).map_err(failed)?;
        Ok(is_there.then_some(bus))
    }

    /// A connection on which something failed may have an answer under way.
    fn forget_after<T>(&mut self, result: Result<T, ResolvedError>) -> Result<T, ResolvedError> {
        if let Err(ResolvedError::Call { source, .. }) = &result
            && !matches!(source, BusError::Refused { .. })
        {
            self.bus = None;
        }
        result
    }
}

fn failed(action: String, source: BusError) -> ResolvedError {
    ResolvedError::Call { action, source }
}

fn flush(bus: &mut Bus) -> Result<(), ResolvedError> {
    bus.call(MANAGER, "FlushCaches", &Arguments::default())
        .map_err(|e| failed("forget answers".to_owned(), e))?;
    Ok(())
}

/// What it knows about a link.
fn observe(bus: &mut Bus, link: u32) -> Result<LinkResolver, ResolvedError> {
    let show = |source| failed(format!("show link {link}"), source);
    read(bus, link).map_err(show)
}

fn read(bus: &mut Bus, link: u32) -> Result<LinkResolver, BusError> {
    let which = Arguments::default().with("i", |body| body.u32(link));
    let answer = bus.call(MANAGER, "GetLink", &which)?;
    let path = answer.body("o").ok_or(BusError::Malformed)?.text()?;
    let mut property = |name| bus.property(NAME, &path, LINK_INTERFACE, name);
    let mut found = LinkResolver::default();
    property("DNS")?.value("a(iay)")?.array(8, |body| {
        body.align(8)?;
        let _family = body.u32()?;
        found.servers.extend(address(body.octets()?));
        Ok(())
    })?;
    property("Domains")?.value("a(sb)")?.array(8, |body| {
        body.align(8)?;
        found.domains.push((body.text()?, body.flag()?));
        Ok(())
    })?;
    found.default_route = property("DefaultRoute")?.value("b")?.flag()?;
    for (mode, name) in found.modes.iter_mut().zip(MODES) {
        *mode = property(name)?.text()?;
    }
    Ok(found)
}

/// An address by its octets; of another length it is none of ours.
fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

fn apply(bus: &mut Bus, link: u32, change: &LinkChange) -> Result<(), ResolvedError> {
    tracing::debug!(%change, "telling systemd-resolved");
    let which = Arguments::default().with("i", |body| body.u32(link));
    let (method, arguments) = match change {
        LinkChange::Servers(servers) => (
            "SetLinkDNS".to_owned(),
            which.with("a(iay)", |body| {
                body.array(8, |body| {
                    servers.iter().for_each(|ip| write_address(body, *ip));
                });
            }),
        ),
        LinkChange::Domains(domains) => (
            "SetLinkDomains".to_owned(),
            which.with("a(sb)", |body| {
                body.array(8, |body| {
                    for (name, routing) in domains {
                        body.align(8);
                        body.text(name);
                        body.flag(*routing);
                    }
                });
            }),
        ),
        LinkChange::DefaultRoute(on) => (
            "SetLinkDefaultRoute".to_owned(),
            which.with("b", |body| body.flag(*on)),
        ),
        LinkChange::Mode(name, value) => (format!("SetLink{name}"), which.text(value)),
    };
    bus.call(MANAGER, &method, &arguments)
        .map_err(|source| failed(change.to_string(), source))?;
    Ok(())
}

fn write_address(body: &mut Writer, ip: IpAddr) {
    body.align(8);
    match ip {
        IpAddr::V4(ip) => {
            body.u32(FAMILY_4);
            body.octets(&ip.octets());
        }
        IpAddr::V6(ip) => {
            body.u32(FAMILY_6);
            body.octets(&ip.octets());
        }
    }
}

/// The number of the tunnel link in the network namespace of the calling thread.
fn link_number() -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(any, LINK).ok()
}
