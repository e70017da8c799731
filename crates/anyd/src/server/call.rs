//! One call: let in, carried out, answered.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::value::RawValue;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep, timeout};

use super::audit::{self, Outcome, Record};
use super::caller::Caller;
use super::connection::{Closed, Connection, Flow, Line, stopped};
use super::contain::{Contained, Panicked};
use super::daemon::Decision;
use super::events::Queue;
use super::output;
use super::registry::Found;
use super::service::{Answer, Answering, Call, Verdict};
use super::shared::Shared;
use crate::access::Subject;
use crate::method::Method;
use crate::parameters::{Invalid, Parameters, Unreadable};
use crate::peer::Peer;
use crate::wire::{CallHead, Message, errors};
use crate::writer::Form;

/// Why a call is not carried out.
enum Refusal {
    NoInterface(String),
    NoMethod(String),
    NotImplemented(String),
    Denied(String),
    ExpectedMore,
    Invalid(Invalid),
}

/// A call that has been let in.
struct Admitted<'a> {
    found: Found<'a>,
    caller: Caller,
    parameters: Parameters<'a>,
    shown: Vec<(&'static str, String)>,
}

/// What became of a call.
enum Ended {
    Answered(Answer),
    Invalid(Invalid),
    Timeout,
    Panicked,
    /// The stream's client has gone, or the daemon stops.
    Dropped(Closed),
}

/// Carries out the call in a message and answers it.
pub(super) async fn handle(connection: &mut Connection, message: Message) -> Flow {
    let Connection {
        line, inbox, fds, ..
    } = connection;
    let shared = Arc::clone(&line.shared);
    let text = inbox.bytes(message);
    let Ok(head) = CallHead::parse(text) else {
        line.refuse(errors::MALFORMED, &[("reason", "not a Varlink call")])
            .await?;
        return Err(Closed::Malformed);
    };
    let silent = head.oneway == Some(true);
    let started = Instant::now();
    let found = match find(&shared, &head) {
        Ok(found) => found,
        Err(refusal) => return line.answer_refusal(&refusal, silent).await,
    };
    let caller = line.caller(found.method);
    let arrived = std::mem::take(fds);
    let admitted = admit(line, found, caller, &head, arrived.len());
    let mut admitted = match admitted {
        Ok(admitted) => admitted,
        Err((caller, refusal)) => {
            line.record_refusal(&caller, &refusal, started);
            return line.answer_refusal(&refusal, silent).await;
        }
    };
    let _turn = line.turn(&shared, found.method).await?;
    let queue = found.method.streams.then(|| {
        let limits = &shared.limits;
        Queue::new(limits.queue, limits.message)
    });
    let parameters = std::mem::take(&mut admitted.parameters);
    let call = Call {
        caller: &admitted.caller,
        method: found.method,
        parameters,
        fds: arrived,
        queue: queue.clone(),
        form: Form::Text(std::mem::take(&mut line.spare)),
    };
    let running = found.service.call(found.at, call);
    let ended = match &queue {
        None => line.carry_out(running, found.method.timeout).await,
        Some(queue) => line.stream(running, found.method.timeout, queue).await,
    };
    line.record(&admitted, &ended, started);
    line.answer(ended, &admitted.caller, queue.as_deref(), silent)
        .await
}

/// The method that a call names.
fn find<'a>(shared: &'a Shared, head: &CallHead<'_>) -> Result<Found<'a>, Refusal> {
    let name = &*head.method;
    let Some(found) = shared.registry.find(name) else {
        let interface = name
            .rsplit_once('.')
            .map_or(name, |(interface, _)| interface);
        return Err(if shared.registry.has_interface(interface) {
            Refusal::NoMethod(name.to_owned())
        } else {
            Refusal::NoInterface(interface.to_owned())
        });
    };
    if head.upgrade == Some(true) {
        return Err(Refusal::NotImplemented(name.to_owned()));
    }
    Ok(found)
}

/// Decides whether the call is let in: first who calls, then what they say.
fn admit<'a>(
    line: &Line,
    found: Found<'a>,
    caller: Caller,
    head: &CallHead<'a>,
    fds: usize,
) -> Result<Admitted<'a>, (Caller, Refusal)> {
    if let Err(refusal) = authorize(line, found, &caller) {
        return Err((caller, refusal));
    }
    if found.method.streams && head.more != Some(true) {
        return Err((caller, Refusal::ExpectedMore));
    }
    match parameters(found, head.parameters, fds) {
        Ok(parameters) => Ok(Admitted {
            shown: audit::shown(found.method, &parameters),
            found,
            caller,
            parameters,
        }),
        Err(invalid) => Err((caller, Refusal::Invalid(invalid))),
    }
}

fn authorize(line: &Line, found: Found<'_>, caller: &Caller) -> Result<(), Refusal> {
    let method = found.method;
    let subject = Subject {
        peer: &line.peer,
        owner: found.service.owner(),
        groups: &line.shared.groups,
    };
    if !method.access.allows(&subject) {
        let reason = format!("only {} may call it", method.access);
        return Err(Refusal::Denied(reason));
    }
    match &line.shared.narrow {
        Some(narrow) => match narrow(caller, method) {
            Decision::Allow => Ok(()),
            Decision::Deny(reason) => Err(Refusal::Denied(reason)),
        },
        None => Ok(()),
    }
}

fn parameters<'a>(
    found: Found<'_>,
    text: Option<&'a RawValue>,
    fds: usize,
) -> Result<Parameters<'a>, Invalid> {
    let parameters = match text.map(Parameters::of_text) {
        None => Parameters::default(),
        Some(Ok(parameters)) => parameters,
        Some(Err(Unreadable::Invalid(invalid))) => return Err(invalid),
        Some(Err(Unreadable::Syntax(reason))) => return Err(Invalid::new("parameters", reason)),
    };
    let method = found.method;
    parameters.only(method.parameters)?;
    let (least, most) = (usize::from(method.fds_least), usize::from(method.fds_most));
    if fds < least || fds > most {
        let reason = format!("{fds} descriptors came with the call, which takes {least} to {most}");
        return Err(Invalid::new("fds", reason));
    }
    Ok(parameters)
}

impl Line {
    async fn refuse(&self, name: &str, parameters: &[(&str, &str)]) -> Flow {
        let mut text = Vec::new();
        output::error(&mut text, name, parameters);
        self.write(&text).await
    }

    async fn answer_refusal(&self, refusal: &Refusal, silent: bool) -> Flow {
        if silent {
            return Ok(());
        }
        match refusal {
            Refusal::NoInterface(interface) => {
                self.refuse(errors::INTERFACE_NOT_FOUND, &[("interface", interface)])
                    .await
            }
            Refusal::NoMethod(method) => {
                self.refuse(errors::METHOD_NOT_FOUND, &[("method", method)])
                    .await
            }
            Refusal::NotImplemented(method) => {
                self.refuse(errors::METHOD_NOT_IMPLEMENTED, &[("method", method)])
                    .await
            }
            Refusal::Denied(reason) => {
                self.refuse(errors::PERMISSION_DENIED, &[("reason", reason)])
                    .await
            }
            Refusal::ExpectedMore => self.refuse(errors::EXPECTED_MORE, &[]).await,
            Refusal::Invalid(invalid) => self.refuse_invalid(invalid).await,
        }
    }

    async fn refuse_invalid(&self, invalid: &Invalid) -> Flow {
        let fields = [
            ("parameter", invalid.parameter.as_str()),
            ("reason", invalid.reason.as_str()),
        ];
        self.refuse(errors::INVALID_PARAMETER, &fields).await
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

    async fn answer(
        &mut self,
        ended: Ended,
        caller: &Caller,
        queue: Option<&Queue>,
        silent: bool,
    ) -> Flow {
        let answer = match ended {
            Ended::Dropped(Closed::Stopping) => {
                // The stream's end, said properly.
                self.refuse(errors::SHUTDOWN, &[]).await?;
                return Err(Closed::Stopping);
            }
            Ended::Dropped(why) => return Err(why),
            _ if silent => return Ok(()),
            Ended::Invalid(invalid) => return self.refuse_invalid(&invalid).await,
            Ended::Timeout => return self.refuse(errors::TIMEOUT, &[]).await,
            Ended::Panicked => return self.refuse_broken(caller).await,
            Ended::Answered(answer) => answer,
        };
        match answer.verdict {
            Verdict::Unwritable => return self.refuse_broken(caller).await,
            // The last event was the answer.
            Verdict::Replied if queue.is_some_and(Queue::has_last) => return Ok(()),
            Verdict::Replied | Verdict::Fault(_) => {}
        }
        let Form::Text(mut text) = answer.form else {
            return self.refuse_broken(caller).await;
        };
        self.write_with_fds(&text, answer.fds).await?;
        text.clear();
        self.spare = text;
        Ok(())
    }

    async fn refuse_broken(&self, caller: &Caller) -> Flow {
        let mut text = Vec::new();
        let id = caller.id();
        let form = output::error_form(Form::Text(text), errors::INTERNAL, |fields| {
            fields.put("id", &id);
        });
        text = match form {
            Ok(Form::Text(text)) => text,
            _ => return Err(Closed::Broken),
        };
        self.write(&text).await
    }

    fn record_refusal(&self, caller: &Caller, refusal: &Refusal, started: Instant) {
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

    fn record(&self, admitted: &Admitted<'_>, ended: &Ended, started: Instant) {
        let outcome = match ended {
            Ended::Answered(answer) => match answer.verdict {
                Verdict::Replied => Outcome::Replied,
                Verdict::Fault(name) => Outcome::Fault(name),
                Verdict::Unwritable => Outcome::Broken,
            },
            Ended::Invalid(invalid) => Outcome::Invalid(invalid.parameter.clone()),
            Ended::Timeout => Outcome::Timeout,
            Ended::Panicked => Outcome::Broken,
            Ended::Dropped(_) => Outcome::Ended,
        };
        let broken = outcome == Outcome::Broken;
        if admitted.found.method.audit.is_some() || outcome.is_refusal() || broken {
            self.write_record(&admitted.caller, outcome, started, admitted.shown.clone());
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
