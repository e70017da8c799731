//! What the host's lane does, one thing after the other.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use tokio::sync::mpsc::Sender;
use vpnm_api::{Code, Failure, Note, Unkept};
use vpnm_host::tun::{self, TunError};
use vpnm_host::{
    Addresses, Desired, Endpoint, Guard, Host, HostError, Lan, Point, ReachError, Severance,
    Transport, Tunnel,
};

use super::Report;
use crate::cause::{self, Cause as _};
use crate::failpoint::FailPoints;
use crate::journal::Journal;
use crate::keep::{self, FilterKeep};
use crate::leak::Turn;
use crate::permitted::Permitted;
use crate::reconcile::Used;
use crate::redirect::Redirect;
use crate::tsm::{Effect, Holes, HostWant, Outcome, Ticket};
use crate::uplink::Uplink;

/// The port of DNS.
const DNS: u16 = 53;
/// How often a busy TUN is tried again, and how long after.
const TUN_ATTEMPTS: u32 = 50;
const TUN_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// What the worker needs to know.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) journal: Journal,
    pub(crate) engine_uid: u32,
    pub(crate) permitted: Permitted,
    pub(crate) filter: FilterKeep,
    pub(crate) points: Arc<FailPoints>,
}

/// The one that touches the journal and the kernel.
#[derive(Debug)]
pub(crate) struct Worker {
    /// `None` until the kernel can be used; every effect tries anew.
    host: Option<Host>,
    place: Place,
    redirect: Option<Redirect>,
    /// A TUN was opened, and not found to be gone since.
    has_tun: bool,
    /// What is permitted has changed since a state was last reached.
    is_told_anew: bool,
    /// Connections from before the block have been ended.
    is_cut_off: bool,
    /// The addresses connections have begun with in the tunnel.
    addresses: Option<Addresses>,
    /// What was last said of the packet filter's owner.
    unkept: Option<Unkept>,
    /// The network below the tunnel at the last look.
    uplink: Option<Uplink>,
    /// Of leak checks and of opening the machine.
    turn: Turn,
    reports: Sender<Report>,
}

impl Worker {
    pub(crate) fn new(place: Place, reports: Sender<Report>) -> Self {
        Self {
            host: None,
            place,
            redirect: None,
            has_tun: false,
            is_told_anew: false,
            is_cut_off: false,
            addresses: None,
            unkept: None,
            uplink: None,
            turn: Turn::default(),
            reports,
        }
    }

    /// What leak checks wait for, and wait with.
    pub(crate) fn turn(&self) -> Turn {
        self.turn.clone()
    }

    /// Takes over the TUN of the daemon before this one, if the service manager kept
    /// it, with listeners of our own beside it.
    pub(crate) fn adopt_tun(&mut self) -> Option<(OwnedFd, Vec<OwnedFd>)> {
        let tun = keep::tun::take(self.tun_options())?;
        let listeners = self.bind_listeners();
        let listeners = listeners.inspect_err(|failure| {
            tracing::warn!(%failure, "the interface that was kept is of no use");
            keep::tun::forget();
        });
        self.has_tun = listeners.is_ok();
        Some((tun, listeners.ok()?))
    }

    /// Blocks this machine before anything else is done, by whatever can be used.
    /// Traffic that is led into a TUN already stays there.
    pub(crate) fn block_first(&mut self) -> Result<(), Failure> {
        let wants = [
            self.is_routed().then(|| HostWant::Tunnel(Holes::default())),
            Some(HostWant::Blocked(Holes::default())),
        ];
        let mut last = Ok(());
        for want in wants.into_iter().flatten() {
            match self.reach(&want) {
                Outcome::Failed(failure) => last = Err(failure),
                Outcome::Done
                | Outcome::Applied(..)
                | Outcome::Resolved(_)
                | Outcome::Established(_) => return Ok(()),
            }
        }
        last
    }

    /// Whether there is a TUN and traffic is led into it.
    pub(crate) fn is_routed(&mut self) -> bool {
        self.has_tun && self.observe().is_ok_and(|seen| seen.is_routed())
    }

    /// Whether nothing of ours is on the host.
    pub(crate) fn is_untouched(&mut self) -> Result<bool, HostError> {
        let seen = self.host()?.observe()?;
        let plan = vpnm_host::plan(&seen, &Desired::Open);
        Ok(plan.is_ok_and(|plan| plan.is_empty()))
    }

    /// What passes beside the tunnel from now on.
    pub(crate) fn permit(&mut self, permitted: Permitted) {
        self.is_told_anew |= self.place.permitted != permitted;
        self.place.permitted = permitted;
    }

    /// Ends the connections that only the tunnel could carry.
    pub(super) fn end_connections(&self) {
        self.sever(true);
    }

    /// Ends the engine's connections from addresses that are gone: it tells programs.
    pub(super) fn end_stranded(&self, addresses: &BTreeSet<IpAddr>) {
        match vpnm_host::sever_from(self.place.engine_uid, addresses) {
            Ok(ended) => tracing::info!(ended, "connections to the server lost their address"),
            Err(error) => tracing::debug!(%error, "connections are left to themselves"),
        }
    }

    /// Ends connections that can never continue, so that programs need not find out
    /// by waiting: those from the tunnel's addresses, and all that lead `outward`.
    fn sever(&self, outward: bool) {
        let severance = Severance {
            engine: self.place.engine_uid,
            tunnel: self.addresses,
            outward,
        };
        match vpnm_host::sever(&severance) {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "connections without a way were ended"),
            Err(error) => tracing::debug!(%error, "connections are left to themselves"),
        }
    }

    fn host(&mut self) -> Result<&mut Host, HostError> {
        let host = match self.host.take() {
            Some(host) => host,
            None => self.place.filter.open_host()?,
        };
        Ok(self.host.insert(host))
    }

    /// Carries an effect out and reports its end.
    pub(super) fn run(&mut self, ticket: Ticket, effect: &Effect) {
        self.place.points.pass(format_args!("before {effect:?}"));
        let report = self.carry_out(ticket, effect);
        self.place.points.pass(format_args!("after {effect:?}"));
        self.report(report);
    }

    /// Reports the network below the tunnel.
    pub(super) fn look_at_uplink(&mut self) {
        match self.host().and_then(Host::observe) {
            Ok(observed) => {
                let uplink = Uplink::of(&observed);
                let is_another = self.uplink.as_ref() != Some(&uplink);
                let used = is_another.then(|| self.used()).flatten();
                self.uplink = Some(uplink.clone());
                self.report(Report::Uplink(uplink, used));
            }
            Err(error) => tracing::warn!(%error, "the network cannot be looked at"),
        }
    }

    /// The addresses that the engine's connections began with.
    fn used(&self) -> Used {
        let used = vpnm_host::addresses_used_by(self.place.engine_uid);
        used.inspect_err(|error| tracing::debug!(%error, "every address is taken to be used"))
            .ok()
    }

    fn report(&self, report: Report) {
        // The daemon that no longer listens is about to end.
        let _gone = self.reports.blocking_send(report);
    }

    fn carry_out(&mut self, ticket: Ticket, effect: &Effect) -> Report {
        let done = |result: Result<(), Failure>| match result {
            Ok(()) => Report::Done(ticket, Outcome::Done),
            Err(failure) => Report::Done(ticket, Outcome::Failed(failure)),
        };
        match effect {
            Effect::Check => done(self.check()),
            Effect::Remember(record) => {
                done(self.place.journal.store(record).map_err(|e| e.failure()))
            }
            Effect::Host(want) => Report::Done(ticket, self.reach(want)),
            Effect::OpenTun => match self.open_tun() {
                Ok((tun, listeners)) => Report::Tun(ticket, tun, listeners),
                Err(failure) => done(Err(failure)),
            },
            // The interface goes with its last descriptor, which the engine's lane has.
            Effect::CloseTun
            | Effect::StartEngine
            | Effect::StopEngine
            | Effect::Resolve(_)
            | Effect::Connect { .. } => done(Err(Failure::new(
                Code::Host,
                "this is not done in the host's lane",
            ))),
        }
    }

    /// Whether the host can be blocked and carry a tunnel; changes nothing.
    fn check(&mut self) -> Result<(), Failure> {
        check_tun_device().map_err(|e| e.failure())?;
        let observed = self.observe()?;
        if observed.link().is_some() {
            return Err(TunError::Foreign.failure());
        }
        let blocked = self.desired(&HostWant::Blocked(Holes::default()))?;
        vpnm_host::plan(&observed, &blocked).map_err(|e| e.failure())?;
        Ok(())
    }

    fn open_tun(&mut self) -> Result<(OwnedFd, Vec<OwnedFd>), Failure> {
        let device = open_when_free(self.tun_options()).map_err(|e| e.failure())?;
        let listeners = self.bind_listeners()?;
        keep::tun::store(&device.fd);
        self.has_tun = true;
        Ok((device.fd, listeners))
    }

    /// Duplicates of the listeners beside the TUN, which are bound if they are not.
    fn bind_listeners(&mut self) -> Result<Vec<OwnedFd>, Failure> {
        let failure = |error: std::io::Error| Failure::new(Code::Host, cause::chain(&error));
        let redirect = match self.redirect.take() {
            Some(redirect) => redirect,
            None => Redirect::bind().map_err(failure)?,
        };
        self.redirect.insert(redirect).listeners().map_err(failure)
    }

    fn tun_options(&self) -> tun::Options {
        tun::Options {
            owner: self.place.engine_uid,
            multi_queue: false,
        }
    }

    fn observe(&mut self) -> Result<vpnm_host::Observed, Failure> {
        let observed = self.host().and_then(Host::observe);
        observed.map_err(|error| error.failure())
    }

    fn reach(&mut self, want: &HostWant) -> Outcome {
        let desired = match self.desired(want) {
            Ok(desired) => desired,
            Err(failure) => return Outcome::Failed(failure),
        };
        let points = Arc::clone(&self.place.points);
        let mut progress = |point: Point<'_>| {
            match point {
                Point::Before(effect) => points.pass(format_args!("before {effect}")),
                Point::After(effect) => points.pass(format_args!("after {effect}")),
            }
            true
        };
        if *want == HostWant::Open && self.addresses.is_some() {
            // While everything is still held: what ends says so to the other side.
            self.sever(false);
        }
        if *want == HostWant::Open {
            self.turn.open();
        }
        self.hold_filter(want);
        let reached = self.host().map_err(ReachError::Observe);
        let reached = reached.and_then(|host| host.reach(&desired, &mut progress));
        let is_held = reached.is_ok() && *want != HostWant::Open;
        let host = self.host.as_ref().filter(|_| is_held);
        self.place.filter.confirm(host);
        match (&reached, want) {
            (Ok(_), HostWant::Open) => {
                self.place.filter.release();
            }
            (Ok(_), HostWant::Blocked(_) | HostWant::Tunnel(_)) => self.turn.close(),
            (Err(_), _) => {}
        }
        self.tell_if_unkept(*want == HostWant::Open);
        match reached {
            Ok(plan) => {
                self.cut_off(&desired);
                // A block alone holds without the TUN, but no engine can start.
                if matches!(want, HostWant::Blocked(_)) {
                    self.look_for_tun();
                }
                let expected = std::mem::take(&mut self.is_told_anew) || plan.is_adaptation();
                let changes = u32::try_from(plan.effects().len()).unwrap_or(u32::MAX);
                let changes = if expected { 0 } else { changes };
                let first = plan.effects().first().map(ToString::to_string);
                let first = first.unwrap_or_default();
                let line = first.lines().next().unwrap_or_default();
                Outcome::Applied(changes, Note::new(line))
            }
            Err(error) => self.reach_failed(want, &desired, &error),
        }
    }

    /// Sees to it that the packet filter stays ours when we die, before there is one.
    fn hold_filter(&mut self, want: &HostWant) {
        if *want == HostWant::Open || self.host().is_err() {
            return;
        }
        if let Some(host) = &self.host {
            self.place.filter.hold(host);
        }
    }

    /// Tells whether the packet filter would have an owner without us, where that is not
    /// what was told last.
    fn tell_if_unkept(&mut self, is_open: bool) {
        let host = self.host.as_ref().filter(|_| !is_open);
        let unkept = host.and_then(|host| self.place.filter.unkept(host));
        if std::mem::replace(&mut self.unkept, unkept) != unkept {
            self.report(Report::Unkept(unkept));
        }
    }

    /// Ends what was open before this machine was blocked, once.
    fn cut_off(&mut self, reached: &Desired) {
        let is_cut_off = *reached != Desired::Open;
        self.addresses = match reached {
            Desired::Open => None,
            Desired::Blocked(_) => self.addresses,
            Desired::Tunnel(_, tunnel) => Some(tunnel.addresses),
        };
        if is_cut_off && !self.is_cut_off {
            forget_neighbours();
            self.sever(true);
        }
        self.is_cut_off = is_cut_off;
    }

    fn reach_failed(&mut self, want: &HostWant, desired: &Desired, error: &ReachError) -> Outcome {
        match (want, desired) {
            (HostWant::Tunnel(_), _) => self.look_for_tun(),
            (HostWant::Blocked(_), Desired::Blocked(guard)) => block_by_routes(guard, error),
            (HostWant::Open | HostWant::Blocked(_), _) => {}
        }
        Outcome::Failed(error.failure())
    }

    /// Tells if the TUN was deleted.
    fn look_for_tun(&mut self) {
        let gone = |seen: vpnm_host::Observed| seen.link().is_none();
        if self.has_tun && self.observe().is_ok_and(gone) {
            self.has_tun = false;
            self.report(Report::TunLost);
        }
    }

    fn desired(&mut self, want: &HostWant) -> Result<Desired, Failure> {
        let guard = |holes: &Holes| Guard {
            engine: self.place.engine_uid,
            endpoints: endpoints(holes, self.place.engine_uid),
            lan: self.place.permitted.lan,
            forwarding: self.place.permitted.forwarding,
            serve: self.place.permitted.serve.clone(),
            serve_uplink: self.place.permitted.serve_uplink.clone(),
        };
        match want {
            HostWant::Open => Ok(Desired::Open),
            HostWant::Blocked(holes) => Ok(Desired::Blocked(guard(holes))),
            HostWant::Tunnel(holes) => {
                let mut guard = guard(holes);
                let observed = self.observe()?;
                guard.endpoints.extend(self.local_resolvers(&observed));
                Ok(Desired::Tunnel(guard, self.tunnel(&observed)?))
            }
        }
    }

    /// The resolvers on the links themselves, for names of the local network; further
    /// away a query could be seen by others than the network's own.
    fn local_resolvers(&self, observed: &vpnm_host::Observed) -> Vec<Endpoint> {
        let Permitted { lan, resolvers, .. } = &self.place.permitted;
        if *lan == Lan::Blocked {
            return Vec::new();
        }
        let neighbours = resolvers.iter().filter(|ip| observed.is_neighbour(**ip));
        let endpoint = |ip: &IpAddr, transport| Endpoint {
            uid: self.place.engine_uid,
            ip: *ip,
            transport,
            port: DNS,
        };
        neighbours
            .flat_map(|ip| [Transport::Udp, Transport::Tcp].map(|by| endpoint(ip, by)))
            .collect()
    }

    fn tunnel(&self, observed: &vpnm_host::Observed) -> Result<Tunnel, Failure> {
        let redirect = self.redirect.as_ref();
        let dns_port = redirect.map(|redirect| redirect.port).ok_or_else(|| {
            Failure::new(
                Code::Host,
                "the listeners of the DNS redirect are not bound",
            )
        })?;
        let addresses = observed.tunnel_addresses().map_err(|e| e.failure())?;
        Ok(Tunnel {
            addresses,
            dns_port,
        })
    }
}

/// Ends what the kernel began to ask on the links while this machine was open.
fn forget_neighbours() {
    match vpnm_host::forget_neighbours() {
        Ok(0) => {}
        Ok(forgotten) => tracing::debug!(forgotten, "neighbours are asked for no more"),
        Err(error) => tracing::debug!(%error, "neighbours may be asked for some seconds more"),
    }
}

/// The second of the two stops, where the first cannot be had: most traffic is
/// held, not all, so that the machine still counts as unprotected.
fn block_by_routes(guard: &Guard, error: &ReachError) {
    let failure = error.failure();
    match vpnm_host::backstop(guard) {
        Ok(_) => tracing::error!(%failure, "this machine is blocked by its routes alone"),
        Err(routes) => {
            let routes = routes.failure();
            tracing::error!(%failure, %routes, "THIS MACHINE COULD NOT BE BLOCKED");
        }
    }
}

fn endpoints(holes: &Holes, uid: u32) -> Vec<Endpoint> {
    let endpoint = |address: std::net::SocketAddr| Endpoint {
        uid,
        ip: address.ip(),
        transport: Transport::Tcp,
        port: address.port(),
    };
    holes.iter().map(endpoint).collect()
}

/// Whether there is a TUN device that may be opened; opening it creates nothing.
fn check_tun_device() -> Result<(), TunError> {
    let mut options = std::fs::OpenOptions::new();
    match options.read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(TunError::NotPermitted)
        }
        Err(_) => Err(TunError::NoDevice),
    }
}

/// An engine that is about to die holds the TUN for some milliseconds more.
fn open_when_free(options: tun::Options) -> Result<tun::Device, TunError> {
    for _ in 1..TUN_ATTEMPTS {
        match tun::open(options) {
            Err(TunError::Busy) => thread::sleep(TUN_PAUSE),
            opened => return opened,
        }
    }
    tun::open(options)
}
