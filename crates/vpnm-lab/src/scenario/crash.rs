//! Dying everywhere: the control plane is made to abort at the first place it
//! comes to, then at the second, until it comes through; then it is aborted by
//! a signal, which comes between any two instructions.

use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use vpnm_world::Signal;

use crate::machine;
use crate::session::Session;

/// More places than there are on any way.
const MOST: u32 = 400;
/// Fewer than there are: before and after each effect and each change of the
/// kernel, from a host without rules to a tunnel.
const FEWEST: u32 = 30;
/// Lives that are ended from outside, and by how much each is longer.
const LIVES: u32 = 40;
const LONGER: Duration = Duration::from_millis(3);
/// How long a daemon that does not die may take to be connected.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an attacker, or a network manager, leaves of the routing: nothing of
/// ours. Who lives on has all of it to set up again. The filter is tried as well.
pub(super) const FLUSH: &str = "nft flush ruleset; \
    for t in inet netdev arp; do nft delete table $t vpnm; done; \
    ip rule flush; ip -6 rule flush; \
    ip rule add pref 32766 lookup main protocol kernel; \
    ip rule add pref 32767 lookup default protocol kernel; \
    ip -6 rule add pref 32766 lookup main protocol kernel; \
    ip route flush table 7670; ip -6 route flush table 7670; true";

/// Kills the daemon at every place on its way from the journal to a tunnel, then
/// at any time between them, and leaves it running.
pub(super) fn everywhere(session: &mut Session) -> Result<()> {
    session.kill_daemon()?;
    let places = at_every_place(session)?;
    ensure!(places > FEWEST, "no more than {places} places to die at");
    at_any_time(session)?;
    session.start_daemon()
}

/// Lets it abort at the first place, at the second, until it comes through;
/// returns how many places there were.
fn at_every_place(session: &mut Session) -> Result<u32> {
    for point in 1..MOST {
        machine::shell(session.client(), FLUSH)?;
        session.launch_daemon(&[("VPNM_FAILPOINT", &point.to_string())])?;
        let start = Instant::now();
        loop {
            if let Some(status) = session.end_of_daemon(Duration::from_millis(20))? {
                let signal = status.signal();
                ensure!(
                    signal == Some(Signal::ABORT.as_raw()),
                    "place {point}: the daemon ended with {status}"
                );
                break;
            }
            if session.state().is_ok_and(|state| state == "connected") {
                session.kill_daemon()?;
                return Ok(point - 1);
            }
            if start.elapsed() > PATIENCE {
                bail!("place {point}: the daemon neither dies nor connects");
            }
        }
    }
    bail!("more than {MOST} places");
}

/// Aborts it from outside, each life a little longer than the last.
fn at_any_time(session: &mut Session) -> Result<()> {
    for life in 0..LIVES {
        machine::shell(session.client(), FLUSH)?;
        session.launch_daemon(&[])?;
        thread::sleep(LONGER * life);
        session.signal_daemon(Signal::ABORT)?;
        let status = session.end_of_daemon(PATIENCE)?;
        ensure!(
            status.is_some_and(|status| status.signal() == Some(Signal::ABORT.as_raw())),
            "life {life}: the daemon ended with {status:?}"
        );
    }
    Ok(())
}
