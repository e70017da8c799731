//! The record of a call.

use std::time::SystemTime;

use tokio::time::Instant;

use super::admission::Refusal;
use super::audit::{Outcome, Record};
use super::caller::Caller;
use super::carry::Ended;
use super::line::Line;
use super::service::Verdict;
use crate::peer::Peer;

impl Line {
    pub(super) fn record_refusal(&self, caller: &Caller, refusal: &Refusal, started: Instant) {
        let outcome = match refusal {
            Refusal::Denied(reason) => Outcome::Denied(reason.clone()),
            Refusal::Invalid(invalid) => Outcome::Invalid(invalid.parameter.clone()),
            Refusal::NoInterface(_)
            | Refusal::NoMethod(_)
            | Refusal::NotImplemented(_)
            | Refusal::ExpectedMore => return,
        };
        self.write_record(caller, outcome, started, Vec::new());
    }

    pub(super) fn record(
        &self,
        caller: &Caller,
        shown: Vec<(&'static str, String)>,
        ended: &Ended,
        started: Instant,
    ) {
        let outcome = match ended {
            Ended::Answered(answer) => match answer.verdict {
                Verdict::Replied => Outcome::Replied,
                Verdict::Fault(name) => Outcome::Fault(name),
                Verdict::Unwritable => Outcome::Broken,
            },
            Ended::Invalid(invalid) => Outcome::Invalid(invalid.parameter.clone()),
            Ended::Refused(_) => return,
            Ended::Timeout => Outcome::Timeout,
            Ended::Panicked => Outcome::Broken,
            Ended::Dropped(_) => Outcome::Ended,
        };
        let broken = outcome == Outcome::Broken;
        if caller.method().audit.is_some() || outcome.is_refusal() || broken {
            self.write_record(caller, outcome, started, shown);
        }
    }

    fn write_record(
        &self,
        caller: &Caller,
        outcome: Outcome,
        started: Instant,
        fields: Vec<(&'static str, String)>,
    ) {
        self.shared.record(&Record {
            at: SystemTime::now(),
            id: caller.id(),
            peer: Peer::clone(&self.peer),
            method: caller.method().qualified,
            outcome,
            took: started.elapsed(),
            fields,
        });
    }
}
