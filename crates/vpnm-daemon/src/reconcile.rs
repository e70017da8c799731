//! What others do to the host, told to the machine, which then reads it back.
//!
//! Level-triggered: an event says only that something may differ. What differs,
//! and what is to be done about it, comes out of comparing the whole host with
//! what it should be; the machine does so every 30 seconds in any case.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use vpnm_api::Note;
use vpnm_host::{Change, HostError, Watch};

use crate::clock;
use crate::tsm::Event;
use crate::uplink::{Loss, Uplink};

/// Changes come in bursts: a firewall is flushed and loaded, a link gets its
/// addresses. So long after the first of them everything is looked at once.
const BURST: Duration = Duration::from_millis(10);
/// Bursts that may wait; while they do, the kernel keeps what comes.
const WAITING: usize = 4;
/// After notifications could not be read.
const PAUSE: Duration = Duration::from_secs(1);

/// The kinds of change in each burst.
pub(crate) type Changes = Receiver<Vec<Change>>;

/// Subscribes to the kernel's notifications, on a thread that waits for them; it
/// ends with the process.
pub(crate) fn subscribe() -> Result<Changes, SubscribeError> {
    let watch = Watch::open()?;
    let (told, changes) = channel(WAITING);
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || tell(watch, &told))?;
    Ok(changes)
}

/// Notifications that never come, where the kernel's cannot be had.
pub(crate) fn silence() -> Changes {
    channel(1).1
}

/// Why the kernel's notifications cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    /// The kernel refuses them.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is no thread to wait for them.
    #[error("cannot start a thread")]
    Thread(#[from] io::Error),
}

fn tell(mut watch: Watch, told: &Sender<Vec<Change>>) {
    let mut jump = clock::jump();
    if let Err(error) = &jump {
        tracing::warn!(%error, "the end of sleep is noticed late");
    }
    loop {
        let waited = wait(&watch, jump.as_ref().ok());
        let read = read_burst(&mut watch, told);
        let changes = match (waited, read) {
            (Ok(jumped), Ok(mut changes)) => {
                if jumped {
                    // What happened in sleep was told to nobody.
                    changes.push(Change::Overflow);
                    jump = clock::jump();
                }
                changes
            }
            (Err(rustix::io::Errno::INTR), _) => continue,
            (waited, read) => {
                tracing::warn!(?waited, ?read, "changes of the host are not told");
                thread::sleep(PAUSE);
                vec![Change::Overflow]
            }
        };
        if !changes.is_empty() && told.blocking_send(changes).is_err() {
            return;
        }
    }
}

/// The changes of a burst. Of an interface with a new name the machine hears at once:
/// nothing stops raw frames on it until the packet filter names it.
fn read_burst(watch: &mut Watch, told: &Sender<Vec<Change>>) -> Result<Vec<Change>, HostError> {
    let mut changes = watch.read()?;
    if changes.contains(&Change::Name) {
        changes.retain(|change| *change != Change::Name);
        // If nobody listens any more, the burst itself will tell.
        let _gone = told.blocking_send(vec![Change::Name]);
    }
    thread::sleep(BURST);
    changes.extend(watch.read()?);
    changes.sort_unstable();
    changes.dedup();
    Ok(changes)
}

/// Waits for a notification, or for the clock to jump, which is true.
fn wait(watch: &Watch, jump: Option<&OwnedFd>) -> rustix::io::Result<bool> {
    let watch = watch.as_fd();
    let mut waited = vec![PollFd::new(&watch, PollFlags::IN)];
    waited.extend(jump.map(|jump| PollFd::new(jump, PollFlags::IN)));
    poll(&mut waited, None)?;
    let jump = waited.get(1);
    Ok(jump.is_some_and(|jump| jump.revents().contains(PollFlags::IN)))
}

/// What a burst of changes means to the machine.
pub(crate) fn drift(changes: &[Change]) -> Event {
    let names: Vec<&str> = changes.iter().map(|change| name(*change)).collect();
    Event::Drift(Note::new(&names.join(", ")))
}

/// Whether the network below the tunnel may be another after these.
pub(crate) fn concerns_uplink(changes: &[Change]) -> bool {
    changes.iter().any(|change| match change {
        Change::Link | Change::Address | Change::Route | Change::Overflow => true,
        Change::Name | Change::Rule | Change::Setting | Change::Filter => false,
    })
}

fn name(change: Change) -> &'static str {
    match change {
        Change::Name => "interfaces",
        Change::Link => "links",
        Change::Address => "addresses",
        Change::Route => "routes",
        Change::Rule => "rules",
        Change::Setting => "settings",
        Change::Filter => "firewall",
        Change::Overflow => "events were lost",
    }
}

/// The addresses that connections through the tunnel's server began with, if that could be
/// found out.
pub(crate) type Used = Option<BTreeSet<IpAddr>>;

/// Compares each look at the network below the tunnel with the one before.
#[derive(Debug, Default)]
pub(crate) struct Roaming {
    last_up: Option<Uplink>,
    went: bool,
}

/// What a look means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// To the machine.
    pub(crate) event: Option<Event>,
    /// To connections from these addresses: they lead nowhere.
    pub(crate) stranded: BTreeSet<IpAddr>,
}

impl Roaming {
    /// What this look means, while the tunnel leads to `server`.
    pub(crate) fn look(&mut self, uplink: Uplink, server: Option<IpAddr>, used: &Used) -> Sight {
        if !uplink.is_up() {
            self.went = true;
            return Event::NetworkGone.into();
        }
        let went = std::mem::take(&mut self.went);
        let Some(before) = self.last_up.replace(uplink.clone()) else {
            return went.then_some(Event::NetworkBack).into();
        };
        match uplink.loses(&before, server, used.as_ref()) {
            Loss::Everything => Event::NetworkChanged.into(),
            Loss::Part(stranded) => Sight {
                event: Some(Event::NetworkBack),
                stranded,
            },
            Loss::Nothing => {
                let is_idle = used.as_ref().is_some_and(BTreeSet::is_empty);
                let is_back = went
                    || uplink.opens(&before, server)
                    || uplink.is_another_way(&before, server)
                    || is_idle && uplink.is_moved(&before, server);
                is_back.then_some(Event::NetworkBack).into()
            }
        }
    }
}

impl From<Event> for Sight {
    fn from(event: Event) -> Self {
        Some(event).into()
    }
}

impl From<Option<Event>> for Sight {
    fn from(event: Option<Event>) -> Self {
        Self {
            event,
            stranded: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> BTreeSet<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn only_another_network_is_a_change() {
        let home = Uplink::on(&[(2, "192.0.2.7")]);
        let road = Uplink::on(&[(3, "198.51.100.9")]);
        let mut roaming = Roaming::default();
        let mut look = |uplink: &Uplink| roaming.look(uplink.clone(), None, &None).event;
        assert_eq!(look(&home), None, "the first look");
        assert_eq!(look(&home), None);
        assert_eq!(look(&Uplink::default()), Some(Event::NetworkGone));
        assert_eq!(look(&home), Some(Event::NetworkBack));
        assert_eq!(look(&road), Some(Event::NetworkChanged));
        assert_eq!(look(&Uplink::default()), Some(Event::NetworkGone));
        assert_eq!(look(&home), Some(Event::NetworkChanged));
    }

    #[test]
    fn what_goes_unused_is_nothing_and_what_is_used_costs_what_used_it() {
        let home = Uplink::on(&[(2, "192.0.2.7")]);
        let more = Uplink::on(&[(2, "192.0.2.7"), (2, "192.0.2.8")]);
        let look = |used: &[&str]| {
            let (mut roaming, used) = (Roaming::default(), Some(addresses(used)));
            roaming.look(more.clone(), None, &used);
            roaming.look(home.clone(), None, &used)
        };
        assert_eq!(look(&["192.0.2.7"]), Sight::default());
        assert_eq!(look(&["192.0.2.8"]), Event::NetworkChanged.into());
        let both = look(&["192.0.2.7", "192.0.2.8"]);
        assert_eq!(both.event, Some(Event::NetworkBack));
        assert_eq!(both.stranded, addresses(&["192.0.2.8"]));
        // Nobody can say whether what comes next works.
        assert_eq!(look(&[]), Event::NetworkBack.into());
    }

    #[test]
    fn another_way_is_looked_at_though_all_goes_on() {
        let home = Uplink::on(&[(2, "192.0.2.7")]);
        let both = Uplink::on(&[(2, "192.0.2.7"), (3, "198.51.100.9")]);
        let mut roaming = Roaming::default();
        let used = Some(addresses(&["192.0.2.7"]));
        roaming.look(home, None, &used);
        let sight = roaming.look(both, None, &used);
        assert_eq!(sight, Event::NetworkBack.into());
    }

    #[test]
    fn a_start_without_a_network_ends_with_its_coming() {
        let mut roaming = Roaming::default();
        assert_eq!(
            roaming.look(Uplink::default(), None, &None).event,
            Some(Event::NetworkGone)
        );
        assert_eq!(
            roaming
                .look(Uplink::on(&[(2, "192.0.2.7")]), None, &None)
                .event,
            Some(Event::NetworkBack)
        );
    }

    #[test]
    fn rules_and_filter_do_not_concern_the_uplink() {
        assert!(!concerns_uplink(&[Change::Rule, Change::Filter]));
        assert!(concerns_uplink(&[Change::Rule, Change::Overflow]));
    }
}
