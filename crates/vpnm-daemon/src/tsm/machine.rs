//! The machine's state and its one entry.

use std::net::IpAddr;

use vpnm_api::{Failure, Repairs};

use super::event::{Event, Output};
use super::facts::{EngineFact, Facts};
use super::holes::Holes;
use super::lanes::Lanes;
use super::moment::Moment;
use super::record::Record;
use super::waiting::Waiting;

/// What the machine must know and does not decide.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where the engine asks for a server's addresses before there is a tunnel.
    pub bootstrap: Holes,
}

/// What the journal said when the daemon started.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What is wanted.
    pub record: Record,
    /// Why the journal could not be read; `record` is then [`Record::unreadable`].
    pub unreadable: Option<Failure>,
    /// The TUN of the daemon before this one was taken over.
    pub tun: bool,
    /// Traffic is led into it.
    pub routed: bool,
}

/// The tunnel state machine; see the [module](super).
#[derive(Debug, Clone)]
pub struct Machine {
    pub(super) config: Config,
    /// What is wanted, and on disk.
    pub(super) record: Record,
    /// What is wanted from the moment on that it is on disk.
    pub(super) pending: Option<Record>,
    /// Number of the wish in `pending`, and of the one that is being written.
    pub(super) wishes: u64,
    pub(super) writing: u64,
    pub(super) facts: Facts,
    pub(super) attempt: Attempt,
    pub(super) lanes: Lanes,
    pub(super) waiting: Waiting,
    pub(super) repairs: Repairs,
    /// When the last of them was.
    pub(super) repaired_at: Option<Moment>,
    pub(super) stopping: bool,
    pub(super) out: Vec<Output>,
}

/// How far the way to the tunnel has been gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempt {
    /// Why no attempt is made until somebody asks for one.
    pub(super) halted: Option<Failure>,
    /// The tunnel to this server held before: losing it is no reason to give up.
    pub(super) was_up: bool,
    /// Attempts since the tunnel held.
    pub(super) count: u32,
    /// No attempt before this.
    pub(super) retry_at: Option<Moment>,
    /// Why the tunnel was lost, or the last attempt failed.
    pub(super) cause: Option<Failure>,
    /// The server's addresses, if its name was resolved.
    pub(super) resolved: Option<Vec<IpAddr>>,
    /// Since when the tunnel holds.
    pub(super) up_since: Option<Moment>,
}

impl Machine {
    /// A machine that knows what the journal said and nothing of the host.
    ///
    /// Nothing is ordered before the first [`step`](Self::step); give it
    /// [`Event::Timer`].
    #[must_use]
    pub fn new(config: Config, loaded: Loaded) -> Self {
        let attempt = Attempt {
            was_up: loaded.record.connect,
            halted: loaded.unreadable,
            ..Attempt::default()
        };
        let facts = Facts {
            tun: loaded.tun,
            adopted: loaded.tun && loaded.routed,
            ..Facts::default()
        };
        Self {
            config,
            record: loaded.record,
            pending: None,
            wishes: 0,
            writing: 0,
            facts,
            attempt,
            lanes: Lanes::default(),
            waiting: Waiting::default(),
            repairs: Repairs::default(),
            repaired_at: None,
            stopping: false,
            out: Vec::new(),
        }
    }

    /// Takes note of an event and says what is to be done now.
    pub fn step(&mut self, event: Event, now: Moment) -> Vec<Output> {
        self.pass_time(now);
        match event {
            Event::Command(id, command) => self.on_command(id, command),
            Event::Done(ticket, outcome) => self.on_done(ticket, outcome, now),
            Event::EngineExited(note) => self.on_engine_exited(note, now),
            Event::Health(health, cause) => self.on_health(health, cause, now),
            Event::TunLost => self.on_tun_lost(now),
            Event::Drift(_) => self.facts.host.stale = true,
            Event::Tried(leak) => self.on_tried(leak),
            Event::Untried => self.on_untried(),
            Event::NetworkChanged => self.on_network_changed(now),
            Event::NetworkGone => self.on_network_gone(now),
            Event::NetworkBack => self.on_network_back(now),
            Event::Stop => self.on_stop(),
            Event::Timer => {}
        }
        self.settle(now);
        std::mem::take(&mut self.out)
    }

    /// When to call [`step`](Self::step) with [`Event::Timer`], if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        let host = &self.facts.host;
        [self.attempt.retry_at, host.retry_at, host.refresh_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// What is known from now on of what the machine does not decide. An engine
    /// that runs was told otherwise: another takes its place at the next step.
    pub fn configure(&mut self, config: Config) {
        self.config = config;
        self.abandon_engine();
        if self.facts.engine == EngineFact::Running {
            self.facts.engine = EngineFact::Dirty;
        }
    }

    /// The server's address that was used last, as far as there was a tunnel.
    #[must_use]
    pub fn via(&self) -> Option<IpAddr> {
        self.facts.outbound.as_ref().map(|o| o.established.via)
    }

    /// What is wanted and on disk.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What will be wanted once it is on disk, or is wanted now.
    pub(super) fn wish(&self) -> &Record {
        self.pending.as_ref().unwrap_or(&self.record)
    }

    fn pass_time(&mut self, now: Moment) {
        let is_due = |at: &mut Moment| *at <= now;
        let host = &mut self.facts.host;
        let _ = self.attempt.retry_at.take_if(is_due);
        let _ = host.retry_at.take_if(is_due);
        if host.refresh_at.take_if(is_due).is_some() {
            host.stale = true;
        }
    }

    /// Orders what is to be done, notes what has been reached, answers who waited for it.
    fn settle(&mut self, now: Moment) {
        self.order();
        if self.attempt.up_since.is_none() && self.is_connected() {
            self.attempt.up_since = Some(now);
            self.attempt.was_up = true;
            self.attempt.cause = None;
        }
        self.answer();
    }
}
