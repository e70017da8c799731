//! A status as people read it.

use std::time::Duration;

use vpnm_api::{Goal, State, Status, Unkept, Verified};

use crate::output::{Paint, Style, Table, latency, wrap};

/// Of sentences beside a label, so that lines have 80 characters at most.
const WIDTH: usize = 68;

/// The whole picture, several lines. `now` is the time in seconds since 1970.
pub(super) fn full(status: &Status, now: u64, style: Style) -> String {
    let mut text = format!("{}\n", headline(&status.state, now, style));
    let mut table = Table::default();
    if let Some(cause) = status.state.cause() {
        table.row("why", wrap(&cause.to_string(), WIDTH));
    }
    if let Some(server) = &status.server {
        let name = if server.name.is_empty() {
            String::new()
        } else {
            format!("{}, ", server.name)
        };
        table.row(
            "server",
            format!("{name}{} ({})", server.address, server.kind),
        );
        if !server.confidential {
            table.row("", "the way to this server is not encrypted by the link");
        }
    }
    if let State::Connected(connected) = &status.state {
        if let Some(via) = connected.via {
            table.row("address", via.to_string());
        }
        table.row("latency", latency(connected.latency_ms.into()));
        let resolver = status
            .verified
            .resolver
            .map(|resolver| format!(", {resolver}"))
            .unwrap_or_default();
        table.row("dns", format!("over HTTPS through the tunnel{resolver}"));
    }
    if status.traffic.rx_bytes + status.traffic.tx_bytes > 0 {
        table.row(
            "traffic",
            format!(
                "{} in, {} out, {} open",
                bytes(status.traffic.rx_bytes),
                bytes(status.traffic.tx_bytes),
                counted(u64::from(status.traffic.flows), "flow"),
            ),
        );
        if status.traffic.lost > 0 {
            let lost = counted(status.traffic.lost, "packet");
            table.row("lost", format!("{lost} of datagrams, not taken in time"));
        }
    }
    if status.goal == Goal::Secured {
        table.row("verified", wrap(&verified(&status.verified), WIDTH));
        table.row("lan", if status.lan { "reachable" } else { "blocked" });
        let forwards = if status.forwarding {
            "containers into the tunnel"
        } else {
            "nothing"
        };
        table.row("forwards", forwards);
    }
    if let Some(unkept) = status.unkept {
        let text = format!("{}: {}", Unkept::MEANING, unkept.why());
        table.row("unkept", wrap(&text, WIDTH));
        table.row("", wrap(unkept.hint(), WIDTH));
    }
    table.row("lockdown", if status.lockdown { "on" } else { "off" });
    if status.repairs.count > 0 {
        let repairs = &status.repairs;
        let ago = repairs.at.map_or_else(String::new, |at| {
            let ago = Duration::from_secs(now.saturating_sub(at));
            format!(", {} ago", duration(ago))
        });
        let times = counted(repairs.count, "time");
        table.row("repairs", format!("{times}, last{ago}: {}", repairs.last));
    }
    for (index, hint) in status.hints.iter().enumerate() {
        table.row(if index == 0 { "next" } else { "" }, hint.as_str());
    }
    text.push_str(&table.render(style, Paint::Faint, 2));
    text
}

/// The state in one line.
pub(super) fn headline(state: &State, now: u64, style: Style) -> String {
    let (paint, text) = match state {
        State::Disconnected => (
            Paint::Faint,
            "Disconnected: traffic leaves this machine unprotected".to_owned(),
        ),
        State::Connecting { step } => (Paint::Busy, format!("Connecting: {}", step.what())),
        State::Connected(connected) => (
            Paint::Good,
            format!(
                "Connected for {}: everything leaves through the tunnel",
                duration(Duration::from_secs(now.saturating_sub(connected.since)))
            ),
        ),
        State::Reconnecting {
            attempt,
            retry_in_ms: 0,
            ..
        } => (
            Paint::Busy,
            format!("Reconnecting: attempt {attempt}; nothing leaves until it succeeds"),
        ),
        State::Reconnecting {
            attempt,
            retry_in_ms,
            ..
        } => (
            Paint::Busy,
            format!(
                "Reconnecting: attempt {attempt} in {}; nothing leaves until it succeeds",
                duration(Duration::from_millis(*retry_in_ms))
            ),
        ),
        State::Disconnecting => (Paint::Busy, "Disconnecting".to_owned()),
        State::Blocked { .. } => (
            Paint::Bad,
            "Blocked: there is no tunnel and nothing leaves this machine".to_owned(),
        ),
        State::Unprotected { .. } => (
            Paint::Bad,
            "UNPROTECTED: this machine should be blocked and could not be".to_owned(),
        ),
    };
    match text.split_once(':') {
        Some((head, rest)) => format!("{}:{rest}", style.paint(paint, head)),
        None => style.paint(paint, &text).into_owned(),
    }
}

fn verified(verified: &Verified) -> String {
    let facts = [
        (verified.remembered, "goal on disk"),
        (verified.blocked, "firewall and routes"),
        (verified.engine, "engine without privileges"),
        (verified.answered, "answer through the tunnel"),
        (verified.routed, "traffic led into the tunnel"),
        (verified.tried, "no way out when all were tried"),
    ];
    let list = |wanted: bool| {
        facts
            .iter()
            .filter(|(holds, _)| *holds == wanted)
            .map(|(_, fact)| *fact)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (holds, missing) = (list(true), list(false));
    match (holds.is_empty(), missing.is_empty()) {
        (_, true) => holds,
        (true, false) => format!("not yet: {missing}"),
        (false, false) => format!("{holds}\nnot yet: {missing}"),
    }
}

/// A number of bytes, with a decimal prefix.
pub(super) fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut divisor = 1;
    while count / divisor >= 1000 && unit + 1 < UNITS.len() {
        divisor *= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        return format!("{count} {name}");
    }
    let tenths = count / (divisor / 10);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];

/// The time of day, UTC, of a time in seconds since 1970.
pub(super) fn clock(time: u64) -> String {
    let second = time % 86_400;
    format!(
        "{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// A span of time in its two largest units.
fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if seconds < 60 {
        format!("{seconds} s")
    } else if hours == 0 {
        format!("{minutes} min {} s", seconds % 60)
    } else if days == 0 {
        format!("{hours} h {} min", minutes % 60)
    } else {
        format!("{days} d {} h", hours % 24)
    }
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use vpnm_api::{Code, Connected, Failure, Repairs, Server, Step, Traffic};

    use super::*;

    #[test]
    fn a_connected_machine() {
        let status = Status {
            state: State::Connected(Connected {
                since: 1_000,
                via: Some("203.0.113.10".parse().unwrap()),
                latency_ms: 23,
            }),
            goal: Goal::Secured,
            server: Some(Server {
                name: "home".into(),
                address: "vpn.example.com:443".into(),
                kind: "vless+websocket+tls".into(),
                confidential: true,
            }),
            traffic: Traffic {
                rx_bytes: 12_345_678,
                tx_bytes: 999,
                flows: 1,
                lost: 3,
            },
            verified: Verified {
                remembered: true,
                blocked: true,
                engine: true,
                answered: true,
                routed: true,
                tried: true,
                resolver: Some("1.1.1.1".parse().unwrap()),
            },
            repairs: Repairs {
                count: 2,
                last: "a rule was gone".into(),
                at: Some(1_000 + 3_720),
            },
            ..Status::disconnected("0.1.0")
        };
        assert_eq!(
            full(&status, 1_000 + 3_725, Style::PLAIN),
            "\
Connected for 1 h 2 min: everything leaves through the tunnel
  server    home, vpn.example.com:443 (vless+websocket+tls)
  address   203.0.113.10
  latency   23 ms
  dns       over HTTPS through the tunnel, 1.1.1.1
  traffic   12.3 MB in, 999 B out, 1 flow open
  lost      3 packets of datagrams, not taken in time
  verified  goal on disk, firewall and routes, engine without privileges, answer
            through the tunnel, traffic led into the tunnel, no way out when all
            were tried
  lan       blocked
  forwards  containers into the tunnel
  lockdown  off
  repairs   2 times, last, 5 s ago: a rule was gone
"
        );
    }

    #[test]
    fn a_blocked_machine_says_why_and_what_to_type() {
        let status = Status {
            state: State::Blocked {
                cause: Failure::new(Code::Refused, "192.0.2.7:443"),
            },
            goal: Goal::Secured,
            hints: vec!["vpnm connect".into(), "vpnm disconnect".into()],
            verified: Verified {
                blocked: true,
                ..Verified::default()
            },
            ..Status::disconnected("0.1.0")
        };
        assert_eq!(
            full(&status, 0, Style::PLAIN),
            "\
Blocked: there is no tunnel and nothing leaves this machine
  why       the server refused the connection, nothing listens on that port:
            192.0.2.7:443
  verified  firewall and routes
            not yet: goal on disk, engine without privileges, answer through the
            tunnel, traffic led into the tunnel, no way out when all were tried
  lan       blocked
  forwards  containers into the tunnel
  lockdown  off
  next      vpnm connect
            vpnm disconnect
"
        );
    }

    #[test]
    fn a_filter_that_nobody_would_own_is_told_of() {
        let status = Status {
            unkept: Some(Unkept::FirstProcess),
            ..Status::disconnected("0.1.0")
        };
        assert_eq!(
            full(&status, 0, Style::PLAIN),
            "\
Disconnected: traffic leaves this machine unprotected
  unkept    if the daemon dies, others can change the packet filter until it
            runs again: nothing outlives the daemon where it is process 1
            have an init that starts the daemon again be process 1 of the
            container
  lockdown  off
"
        );
    }

    #[test]
    fn every_state_has_a_line() {
        let cause = Failure::from(Code::EngineLost);
        let line = |state| headline(&state, 0, Style::PLAIN);
        assert!(line(State::Disconnected).contains("unprotected"));
        assert_eq!(
            line(State::Connecting { step: Step::Block }),
            "Connecting: blocking everything else"
        );
        assert_eq!(
            line(State::Reconnecting {
                cause: cause.clone(),
                attempt: 2,
                retry_in_ms: 3_000
            }),
            "Reconnecting: attempt 2 in 3 s; nothing leaves until it succeeds"
        );
        assert_eq!(
            line(State::Reconnecting {
                cause: cause.clone(),
                attempt: 1,
                retry_in_ms: 0
            }),
            "Reconnecting: attempt 1; nothing leaves until it succeeds"
        );
        assert_eq!(line(State::Disconnecting), "Disconnecting");
        assert!(line(State::Unprotected { cause }).starts_with("UNPROTECTED:"));
    }

    #[test]
    fn the_time_of_day() {
        assert_eq!(clock(1_700_000_000), "22:13:20Z");
    }

    #[test]
    fn bytes_have_a_decimal_prefix() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_000), "1.0 kB");
        assert_eq!(bytes(1_999_999), "1.9 MB");
        assert_eq!(bytes(u64::MAX), "18446.7 PB");
    }
}
