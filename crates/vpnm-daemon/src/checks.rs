//! The leak checks that the daemon makes by itself: after each change of the state,
//! and when others touched the network.

use tokio::sync::mpsc::Sender;
use vpnm_api::{Code, Failure, Goal, Status};
use vpnm_host::Change;

use crate::cause::chain;
use crate::leak::{self, CheckError, Report, Schedule, Turn, Urgency};
use crate::tsm::{Event, Moment};

/// A check's result, and the time in which the machine was to be secured it is of.
#[derive(Debug)]
pub(crate) struct Checked {
    of: u64,
    result: Result<Report, CheckError>,
}

/// When checks are made, and what becomes of them.
#[derive(Debug)]
pub(crate) struct Checks {
    schedule: Schedule,
    told: Sender<Checked>,
    turn: Turn,
    /// Counts how often the machine was opened: what is tried then may leave.
    opened: u64,
}

impl Checks {
    /// Checks that tell what they saw there, and leave the machine alone when it is not
    /// their turn.
    pub(crate) fn new(told: Sender<Checked>, turn: Turn) -> Self {
        Self {
            schedule: Schedule::default(),
            told,
            turn,
            opened: 0,
        }
    }

    /// When the next one is due, if any is.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.schedule.due()
    }

    /// Others changed something.
    pub(crate) fn on_changes(&mut self, changes: &[Change], now: Moment) {
        let touched = changes.contains(&Change::Filter);
        let urgency = if touched {
            Urgency::Soon
        } else {
            Urgency::Later
        };
        self.schedule.want(urgency, now);
    }

    /// A state that claims a block is checked; a goal that claims none ends the time
    /// of those before.
    pub(crate) fn on_status(&mut self, known: &Status, next: &Status, now: Moment) {
        if next.goal == Goal::Open && known.goal == Goal::Secured {
            self.opened += 1;
        }
        if next.state.is_secured() && next.state.name() != known.state.name() {
            self.schedule.want(Urgency::Soon, now);
        }
    }

    /// Makes the check that is due, if one is of use; its result is told.
    pub(crate) fn make(&mut self, is_of_use: bool, now: Moment) {
        self.schedule.done(now);
        if !is_of_use {
            return;
        }
        let (of, told, turn) = (self.opened, self.told.clone(), self.turn.clone());
        tokio::task::spawn_blocking(move || {
            let result = leak::check_in_turn(&turn);
            // The daemon that no longer listens is about to end.
            let _gone = told.blocking_send(Checked { of, result });
        });
    }

    /// What a check means to the machine; nothing if it is of another time. One that
    /// was not made, or not in full, is made again.
    pub(crate) fn take(&mut self, checked: Checked, goal: Goal, now: Moment) -> Option<Event> {
        if checked.of != self.opened || goal == Goal::Open {
            return None;
        }
        match checked.result {
            Ok(report) if report.leaked.is_empty() && report.untried.is_empty() => {
                Some(Event::Tried(None))
            }
            Ok(report) if report.leaked.is_empty() => {
                let untried = report.untried.join(", ");
                tracing::info!(%untried, "not every way out could be tried");
                self.schedule.want(Urgency::Later, now);
                Some(Event::Untried)
            }
            Ok(report) => {
                let failure = Failure::new(Code::LeakDetected, report.leaked.join(", "));
                tracing::error!(event = failure.code.name(), %failure, "THE BLOCK HAS A HOLE");
                self.schedule.want(Urgency::Soon, now);
                Some(Event::Tried(Some(failure)))
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "it is not known whether anything gets out");
                self.schedule.want(Urgency::Later, now);
                Some(Event::Untried)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vpnm_api::State;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn report(leaked: &[&str]) -> Report {
        Report {
            attempts: 2,
            untried: Vec::new(),
            leaked: leaked.iter().map(|&one| one.to_owned()).collect(),
        }
    }

    fn secured() -> Status {
        Status {
            goal: Goal::Secured,
            state: State::Blocked {
                cause: Code::Lockdown.into(),
            },
            ..Status::disconnected("0")
        }
    }

    #[test]
    fn what_left_an_open_machine_is_no_leak() {
        let mut checks = Checks::new(tokio::sync::mpsc::channel(1).0, Turn::default());
        let open = Status::disconnected("0");
        checks.on_status(&open, &secured(), at(1));
        assert!(checks.due().is_some());
        let mut take = |of, goal| {
            let result = Ok(report(&["a raw frame by eth0"]));
            checks.take(Checked { of, result }, goal, at(2))
        };
        assert!(matches!(
            take(0, Goal::Secured),
            Some(Event::Tried(Some(failure))) if failure.code == Code::LeakDetected
        ));
        assert_eq!(take(0, Goal::Open), None);
        checks.on_status(&secured(), &open, at(3));
        let result = Ok(report(&[]));
        let late = checks.take(Checked { of: 0, result }, Goal::Secured, at(4));
        assert_eq!(late, None, "of a time before the machine was open");
    }

    #[test]
    fn what_could_not_be_tried_proves_nothing_and_is_tried_again() {
        let mut partly = report(&[]);
        partly
            .untried
            .push("UDP over IPv6 from 2001:db8::1".to_owned());
        let failed = CheckError::Probe("they took too long".to_owned());
        for result in [Ok(partly), Err(failed)] {
            let mut checks = Checks::new(tokio::sync::mpsc::channel(1).0, Turn::default());
            let checked = Checked { of: 0, result };
            let event = checks.take(checked, Goal::Secured, at(2));
            assert_eq!(event, Some(Event::Untried));
            assert!(checks.due().is_some());
        }
    }
}
