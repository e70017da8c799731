//! Commands that wait for their answer.

use vpnm_api::Failure;

use super::event::{CommandId, Output};

/// Commands not yet answered, in the order they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiting(Vec<Waiter>);

#[derive(Debug, Clone)]
struct Waiter {
    id: CommandId,
    waits_for: WaitsFor,
    /// The wish it belongs to; `None` once that is on disk.
    wish: Option<u64>,
}

/// When a command is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// The tunnel is verified and traffic is led into it.
    Up,
    /// The host is as it is to be without a tunnel.
    Down,
    /// The lockdown is as asked for.
    Lockdown,
}

impl Waiting {
    /// A command waits from now on, for a wish that must be written or for none.
    pub(super) fn push(&mut self, id: CommandId, waits_for: WaitsFor, wish: Option<u64>) {
        self.0.push(Waiter {
            id,
            waits_for,
            wish,
        });
    }

    /// The wishes up to this one are on disk.
    pub(super) fn remembered(&mut self, wish: u64) {
        for waiter in &mut self.0 {
            waiter.wish.take_if(|of| *of <= wish);
        }
    }

    /// Whether somebody waits for a tunnel that may be built.
    pub(super) fn want_up(&self) -> bool {
        let wants = |w: &Waiter| w.wish.is_none() && w.waits_for == WaitsFor::Up;
        self.0.iter().any(wants)
    }

    /// Answers with success those whose wait is over.
    pub(super) fn succeed(&mut self, is_over: impl Fn(WaitsFor) -> bool, out: &mut Vec<Output>) {
        self.answer(|w| w.wish.is_none() && is_over(w.waits_for), &Ok(()), out);
    }

    /// Answers with a failure those that wait for one of these.
    pub(super) fn fail(&mut self, what: &[WaitsFor], failure: &Failure, out: &mut Vec<Output>) {
        let failed = Err(failure.clone());
        self.answer(|w| what.contains(&w.waits_for), &failed, out);
    }

    /// Answers with a failure those whose wish could not be written down.
    pub(super) fn forget(&mut self, failure: &Failure, out: &mut Vec<Output>) {
        self.answer(|w| w.wish.is_some(), &Err(failure.clone()), out);
    }

    fn answer(
        &mut self,
        is_meant: impl Fn(&Waiter) -> bool,
        result: &Result<(), Failure>,
        out: &mut Vec<Output>,
    ) {
        self.0.retain(|waiter| {
            let meant = is_meant(waiter);
            if meant {
                out.push(Output::Reply(waiter.id, result.clone()));
            }
            !meant
        });
    }
}
