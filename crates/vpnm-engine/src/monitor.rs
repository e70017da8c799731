//! Watches the way out: collects evidence, settles doubt by probes, tells the daemon.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use vpnm_api::engine::Health;
use vpnm_api::{Code, Failure};

use crate::check;
use crate::doh::Endpoint;
use crate::exit::Exit;
use crate::health::{PROBE_AGAIN, PROBE_EVERY, Verdict, Vitals};

/// The health and what made it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The judgement.
    pub health: Health,
    /// Why, unless it is up.
    pub cause: Option<Failure>,
}

/// The shell of [`Vitals`].
#[derive(Debug)]
pub struct Monitor {
    vitals: RefCell<Vitals>,
    condition: watch::Sender<Condition>,
    exit: Rc<Exit>,
    endpoints: Rc<[Endpoint]>,
    probing: RefCell<Option<AbortHandle>>,
    own: Weak<Self>,
}

impl Monitor {
    /// A monitor that probes the exit by these resolvers.
    #[must_use]
    pub fn new(exit: Rc<Exit>, endpoints: Rc<[Endpoint]>) -> Rc<Self> {
        let healthy = Condition {
            health: Health::Up,
            cause: None,
        };
        Rc::new_cyclic(|own| Self {
            vitals: RefCell::new(Vitals::new(Duration::ZERO, Instant::now())),
            condition: watch::Sender::new(healthy),
            exit,
            endpoints,
            probing: RefCell::default(),
            own: own.clone(),
        })
    }

    /// The health from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// A new outbound stands, verified in `usual`, or there is none: what was before is void.
    pub fn reset(&self, usual: Duration) {
        if let Some(probing) = self.probing.take() {
            probing.abort();
        }
        self.vitals.replace(Vitals::new(usual, Instant::now()));
        let healthy = Condition {
            health: Health::Up,
            cause: None,
        };
        self.condition.send_if_modified(|condition| {
            let changed = *condition != healthy;
            condition.clone_from(&healthy);
            changed
        });
    }

    /// Something came back.
    pub fn answered(&self) {
        let verdict = self.vitals.borrow_mut().on_answer(Instant::now());
        self.announce(verdict);
    }

    /// Something failed that may be the outbound's fault.
    pub fn doubt(&self) {
        let begin = self.vitals.borrow_mut().on_doubt(Instant::now());
        let Some(own) = self.own.upgrade().filter(|_| begin) else {
            return;
        };
        let task = tokio::task::spawn_local(async move { own.probe_until_settled().await });
        self.probing.replace(Some(task.abort_handle()));
    }

    /// Works, and doubts the outbound when that takes long.
    pub async fn impatiently<F: Future>(&self, work: F) -> F::Output {
        let patience = self.vitals.borrow().doubt_after();
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(patience, &mut work).await {
            Ok(output) => output,
            Err(_) => {
                self.doubt();
                work.await
            }
        }
    }

    /// Doubts a tunnel that nobody uses from time to time; never ends.
    pub async fn watch_idle(&self) {
        loop {
            self.exit.stands().await;
            let idle_in = self.vitals.borrow().idle_in(Instant::now());
            // One probe at a time: while it takes, and after it failed, there is doubt.
            tokio::time::sleep(idle_in.max(PROBE_EVERY)).await;
            if self.vitals.borrow().idle_in(Instant::now()).is_zero() {
                self.doubt();
            }
        }
    }

    async fn probe_until_settled(&self) {
        loop {
            match self.probe().await {
                None => break,
                Some(Ok(())) => {
                    self.answered();
                    break;
                }
                Some(Err(failure)) => {
                    tracing::debug!(%failure, "a probe of the tunnel failed");
                    let verdict = self.vitals.borrow_mut().on_probe_failed(failure);
                    self.announce(verdict);
                }
            }
            let is_down = self.vitals.borrow().health() == Health::Down;
            let pause: Duration = if is_down {
                PROBE_EVERY * 3
            } else {
                PROBE_AGAIN
            };
            tokio::time::sleep(pause).await;
        }
        self.vitals.borrow_mut().on_probes_end();
    }

    /// One probe; `None` when the outbound was replaced or there is none.
    async fn probe(&self) -> Option<Result<(), Failure>> {
        let mut lease = self.exit.lease()?;
        let outbound = lease.outbound.clone();
        lease
            .run(self.judge(check::verify(&outbound, &self.endpoints)))
            .await
    }

    async fn judge<T>(
        &self,
        probe: impl Future<Output = Result<T, Failure>>,
    ) -> Result<(), Failure> {
        let mut probe = std::pin::pin!(probe);
        let (late_after, limit) = {
            let vitals = self.vitals.borrow();
            (vitals.doubt_after(), vitals.probe_limit())
        };
        if let Ok(result) = tokio::time::timeout(late_after, &mut probe).await {
            return result.map(drop);
        }
        let late = || Failure::new(Code::NoAnswer, "answers are late");
        let verdict = self.vitals.borrow_mut().on_probe_late(late());
        self.announce(verdict);
        match tokio::time::timeout(limit - late_after, probe).await {
            Ok(result) => result.map(drop),
            Err(_) => Err(late()),
        }
    }

    fn announce(&self, verdict: Verdict) {
        let Verdict::Changed(health, cause) = verdict else {
            return;
        };
        tracing::info!(?health, "the tunnel's health changed");
        self.condition.send_replace(Condition { health, cause });
    }
}
