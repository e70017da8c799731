//! What is to be done next: what is wanted compared with what is known.

use vpnm_api::{Goal, Host, ShareLink};

use super::effect::{Effect, HostWant, Lane};
use super::event::Output;
use super::facts::{EngineFact, Outbound};
use super::holes::Holes;
use super::machine::Machine;
use super::waiting::WaitsFor;

impl Machine {
    /// Orders the next effect of each idle lane, and the end when everything is done.
    pub(super) fn order(&mut self) {
        if let Some(effect) = self.next_in_engine_lane() {
            self.begin(effect);
        }
        if let Some(effect) = self.next_in_host_lane() {
            self.begin(effect);
        }
        if self.stopping && self.is_ready_to_exit() {
            self.out.push(Output::Exit);
        }
    }

    fn begin(&mut self, effect: Effect) {
        match &effect {
            // A change that is reported from now on may not be in what is read.
            Effect::Host(_) => self.facts.host.stale = false,
            // Abandoned at any point, it leaves a process that must be stopped.
            Effect::StartEngine => self.facts.engine = EngineFact::Dirty,
            Effect::StopEngine => {
                self.facts.engine = EngineFact::Dirty;
                self.facts.outbound = None;
            }
            Effect::Remember(_) => self.writing = self.wishes,
            Effect::Check
            | Effect::OpenTun
            | Effect::CloseTun
            | Effect::Resolve(_)
            | Effect::Connect { .. } => {}
        }
        let ticket = self.lanes.begin(effect.clone());
        self.out.push(Output::Run(ticket, effect));
    }

    fn next_in_host_lane(&self) -> Option<Effect> {
        if self.lanes.running(Lane::Host).is_some() {
            return None;
        }
        let blocks_first = self.record.goal() == Goal::Secured && !self.facts.is_blocked();
        let block = || self.next_on_host().filter(|_| blocks_first);
        block()
            .or_else(|| self.next_to_remember())
            .or_else(|| self.next_on_host())
    }

    fn next_to_remember(&self) -> Option<Effect> {
        let wish = self.pending.as_ref()?;
        let begins = wish.goal() == Goal::Secured && self.record.goal() == Goal::Open;
        // While the interface of the last tunnel is there still, it would be taken
        // for somebody else's; and a host that carried one can carry another.
        if begins && !self.facts.checked && !self.facts.tun {
            return Some(Effect::Check);
        }
        Some(Effect::Remember(wish.clone()))
    }

    fn next_on_host(&self) -> Option<Effect> {
        let want = self.wanted_host();
        if want == HostWant::Open {
            return self.next_to_open();
        }
        if !self.facts.is_applied(&want) {
            let due = self.facts.host.retry_at.is_none();
            return due.then_some(Effect::Host(want));
        }
        (self.is_attempting() && !self.facts.tun && self.attempt.retry_at.is_none())
            .then_some(Effect::OpenTun)
    }

    /// The reverse of how it was built: the engine, the interface, then the block.
    fn next_to_open(&self) -> Option<Effect> {
        if self.facts.engine != EngineFact::Down || self.lanes.running(Lane::Engine).is_some() {
            return None;
        }
        if self.facts.tun {
            return Some(Effect::CloseTun);
        }
        let needed = !self.facts.is_open() && self.facts.host.retry_at.is_none();
        needed.then_some(Effect::Host(HostWant::Open))
    }

    fn next_in_engine_lane(&self) -> Option<Effect> {
        if self.lanes.running(Lane::Engine).is_some() {
            return None;
        }
        match self.facts.engine {
            EngineFact::Dirty => Some(Effect::StopEngine),
            EngineFact::Running if !self.is_attempting() => Some(Effect::StopEngine),
            EngineFact::Down | EngineFact::Running if !self.may_use_engine() => None,
            EngineFact::Down => Some(Effect::StartEngine),
            EngineFact::Running => self.next_towards_server(),
        }
    }

    fn may_use_engine(&self) -> bool {
        self.is_attempting()
            && self.attempt.retry_at.is_none()
            && self.facts.is_blocked()
            && self.facts.tun
    }

    fn next_towards_server(&self) -> Option<Effect> {
        let server = self.record.server.as_ref()?;
        let open = self.facts.host.applied.as_ref().and_then(HostWant::holes)?;
        if self.current_outbound().is_some() || !open.contain(&self.holes_to(server)) {
            return None;
        }
        let target = &server.0.server;
        let addresses = match (&target.host, &self.attempt.resolved) {
            (Host::Ip(ip), _) => vec![*ip],
            (Host::Domain(_), Some(addresses)) => addresses.clone(),
            (Host::Domain(_), None) => return Some(Effect::Resolve(target.host.clone())),
        };
        let before = self.facts.outbound.as_ref();
        Some(Effect::Connect {
            server: server.clone(),
            addresses,
            keep: before.is_some_and(|outbound| outbound.lives && outbound.server == *server),
        })
    }

    /// What the engine must reach on its way to a server: the server, or before
    /// that those who know its addresses.
    fn holes_to(&self, server: &ShareLink) -> Holes {
        let target = &server.0.server;
        match (&target.host, &self.attempt.resolved) {
            (Host::Ip(ip), _) => Holes::on_port(&[*ip], target.port),
            (Host::Domain(_), Some(addresses)) => Holes::on_port(addresses, target.port),
            (Host::Domain(_), None) => self.config.bootstrap.clone(),
        }
    }

    /// The state the host is to be in now.
    pub(super) fn wanted_host(&self) -> HostWant {
        if self.record.goal() == Goal::Open {
            return HostWant::Open;
        }
        let Some(server) = self.record.server.as_ref().filter(|_| self.is_attempting()) else {
            return HostWant::Blocked(Holes::default());
        };
        if let Some(outbound) = self.current_outbound() {
            return HostWant::Tunnel(outbound.holes.clone());
        }
        let last = self.facts.outbound.as_ref().map(|o| o.holes.clone());
        let holes = last.unwrap_or_default().and(&self.holes_to(server));
        // What was led into the TUN stays there: without an engine it is a dead
        // end, and flows need not notice that the engine was another for a while.
        if self.facts.is_routed() {
            HostWant::Tunnel(holes)
        } else {
            HostWant::Blocked(holes)
        }
    }

    /// Whether a tunnel is wanted and there is a way to get it.
    pub(super) fn is_attempting(&self) -> bool {
        let wanted = self.record.connect && self.record.server.is_some();
        wanted && self.attempt.halted.is_none() && !self.stopping
    }

    /// The verified tunnel to the wanted server.
    pub(super) fn current_outbound(&self) -> Option<&Outbound> {
        let outbound = self.facts.tunnel_to(self.record.server.as_ref())?;
        (self.is_attempting() && self.facts.tun).then_some(outbound)
    }

    /// Whether everything that `Connected` claims is known to hold.
    pub(super) fn is_connected(&self) -> bool {
        self.current_outbound().is_some_and(|outbound| {
            let routed = HostWant::Tunnel(outbound.holes.clone());
            self.facts.host.applied.as_ref() == Some(&routed)
        })
    }

    /// Whether the host is as it is to be while there is no tunnel.
    pub(super) fn is_down(&self) -> bool {
        let want = self.wanted_host();
        let reached = self.facts.host.applied.as_ref() == Some(&want);
        let rest = self.facts.engine == EngineFact::Down
            && self.lanes.running(Lane::Engine).is_none()
            && (want != HostWant::Open || !self.facts.tun);
        reached && rest
    }

    /// Answers the commands whose end has been reached.
    pub(super) fn answer(&mut self) {
        if self.pending.is_some() {
            return;
        }
        let up = self.is_connected();
        let down = !self.record.connect && self.is_down();
        let blocked = self.facts.is_blocked() && self.record.goal() == Goal::Secured;
        self.waiting.succeed(
            |what| match what {
                WaitsFor::Up => up,
                WaitsFor::Down => down,
                WaitsFor::Lockdown => down || blocked,
            },
            &mut self.out,
        );
    }

    fn is_ready_to_exit(&self) -> bool {
        let tried = self.is_down() || self.facts.host.failure.is_some();
        self.lanes.are_idle() && self.facts.engine == EngineFact::Down && tried
    }
}
