//! What the ordered effects came to.

use vpnm_api::engine::Established;
use vpnm_api::{Code, Failure, Goal, Note, ShareLink};

use super::effect::{Effect, HostWant};
use super::event::{Outcome, Ticket};
use super::facts::{EngineFact, HostFact, Outbound};
use super::holes::Holes;
use super::machine::Machine;
use super::moment::Moment;
use super::retry;
use super::waiting::WaitsFor;

impl Machine {
    pub(super) fn on_done(&mut self, ticket: Ticket, outcome: Outcome, now: Moment) {
        let Some(effect) = self.lanes.end(ticket) else {
            return;
        };
        match outcome {
            Outcome::Failed(failure) => self.on_failed(effect, failure, now),
            Outcome::Done
            | Outcome::Applied(..)
            | Outcome::Resolved(_)
            | Outcome::Established(_) => {
                self.on_succeeded(effect, outcome, now);
            }
        }
    }

    fn on_succeeded(&mut self, effect: Effect, outcome: Outcome, now: Moment) {
        match (effect, outcome) {
            (Effect::Check, _) => self.facts.checked = true,
            (Effect::Remember(record), _) => self.adopt(record),
            (Effect::Host(want), Outcome::Applied(changes, note)) => {
                self.on_applied(want, changes, note, now);
            }
            (Effect::Host(want), _) => self.on_applied(want, 0, Note::default(), now),
            (Effect::OpenTun, _) => self.facts.tun = true,
            (Effect::CloseTun, _) => self.facts.tun = false,
            (Effect::StartEngine, _) => self.facts.engine = EngineFact::Running,
            (Effect::StopEngine, _) => self.on_engine_stopped(),
            (Effect::Resolve(_), Outcome::Resolved(addresses)) if !addresses.is_empty() => {
                self.attempt.resolved = Some(addresses);
            }
            (
                Effect::Connect {
                    server, addresses, ..
                },
                Outcome::Established(established),
            ) => {
                self.on_established(server, &addresses, established);
            }
            (effect @ (Effect::Resolve(_) | Effect::Connect { .. }), _) => {
                let failure = Failure::new(Code::EngineLost, "the engine gave no answer");
                self.on_failed(effect, failure, now);
            }
        }
    }

    fn on_failed(&mut self, effect: Effect, failure: Failure, now: Moment) {
        match effect {
            Effect::Check | Effect::Remember(_) => self.forget(&failure),
            Effect::Host(want) => self.on_host_failed(&want, failure, now),
            Effect::OpenTun | Effect::StartEngine => self.setback(failure, now),
            // The descriptor is gone whatever close said.
            Effect::CloseTun => self.facts.tun = false,
            Effect::StopEngine => self.on_engine_stopped(),
            Effect::Resolve(_) | Effect::Connect { .. } => {
                // The connection to it is of no use any more, even if it still runs.
                if failure.code == Code::EngineLost {
                    self.facts.engine = EngineFact::Dirty;
                }
                self.attempt.resolved = None;
                self.setback(failure, now);
            }
        }
    }

    fn on_engine_stopped(&mut self) {
        self.facts.engine = EngineFact::Down;
        self.facts.outbound = None;
    }

    fn on_applied(&mut self, want: HostWant, changes: u32, note: Note, now: Moment) {
        // From here on the state that was applied says whether traffic is led there.
        self.facts.adopted = false;
        let host = &mut self.facts.host;
        if changes > 0 && host.applied.as_ref() == Some(&want) {
            self.repairs.count += u64::from(changes);
            self.repairs.last = note;
            self.repaired_at = Some(now);
        }
        let secured = self.record.goal() == Goal::Secured;
        let sound = matches!(self.facts.tried, Some(Ok(())));
        self.facts.tried.take_if(|_| sound && changes > 0);
        *host = HostFact {
            applied: Some(want),
            stale: host.stale,
            failure: None,
            retry_at: None,
            refresh_at: secured.then(|| now + retry::REFRESH),
        };
    }

    fn on_host_failed(&mut self, want: &HostWant, failure: Failure, now: Moment) {
        // A block without the tunnel is tried next: it needs less.
        self.facts.adopted = false;
        let host = &mut self.facts.host;
        let failures = host.failure.as_ref().map_or(0, |(_, count)| *count) + 1;
        host.applied = None;
        host.failure = Some((failure.clone(), failures));
        host.retry_at = Some(now + retry::after_host_failure(failures));
        match want {
            HostWant::Open => self.waiting.fail(
                &[WaitsFor::Down, WaitsFor::Lockdown],
                &failure,
                &mut self.out,
            ),
            HostWant::Blocked(_) => {
                let waits = [WaitsFor::Up, WaitsFor::Down, WaitsFor::Lockdown];
                self.waiting.fail(&waits, &failure, &mut self.out);
            }
            HostWant::Tunnel(_) => {
                if let Some(outbound) = &mut self.facts.outbound {
                    outbound.stale = true;
                }
                self.setback(failure, now);
            }
        }
    }

    fn on_established(
        &mut self,
        server: ShareLink,
        addresses: &[std::net::IpAddr],
        established: Established,
    ) {
        let holes = Holes::on_port(addresses, server.0.server.port);
        self.facts.outbound = Some(Outbound {
            server,
            holes,
            established,
            stale: false,
            lives: true,
            suspect: false,
        });
    }
}
