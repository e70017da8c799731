//! What each user has of the daemon.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::limits::Limits;
use crate::peer::Peer;
use crate::rate::{Pace, Rate};

/// Connections and paces of all users.
#[derive(Debug, Default)]
pub(super) struct Users {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connections: usize,
    users: HashMap<u32, User>,
}

#[derive(Debug, Default)]
struct User {
    connections: usize,
    /// Its calls; a user who comes back finds it as it was.
    pace: Pace,
    /// Its calls of methods with a rate of their own.
    methods: HashMap<&'static str, Pace>,
}

impl User {
    fn is_forgettable(&self, now: Duration) -> bool {
        self.connections == 0
            && self.pace.is_rested(now)
            && self.methods.values().all(|pace| pace.is_rested(now))
    }
}

/// A connection that counts while this lives.
#[derive(Debug)]
pub(super) struct Admission {
    users: Arc<Users>,
    uid: u32,
}

/// How many users are remembered before those with nothing to remember go.
const MANY: usize = 64;

impl Users {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in if its user may have one more.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: &Peer,
        limits: &Limits,
        now: Duration,
    ) -> Option<Admission> {
        let mut state = self.lock();
        if state.users.len() >= MANY {
            state.users.retain(|_, user| !user.is_forgettable(now));
        }
        let mine = state
            .users
            .get(&peer.uid)
            .map_or(0, |user| user.connections);
        let (most, most_mine) = if peer.is_root() {
            (limits.conns, limits.conns)
        } else {
            let open = limits.conns.saturating_sub(limits.root_reserve);
            (open, limits.conns_per_uid)
        };
        if state.connections >= most || mine >= most_mine {
            return None;
        }
        state.connections += 1;
        state.users.entry(peer.uid).or_default().connections += 1;
        Some(Admission {
            users: Arc::clone(self),
            uid: peer.uid,
        })
    }

    /// Takes a turn at the rate of all calls: how long to wait for it.
    pub(super) fn pace(&self, uid: u32, rate: Rate, now: Duration) -> Duration {
        let mut state = self.lock();
        state.users.entry(uid).or_default().pace.take(rate, now)
    }

    /// Takes a turn at a method's rate: how long to wait for it.
    pub(super) fn pace_method(
        &self,
        uid: u32,
        method: &'static str,
        rate: Rate,
        now: Duration,
    ) -> Duration {
        let mut state = self.lock();
        let user = state.users.entry(uid).or_default();
        user.methods.entry(method).or_default().take(rate, now)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut state = self.users.lock();
        state.connections = state.connections.saturating_sub(1);
        if let Some(user) = state.users.get_mut(&self.uid) {
            user.connections = user.connections.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(9);

    fn limits() -> Limits {
        Limits {
            conns: 6,
            conns_per_uid: 3,
            root_reserve: 2,
            ..Limits::default()
        }
    }

    #[test]
    fn nobody_takes_what_is_kept_for_others() {
        let users = Arc::new(Users::default());
        let admit = |uid| users.admit(&Peer::uid(uid), &limits(), NOW);
        let mine: Vec<_> = (0..5).filter_map(|_| admit(1000)).collect();
        assert_eq!(mine.len(), 3, "the user's limit");
        let _theirs = admit(1001).expect("the limit of all is not reached");
        assert!(admit(1002).is_none(), "root's reserve stays free");
        let _root = [admit(0), admit(0)].map(|one| one.expect("root's reserve"));
        assert!(admit(0).is_none(), "the limit of all");
        drop(mine);
        assert!(admit(1000).is_some(), "what is closed no longer counts");
    }

    #[test]
    fn a_foreign_root_has_no_reserve() {
        let users = Arc::new(Users::default());
        let foreign = Peer::uid(0).pid(0);
        let mut let_in = Vec::new();
        for _ in 0..9 {
            let_in.extend(users.admit(&foreign, &limits(), NOW));
        }
        assert_eq!(let_in.len(), 3);
    }

    #[test]
    fn to_reconnect_does_not_reset_the_pace() {
        let users = Arc::new(Users::default());
        let rate = Rate::per_sec(1).burst(1);
        let first = users.admit(&Peer::uid(7), &limits(), NOW);
        assert_eq!(users.pace(7, rate, NOW), Duration::ZERO);
        drop(first);
        for uid in 100..300 {
            drop(users.admit(&Peer::uid(uid), &limits(), NOW));
        }
        assert_eq!(users.pace(7, rate, NOW), Duration::from_secs(1));
        assert!(
            users.lock().users.len() <= MANY + 1,
            "and the rest is forgotten"
        );
    }
}
