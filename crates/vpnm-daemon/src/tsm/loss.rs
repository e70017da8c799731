//! What goes wrong, and what comes back.

use vpnm_api::engine::Health;
use vpnm_api::{Code, Failure, Goal, Note};

use super::effect::{Effect, Lane};
use super::facts::EngineFact;
use super::machine::Machine;
use super::moment::Moment;
use super::retry;
use super::waiting::WaitsFor;

impl Machine {
    /// An attempt failed, or a tunnel was lost.
    ///
    /// A server that held before is tried again for ever; one that was just
    /// chosen is not, the machine stays blocked and says why.
    pub(super) fn setback(&mut self, failure: Failure, now: Moment) {
        let held = self.attempt.up_since.take();
        if !self.is_attempting() {
            return;
        }
        self.waiting.fail(&[WaitsFor::Up], &failure, &mut self.out);
        if !self.attempt.was_up {
            self.attempt.halted = Some(failure);
            return;
        }
        if held.is_some_and(|since| now.since(since) >= retry::STABLE) {
            self.attempt.count = 0;
        }
        self.attempt.count = self.attempt.count.saturating_add(1);
        let wait = retry::before_attempt(self.attempt.count);
        self.attempt.retry_at = (!wait.is_zero()).then(|| now + wait);
        self.attempt.cause = Some(failure);
    }

    pub(super) fn on_engine_exited(&mut self, note: Note, now: Moment) {
        let running = self.lanes.running(Lane::Engine);
        let told = matches!(running, Some(Effect::StartEngine | Effect::StopEngine));
        if told || self.facts.engine == EngineFact::Down {
            return;
        }
        self.lanes.abandon_engine();
        self.facts.engine = EngineFact::Down;
        self.facts.outbound = None;
        self.setback(Failure::new(Code::EngineLost, note), now);
    }

    pub(super) fn on_health(&mut self, health: Health, cause: Option<Failure>, now: Moment) {
        let Some(outbound) = self.facts.outbound.as_mut().filter(|o| !o.stale) else {
            return;
        };
        outbound.suspect = health != Health::Up;
        match health {
            Health::Up | Health::Suspect => {}
            Health::Down => {
                outbound.stale = true;
                self.setback(cause.unwrap_or_else(|| Code::NoAnswer.into()), now);
            }
        }
    }

    /// Where something got out, everything is read back and applied anew; that nothing
    /// gets out any more is believed when it was tried.
    pub(super) fn on_tried(&mut self, leak: Option<Failure>) {
        if self.record.goal() == Goal::Open {
            return;
        }
        if leak.is_some() {
            self.facts.host.stale = true;
        }
        self.facts.tried = Some(leak.map_or(Ok(()), Err));
    }

    /// What was found out before holds no more, but something that got out is believed
    /// to get out until a whole try shows that it does not.
    pub(super) fn on_untried(&mut self) {
        self.facts.tried.take_if(|tried| tried.is_ok());
    }

    pub(super) fn on_tun_lost(&mut self, now: Moment) {
        if !self.facts.tun {
            return;
        }
        self.facts.tun = false;
        self.facts.adopted = false;
        self.facts.host.stale = true;
        self.abandon_engine();
        if self.facts.engine == EngineFact::Running {
            self.facts.engine = EngineFact::Dirty;
        }
        let failure = Failure::new(Code::Host, "somebody deleted the interface vpnm0");
        self.setback(failure, now);
    }

    /// Nothing can be reached; what is connected may be alive when the network is back.
    pub(super) fn on_network_gone(&mut self, now: Moment) {
        if self.is_connected() {
            if let Some(outbound) = &mut self.facts.outbound {
                outbound.stale = true;
            }
            self.setback(Code::NoNetwork.into(), now);
        }
    }

    /// What was connected by the network before leads nowhere.
    pub(super) fn on_network_changed(&mut self, now: Moment) {
        if let Some(outbound) = &mut self.facts.outbound {
            outbound.lives = false;
        }
        self.on_network_back(now);
    }

    /// Whether the tunnel still holds is found out at once, and no attempt is waited for
    /// that began before: it may wait for an answer that went elsewhere.
    pub(super) fn on_network_back(&mut self, now: Moment) {
        // What failed before says nothing of this network, which may take a moment more.
        self.attempt.count = 0;
        if self.is_connected() {
            if let Some(outbound) = &mut self.facts.outbound {
                outbound.stale = true;
            }
            self.setback(Code::NetworkChanged.into(), now);
        } else if let Some(Effect::Resolve(_) | Effect::Connect { .. }) =
            self.lanes.running(Lane::Engine)
        {
            self.lanes.abandon_engine();
        }
        let halted = self.attempt.halted.as_ref();
        if halted.is_none_or(Failure::is_transient) {
            self.try_again();
        }
    }
}
