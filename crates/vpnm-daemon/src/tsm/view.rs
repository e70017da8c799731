//! The machine as everybody sees it.

use vpnm_api::{
    Code, Connected, Failure, Goal, Host, Note, Repairs, Server, State, Status, Step, Traffic,
    Verified,
};

use super::effect::{Effect, HostWant, Lane};
use super::facts::EngineFact;
use super::machine::Machine;
use super::moment::Moment;

impl Machine {
    /// The state at a moment, which is `unix` seconds after 1970-01-01 UTC.
    #[must_use]
    pub fn state(&self, now: Moment, unix: u64) -> State {
        match (self.record.goal(), self.wish().goal()) {
            (Goal::Open, Goal::Open) => self.state_open(),
            (Goal::Open, Goal::Secured) => State::Connecting {
                step: self.step_to_remember(),
            },
            (Goal::Secured, _) => self.state_secured(now, unix),
        }
    }

    fn step_to_remember(&self) -> Step {
        match self.lanes.running(Lane::Host) {
            Some(Effect::Remember(_)) => Step::Remember,
            _ => Step::Check,
        }
    }

    fn state_open(&self) -> State {
        if self.is_down() {
            return State::Disconnected;
        }
        match &self.facts.host.failure {
            Some((cause, _)) => State::Blocked {
                cause: cause.clone(),
            },
            None => State::Disconnecting,
        }
    }

    fn state_secured(&self, now: Moment, unix: u64) -> State {
        if let Some((cause, _)) = &self.facts.host.failure {
            return State::Unprotected {
                cause: cause.clone(),
            };
        }
        if !self.facts.is_blocked() {
            return State::Connecting { step: Step::Block };
        }
        if let Some(Err(cause)) = &self.facts.tried {
            let cause = cause.clone();
            return State::Unprotected { cause };
        }
        if !self.is_attempting() {
            return self.state_without_tunnel();
        }
        if let Some(connected) = self.connected(now, unix) {
            return State::Connected(connected);
        }
        match &self.attempt.cause {
            Some(cause) => State::Reconnecting {
                cause: cause.clone(),
                attempt: self.attempt.count,
                retry_in_ms: self.retry_in_ms(now),
            },
            None => State::Connecting {
                step: self.step_to_tunnel(),
            },
        }
    }

    fn state_without_tunnel(&self) -> State {
        let wished_away = !self.record.connect || self.stopping;
        if wished_away && !self.is_down() {
            return State::Disconnecting;
        }
        State::Blocked {
            cause: self.cause_of_no_tunnel(),
        }
    }

    fn cause_of_no_tunnel(&self) -> Failure {
        let code = match (self.stopping, self.record.connect) {
            (true, _) => Code::Stopping,
            (false, true) => Code::NoServer,
            (false, false) => Code::Lockdown,
        };
        self.attempt.halted.clone().unwrap_or_else(|| code.into())
    }

    fn connected(&self, now: Moment, unix: u64) -> Option<Connected> {
        if !self.is_connected() {
            return None;
        }
        let outbound = self.current_outbound()?;
        let held = self
            .attempt
            .up_since
            .map_or(0, |since| now.since(since).as_secs());
        Some(Connected {
            since: unix.saturating_sub(held),
            via: Some(outbound.established.via),
            latency_ms: outbound.established.latency_ms,
        })
    }

    fn retry_in_ms(&self, now: Moment) -> u64 {
        let wait = self.attempt.retry_at.map(|at| at.since(now).as_millis());
        wait.map_or(0, |millis| u64::try_from(millis).unwrap_or(u64::MAX))
    }

    fn step_to_tunnel(&self) -> Step {
        if !self.facts.tun {
            return Step::Interface;
        }
        match self.facts.engine {
            EngineFact::Down | EngineFact::Dirty => Step::Engine,
            EngineFact::Running if self.current_outbound().is_some() => Step::Route,
            EngineFact::Running if self.needs_addresses() => Step::Resolve,
            EngineFact::Running => Step::Connect,
        }
    }

    fn needs_addresses(&self) -> bool {
        let host = self.record.server.as_ref().map(|link| &link.0.server.host);
        matches!(host, Some(Host::Domain(_))) && self.attempt.resolved.is_none()
    }

    /// Everything there is to say, except for traffic, settings and who keeps the packet
    /// filter, which are not the machine's.
    #[must_use]
    pub fn status(&self, now: Moment, unix: u64) -> Status {
        let state = self.state(now, unix);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            goal: self.record.goal(),
            lockdown: self.record.lockdown,
            lan: false,
            forwarding: false,
            server: self
                .record
                .server
                .as_ref()
                .map(|link| Server::from(&link.0)),
            traffic: Traffic::default(),
            verified: self.verified(),
            repairs: self.repairs(now, unix),
            unkept: None,
            hints: self.hints(&state),
            state,
        }
    }

    fn repairs(&self, now: Moment, unix: u64) -> Repairs {
        let ago = self.repaired_at.map(|at| now.since(at).as_secs());
        Repairs {
            at: ago.map(|ago| unix.saturating_sub(ago)),
            ..self.repairs.clone()
        }
    }

    fn hints(&self, state: &State) -> Vec<Note> {
        let server = self.record.server.as_ref();
        if let Some(cause) = state.cause() {
            let without_server = server.is_none() && cause.code == Code::Lockdown;
            let code = if without_server {
                Code::NoServer
            } else {
                cause.code
            };
            let hints = [Some(code.hint()), self.way_to_open(state)];
            return hints.into_iter().flatten().map(Note::from).collect();
        }
        let in_the_clear = server.is_some_and(|link| !link.0.is_confidential());
        match state {
            State::Disconnected if server.is_some() => vec!["type `vpnm connect`".into()],
            State::Disconnected => vec!["type `vpnm connect LINK`".into()],
            State::Connected(_) if in_the_clear => vec![
                "whoever is between this machine and the server can read along: \
                 use a link with `security=tls`"
                    .into(),
            ],
            State::Connecting { .. }
            | State::Connected(_)
            | State::Reconnecting { .. }
            | State::Disconnecting
            | State::Blocked { .. }
            | State::Unprotected { .. } => Vec::new(),
        }
    }

    /// What opens the network where it is closed. A machine that should be closed and is
    /// not needs no such advice.
    fn way_to_open(&self, state: &State) -> Option<&'static str> {
        let is_closed = matches!(state, State::Blocked { .. } | State::Reconnecting { .. });
        if !is_closed || self.stopping || self.record.goal() == Goal::Open {
            return None;
        }
        Some(match (self.record.lockdown, self.record.connect) {
            (false, _) => "`vpnm disconnect` opens the network",
            (true, false) => "`sudo vpnm lockdown off` opens the network",
            (true, true) => "`sudo vpnm lockdown off`, then `vpnm disconnect`, opens the network",
        })
    }

    fn verified(&self) -> Verified {
        let outbound = self.current_outbound();
        let sound = self.facts.host.failure.is_none();
        Verified {
            remembered: self.pending.is_none(),
            blocked: sound && self.facts.is_blocked(),
            engine: self.facts.engine == EngineFact::Running,
            answered: outbound.is_some_and(|outbound| !outbound.suspect),
            routed: sound && matches!(self.facts.host.applied, Some(HostWant::Tunnel(_))),
            tried: self.facts.tried == Some(Ok(())),
            resolver: outbound.map(|o| o.established.resolver),
        }
    }
}
