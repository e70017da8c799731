//! What is asked for.

use vpnm_api::{Code, Failure, ShareLink};

use super::effect::{Effect, Lane};
use super::event::{Command, CommandId, Output};
use super::facts::EngineFact;
use super::machine::{Attempt, Machine};
use super::record::Record;
use super::waiting::WaitsFor;

const BOTH: [WaitsFor; 2] = [WaitsFor::Up, WaitsFor::Down];
const ALL: [WaitsFor; 3] = [WaitsFor::Up, WaitsFor::Down, WaitsFor::Lockdown];

impl Machine {
    pub(super) fn on_command(&mut self, id: CommandId, command: Command) {
        if self.stopping {
            return self.refuse(id, Code::Stopping);
        }
        match command {
            Command::Connect(server) => self.on_connect(id, server),
            Command::Disconnect => self.on_disconnect(id),
            Command::Reconnect => self.on_reconnect(id),
            Command::Lockdown(on) => self.on_lockdown(id, on),
        }
    }

    fn refuse(&mut self, id: CommandId, code: Code) {
        self.out.push(Output::Reply(id, Err(code.into())));
    }

    fn on_connect(&mut self, id: CommandId, server: Option<ShareLink>) {
        let wish = self.wish();
        let Some(server) = server.or_else(|| wish.server.clone()) else {
            return self.refuse(id, Code::NoServer);
        };
        let record = Record {
            connect: true,
            lockdown: wish.lockdown,
            server: Some(server),
        };
        if record != *wish {
            self.supersede();
        }
        if self.want(id, WaitsFor::Up, record) && !self.is_connected() {
            self.try_again();
        }
    }

    fn on_disconnect(&mut self, id: CommandId) {
        let record = Record {
            connect: false,
            ..self.wish().clone()
        };
        if record != *self.wish() {
            self.supersede();
        }
        self.want(id, WaitsFor::Down, record);
    }

    fn on_reconnect(&mut self, id: CommandId) {
        let record = self.wish().clone();
        if !record.connect || record.server.is_none() {
            return self.refuse(id, Code::NoServer);
        }
        if self.want(id, WaitsFor::Up, record) {
            self.attempt.up_since = None;
            if let Some(outbound) = &mut self.facts.outbound {
                outbound.stale = true;
                outbound.lives = false;
            }
            self.try_again();
        }
    }

    fn on_lockdown(&mut self, id: CommandId, on: bool) {
        let record = Record {
            lockdown: on,
            ..self.wish().clone()
        };
        self.want(id, WaitsFor::Lockdown, record);
    }

    /// Notes what is wanted and who waits for it; whether it is on disk already.
    fn want(&mut self, id: CommandId, waits_for: WaitsFor, record: Record) -> bool {
        let known = self.pending.is_none() && record == self.record;
        if !known {
            self.pending = Some(record);
            self.wishes += 1;
        }
        self.waiting
            .push(id, waits_for, (!known).then_some(self.wishes));
        known
    }

    fn supersede(&mut self) {
        let failure = Failure::from(Code::Superseded);
        self.waiting.fail(&BOTH, &failure, &mut self.out);
    }

    /// The record is on disk: from now on it is what is wanted.
    pub(super) fn adopt(&mut self, record: Record) {
        self.pending.take_if(|pending| *pending == record);
        let old = std::mem::replace(&mut self.record, record);
        if self.record.goal() != old.goal() {
            self.facts.tried = None;
        }
        let nothing_newer = self.pending.is_none();
        let written = if nothing_newer {
            self.wishes
        } else {
            self.writing
        };
        self.waiting.remembered(written);
        if !self.record.connect {
            self.abandon_engine();
            self.attempt = Attempt::default();
            self.facts.checked = false;
        } else if !old.connect || old.server != self.record.server {
            if !matches!(self.lanes.running(Lane::Engine), Some(Effect::StartEngine)) {
                self.abandon_engine();
            }
            self.attempt = Attempt::default();
        } else if self.waiting.want_up() {
            self.try_again();
        }
    }

    /// The record could not be written: what was wanted before stays wanted.
    pub(super) fn forget(&mut self, failure: &Failure) {
        self.pending = None;
        self.waiting.forget(failure, &mut self.out);
    }

    /// Makes the next attempt now, whatever the last ones came to.
    pub(super) fn try_again(&mut self) {
        self.attempt.halted = None;
        self.attempt.retry_at = None;
    }

    /// Gives up what the engine is doing; it cannot be told to stop, so it will be stopped.
    pub(super) fn abandon_engine(&mut self) {
        if matches!(self.lanes.running(Lane::Engine), Some(Effect::StopEngine)) {
            return;
        }
        if self.lanes.abandon_engine().is_some() {
            self.facts.engine = EngineFact::Dirty;
        }
    }

    pub(super) fn on_stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.pending = None;
        // The last attempt is made anew, whatever the ones before came to.
        self.facts.host.failure = None;
        self.facts.host.retry_at = None;
        self.abandon_engine();
        let failure = Failure::from(Code::Stopping);
        self.waiting.fail(&ALL, &failure, &mut self.out);
    }
}
