//! Dying everywhere: the control plane is made to abort at the first place it
//! comes to, then at the second, until it comes through.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::machine;
use crate::session::Session;

/// More places than there are on any way.
const MOST: u32 = 400;
/// How long a daemon that does not die may take to be connected.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an attacker, or a network manager, leaves of the routing: nothing of
/// ours. Each life has all of it to set up again.
const FLUSH: &str = "ip rule flush; ip -6 rule flush; \
    ip rule add pref 32766 lookup main protocol kernel; \
    ip rule add pref 32767 lookup default protocol kernel; \
    ip -6 rule add pref 32766 lookup main protocol kernel; \
    ip route flush table 7670; ip -6 route flush table 7670; true";

/// Kills the daemon at every place on its way from the journal to a tunnel, and
/// leaves it running after the last.
pub(super) fn everywhere(session: &mut Session) -> Result<u32> {
    session.kill_daemon()?;
    for point in 1..MOST {
        machine::shell(session.client(), FLUSH)?;
        session.launch_daemon(&[("VPNM_FAILPOINT", &point.to_string())])?;
        let start = std::time::Instant::now();
        loop {
            if session.wait_for_daemon(Duration::from_millis(20))? {
                break;
            }
            if session.state().is_ok_and(|state| state == "connected") {
                session.kill_daemon()?;
                session.start_daemon()?;
                return Ok(point);
            }
            if start.elapsed() > PATIENCE {
                bail!("place {point}: the daemon neither dies nor connects");
            }
        }
    }
    bail!("more than {MOST} places");
}
