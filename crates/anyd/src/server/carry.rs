//! A call, carried out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep, timeout};

use super::admission::{Admitted, Asked, Refusal, admit, find};
use super::contain::{Contained, Panicked};
use super::events::Queue;
use super::line::{Closed, Flow, Line, stopped};
use super::service::{Answer, Answering, Call};
use super::shared::Shared;
use crate::method::Method;
use crate::parameters::Invalid;
use crate::writer::Form;

/// What became of a call.
pub(super) enum Ended {
    Refused(Refusal),
    Answered(Answer),
    Invalid(Invalid),
    Timeout,
    Panicked,
    /// The stream's client has gone, or the daemon stops.
    Dropped(Closed),
}

/// A call that has ended.
pub(super) struct Performed {
    pub(super) ended: Ended,
    /// Its number, if it was one of a method that there is.
    pub(super) id: u64,
    /// A stream's last event has been its answer.
    pub(super) has_last: bool,
}

impl Line {
    /// Lets a call in, carries it out, and leaves its record.
    pub(super) async fn perform(&self, asked: Asked<'_>, form: Form) -> Result<Performed, Closed> {
        let shared = Arc::clone(&self.shared);
        let started = Instant::now();
        let found = match find(&shared, &asked) {
            Ok(found) => found,
            Err(refusal) => return Ok(Performed::refused(refusal, 0)),
        };
        let caller = self.caller(found.method);
        let id = caller.id();
        let admitted = match admit(self, found, caller, asked) {
            Ok(admitted) => admitted,
            Err((caller, refusal)) => {
                self.record_refusal(&caller, &refusal, started);
                return Ok(Performed::refused(refusal, id));
            }
        };
        let _turn = self.turn(&shared, found.method).await?;
        let queue = found.method.streams.then(|| {
            let limits = &shared.limits;
            Queue::new(limits.queue, limits.message)
        });
        let Admitted {
            caller,
            parameters,
            shown,
            fds,
            ..
        } = admitted;
        let call = Call {
            caller: &caller,
            method: found.method,
            parameters,
            fds,
            queue: queue.clone(),
            form,
        };
        let running = found.service.call(found.at, call);
        let ended = self.run(running, found.method, queue.as_deref()).await;
        self.record(&caller, shown, &ended, started);
        let has_last = queue.is_some_and(|queue| queue.has_last());
        Ok(Performed {
            ended,
            id,
            has_last,
        })
    }

    async fn run(
        &self,
        running: Answering<'_>,
        method: &'static Method,
        queue: Option<&Queue>,
    ) -> Ended {
        match queue {
            None => self.carry_out(running, method.timeout).await,
            Some(queue) => self.stream(running, method.timeout, queue).await,
        }
    }

    /// Waits for the turn of a method that is paced or exclusive; gives up
    /// when there is nobody left to carry it out for.
    async fn turn<'s>(
        &self,
        shared: &'s Shared,
        method: &'static Method,
    ) -> Result<Option<MutexGuard<'s, ()>>, Closed> {
        let mut stopping = self.stopping.clone();
        let turn = async {
            if let Some(rate) = method.rate {
                let users = &shared.users;
                let wait = users.pace_method(self.peer.uid, method.qualified, rate, shared.now());
                sleep(wait).await;
            }
            match method.exclusive {
                true => Some(shared.exclusive.lock().await),
                false => None,
            }
        };
        tokio::select! {
            biased;
            turn = turn => Ok(turn),
            () = stopped(&mut stopping) => Err(Closed::Stopping),
        }
    }

    /// Runs a call to its end, also without its client.
    async fn carry_out(&self, running: Answering<'_>, limit: Option<Duration>) -> Ended {
        tokio::select! {
            biased;
            ended = limited(running, limit) => ended,
            () = self.watch() => Ended::Dropped(Closed::ByClient),
        }
    }

    /// Runs a call whose events are written as they come, for as long as its
    /// client is there.
    async fn stream(
        &self,
        running: Answering<'_>,
        limit: Option<Duration>,
        queue: &Queue,
    ) -> Ended {
        let writing = self.write_events(queue);
        tokio::pin!(writing);
        let mut stopping = self.stopping.clone();
        let ended = tokio::select! {
            biased;
            ended = limited(running, limit) => ended,
            written = &mut writing => {
                return Ended::Dropped(written.err().unwrap_or(Closed::Broken));
            }
            () = self.watch() => return Ended::Dropped(Closed::ByClient),
            () = self.hangup.wait() => return Ended::Dropped(Closed::ByClient),
            () = stopped(&mut stopping) => Ended::Dropped(Closed::Stopping),
        };
        queue.close();
        match writing.await {
            Ok(()) => ended,
            Err(why) => Ended::Dropped(why),
        }
    }

    /// Writes events until the queue is closed, all that wait at once.
    async fn write_events(&self, queue: &Queue) -> Flow {
        let mut batch = Vec::new();
        while queue.take(&mut batch).await {
            self.write(&batch).await?;
        }
        Ok(())
    }
}

impl Performed {
    fn refused(refusal: Refusal, id: u64) -> Self {
        Self {
            ended: Ended::Refused(refusal),
            id,
            has_last: false,
        }
    }
}

/// Runs a call within its time, its panics contained.
async fn limited(running: Answering<'_>, limit: Option<Duration>) -> Ended {
    let running = Contained(running);
    let ended = match limit {
        None => running.await,
        Some(limit) => match timeout(limit, running).await {
            Ok(ended) => ended,
            Err(_) => return Ended::Timeout,
        },
    };
    match ended {
        Ok(Ok(answer)) => Ended::Answered(answer),
        Ok(Err(invalid)) => Ended::Invalid(invalid),
        Err(Panicked) => Ended::Panicked,
    }
}
