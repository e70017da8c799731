//! The shell: reads the host, carries plans out, reads back.

mod backstop;
mod carry_out;
mod foreign;
mod late;
mod probe;
mod read;
mod shadow;

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::desired::Desired;
use crate::effect::Effect;
use crate::error::{ApplyError, HostError, ReachError};
use crate::firewall::{self, Capabilities};
use crate::former::FormerNames;
use crate::names::REPLY_MARK;
use crate::netlink::{Failure, Protocol, Socket};
use crate::nft::Table;
use crate::observed::{Circumstances, Observed};
use crate::plan::{Plan, plan_with};

use late::Late;
use shadow::Shadow;

pub use backstop::backstop;
pub use foreign::Foreign;
pub use read::look;

/// How often a plan that others overtook is made anew.
const ATTEMPTS: usize = 10;
/// Time between two attempts, and so for a predecessor that was killed to let go of
/// the packet filter's tables.
const PAUSE: Duration = Duration::from_millis(20);

/// A place between two effects of a plan, where a test may stop or kill.
#[derive(Debug, Clone, Copy)]
pub enum Point<'a> {
    /// The effect has not begun.
    Before(&'a Effect),
    /// The effect is complete.
    After(&'a Effect),
}

/// Told before and after every effect; `false` stops the plan there.
pub trait Progress {
    /// Returns whether to go on.
    fn at(&mut self, point: Point<'_>) -> bool;
}

impl<F: FnMut(Point<'_>) -> bool> Progress for F {
    fn at(&mut self, point: Point<'_>) -> bool {
        self(point)
    }
}

/// The kernel's state in the network namespace of the thread that opened it; use it
/// from threads in the same namespace only.
///
/// Every method blocks: for a few milliseconds as a rule, with as many routes as a full
/// table of the internet's for longer. [`Host::apply`] waits besides until packets to a new
/// address are delivered, at most a quarter of a second for each of the two and not again
/// within 10 seconds; [`Host::reach`] waits 20 ms before each of at most nine attempts more
/// when others changed the host meanwhile. While a `Host` lives it owns the
/// packet filter's tables (on kernels that know ownership): nobody else can change
/// them. When it is dropped, or its process killed, the tables stay, and the next
/// `Host` adopts them; until then anybody with the right to can change them, unless
/// somebody holds a duplicate of [`Host::owning_socket`].
#[derive(Debug)]
pub struct Host {
    route: Socket,
    filter: Socket,
    capabilities: Capabilities,
    /// As they were at the last look.
    circumstances: Option<Circumstances>,
    /// Links that were seen to lead out: whoever is there decides about routes and
    /// addresses, so their absence proves nothing.
    uplinks: BTreeSet<u32>,
    /// The names they had.
    names: FormerNames,
    /// Addresses of the tunnel link that nothing was delivered to at the last look.
    late: Late,
    /// The mark on answers for hosts behind this one, unless tables are in place.
    answer_mark: u32,
    shadow: Option<Shadow>,
}

impl Host {
    /// Opens the netlink sockets and learns what this kernel can do; changes nothing.
    ///
    /// # Errors
    /// [`HostError`] when a socket cannot be opened or the permission is missing.
    pub fn open() -> Result<Self, HostError> {
        Self::open_with(None, Capabilities::ALL)
    }

    /// Goes on with the [`Host::owning_socket`] of one that is gone, and so as the owner
    /// of the tables it had: they are nobody's at no time.
    ///
    /// # Errors
    /// As [`Host::open`]; [`HostError::Unfit`] when it is no such socket, or one of
    /// another network namespace.
    pub fn take_over(kept: OwnedFd) -> Result<Self, HostError> {
        Self::open_with(Some(kept), Capabilities::ALL)
    }

    /// As [`Host::open`] or [`Host::take_over`], on a kernel that is taken to go no further
    /// than `most`: an older kernel's way can be tried on any.
    ///
    /// # Errors
    /// As those.
    pub fn open_with(kept: Option<OwnedFd>, most: Capabilities) -> Result<Self, HostError> {
        let (route, mut filter) = (opened(Protocol::Route)?, opened(Protocol::Netfilter)?);
        let capabilities = probe::capabilities(&mut filter)
            .map_err(|failure| failure.during("use the packet filter (nf_tables)"))?
            .at_most(most);
        tracing::debug!(?capabilities, "opened the host");
        let kept = kept.map(|kept| continued(&filter, kept)).transpose()?;
        let mut shadow = None;
        if has_shadow(capabilities) {
            let socket = kept.map_or_else(|| opened(Protocol::Netfilter), Ok)?;
            shadow = Some(Shadow::of(socket, capabilities));
        } else if let Some(kept) = kept {
            filter = kept;
        }
        Ok(Self {
            route,
            filter,
            capabilities,
            circumstances: None,
            uplinks: BTreeSet::new(),
            names: FormerNames::default(),
            late: Late::default(),
            answer_mark: draw_mark()?,
            shadow,
        })
    }

    /// How far the packet filter of this kernel goes.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The socket that owns the packet filter's tables, or where those cannot outlive it
    /// their copy; `None` where tables cannot be owned. Who holds a duplicate of it keeps
    /// others from changing them, for as long as it lives; without CAP_NET_ADMIN it can
    /// do nothing with it.
    #[must_use]
    pub fn owning_socket(&self) -> Option<BorrowedFd<'_>> {
        let filter = || self.capabilities.ownership.then(|| self.filter.as_fd());
        self.shadow.as_ref().map(Shadow::as_fd).or_else(filter)
    }

    /// Reads everything a plan is made from.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn observe(&mut self) -> Result<Observed, HostError> {
        let mut observed = read::observe(&mut self.route, &mut self.filter, self.capabilities)?;
        self.late.excuse(&mut observed.delivered, Instant::now());
        self.uplinks.extend(&observed.uplinks);
        self.uplinks.extend(observed.known_uplinks());
        // One that the kernel did not name may be named by now.
        self.uplinks.remove(&0);
        let present = observed.links.iter().map(|link| link.index);
        let remembered: Vec<u32> = present.filter(|link| self.uplinks.contains(link)).collect();
        observed.uplinks.extend(remembered);
        if self.circumstances.is_none() {
            self.names.learn(observed.known_names());
        }
        observed.former = self.names.absent(&observed.links, &observed.uplinks);
        if let Some(mark) = observed.mark_in_place() {
            self.answer_mark = mark;
        }
        observed.answer_mark = self.answer_mark;
        Ok(observed)
    }

    /// Carries a plan out, effect by effect, stopping at the first failure.
    ///
    /// # Errors
    /// [`ApplyError`]; what was done before stays done.
    pub fn apply(&mut self, plan: &Plan, progress: &mut dyn Progress) -> Result<(), ApplyError> {
        for effect in plan.effects() {
            let stopped = |when: &str| ApplyError::Stopped {
                at: format!("{when} {effect}"),
            };
            if !progress.at(Point::Before(effect)) {
                return Err(stopped("before"));
            }
            tracing::debug!(%effect, "changing the host");
            self.carry_out(effect)
                .map_err(|source| ApplyError::Effect {
                    effect: effect.to_string(),
                    source,
                })?;
            if !progress.at(Point::After(effect)) {
                return Err(stopped("after"));
            }
        }
        Ok(())
    }

    /// Reads back: fails unless the host is in the desired state.
    ///
    /// # Errors
    /// [`ReachError::Drift`] with what differs.
    pub fn verify(&mut self, desired: &Desired) -> Result<(), ReachError> {
        let (missing, _) = self.plan(desired)?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(ReachError::Drift {
            drift: missing.to_string(),
        })
    }

    /// Observes, plans, applies and verifies; returns the plan that was needed,
    /// which is empty when the host was in the desired state already.
    ///
    /// # Errors
    /// [`ReachError`].
    pub fn reach(
        &mut self,
        desired: &Desired,
        progress: &mut dyn Progress,
    ) -> Result<Plan, ReachError> {
        let mut done = Plan::default();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.attempt(desired, progress, &mut done) {
                Ok(()) => return Ok(done),
                Err(error) => error,
            };
            if attempt == ATTEMPTS || !is_overtaken(&error) {
                return Err(error);
            }
            tracing::debug!(%error, "the host changed meanwhile");
            thread::sleep(PAUSE);
        }
    }

    fn attempt(
        &mut self,
        desired: &Desired,
        progress: &mut dyn Progress,
        done: &mut Plan,
    ) -> Result<(), ReachError> {
        let (plan, tables) = self.plan(desired)?;
        let outcome = self.apply(&plan, progress);
        let is_new = plan.replaces_filter();
        done.append(plan);
        outcome?;
        if let Some(shadow) = &mut self.shadow {
            shadow.follow(&tables, is_new);
        }
        self.verify(desired)
    }

    /// Removes everything of ours, found by its reserved names.
    ///
    /// # Errors
    /// [`ReachError`]; [`HostError::Owned`] inside it while a daemon is running.
    pub fn cleanup(&mut self, progress: &mut dyn Progress) -> Result<Plan, ReachError> {
        self.reach(&Desired::Open, progress)
    }

    /// What has to be done, and the packet filter as it will be.
    fn plan(&mut self, desired: &Desired) -> Result<(Plan, Vec<Table>), ReachError> {
        let observed = self.observe().map_err(ReachError::Observe)?;
        let now = observed.circumstances();
        let before = self.circumstances.replace(now.clone());
        let tables = firewall::tables(desired, &observed.setting());
        let plan = plan_with(&observed, desired, &tables).map_err(ReachError::Plan)?;
        let plan = plan.adapting(before.is_some_and(|before| before != now));
        Ok((plan, tables))
    }
}

fn opened(protocol: Protocol) -> Result<Socket, HostError> {
    Socket::open(protocol, 0).map_err(|failure| failure.during("open a netlink socket"))
}

/// A socket like this one that was another process's, which is gone.
fn continued(like: &Socket, kept: OwnedFd) -> Result<Socket, HostError> {
    if !like.is_like(&kept) {
        return Err(HostError::Unfit);
    }
    let continued = Socket::take_over(kept, draw_mark()?);
    continued.map_err(|failure| failure.during("take over a netlink socket"))
}

/// Where others could flush the packet filter although tables can be owned.
fn has_shadow(capabilities: Capabilities) -> bool {
    capabilities.holding && !capabilities.ownership
}

/// A mark that nobody can know; answers to the engine have another.
fn draw_mark() -> Result<u32, HostError> {
    loop {
        let mut bytes = [0; 4];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| Failure::from(errno).during("draw a number"))?;
        let mark = u32::from_ne_bytes(bytes);
        if mark != 0 && mark != REPLY_MARK {
            return Ok(mark);
        }
    }
}

/// Whether somebody changed the host between reading and writing, so that another
/// look is worth it.
fn is_overtaken(error: &ReachError) -> bool {
    match error {
        ReachError::Drift { .. } | ReachError::Plan(HostError::Owned { .. }) => true,
        ReachError::Apply(ApplyError::Effect { source, .. }) => source.is_about_absence(),
        ReachError::Apply(ApplyError::Stopped { .. })
        | ReachError::Observe(_)
        | ReachError::Plan(_) => false,
    }
}

impl HostError {
    /// Whether something was missing, or there already.
    fn is_about_absence(&self) -> bool {
        let Self::Refused { source, .. } = self else {
            return false;
        };
        let errno = source.raw_os_error();
        matches!(
            errno,
            Some(libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::EEXIST)
        )
    }
}

/// A failure is no failure when it says that the work is done already.
fn unless(outcome: Result<(), Failure>, done: &[i32]) -> Result<(), Failure> {
    match outcome {
        Err(failure) if failure.errno().is_some_and(|errno| done.contains(&errno)) => Ok(()),
        other => other,
    }
}
