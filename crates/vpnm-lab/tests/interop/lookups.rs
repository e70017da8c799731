//! Look-ups as programs make them: refused at once while there is no tunnel, and with
//! everything that DNS has while there is one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::harness::Case;
use vpnm_lab::machine::{need, shell, shell_as, start, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::User;
use vpnm_world::addresses::{LARGE_NAME, SIGNED_NAME};

const PATIENCE: Duration = Duration::from_secs(30);
/// What is sent to the node is dropped by the router from now on.
const BLACK_HOLE: &str = "ip route add blackhole 203.0.113.10";
/// The C library and dig give up after five seconds, and say so.
const ASK: &str = "timeout 15 getent ahosts new.example; echo code $?; \
    for how in '' +tcp @8.8.8.8 @2001:4860:4860::8888; do \
    dig +tries=1 +time=5 $how new.example; done; :";

pub(crate) fn cases<'a>() -> Vec<Case<'a>> {
    vec![
        Case::new("look-ups without a tunnel", |_| without()),
        Case::new("look-ups while a tunnel is built anew", |_| anew()),
        Case::new("look-ups with everything that DNS has", |_| whole()),
    ]
}

/// Makes sure that nobody waits for an answer that cannot come.
fn check_refused(session: &Session, state: &str) -> Result<String> {
    let text = shell_as(session.client(), User::Mallory, ASK)?;
    ensure!(text.contains("code 2\n"), "{state}: getent: {text}");
    ensure!(!text.contains("timed out"), "{state}: {text}");
    ensure!(!text.contains("status: NXDOMAIN"), "{state}: {text}");
    Ok(text)
}

fn without() -> Result<()> {
    need(&["dig"])?;
    let mut session = Session::begin(None)?;
    shell(session.world().router(), BLACK_HOLE)?;
    session.start_daemon()?;
    let connect = format!("/run/lab/vpnm connect '{}' >/dev/null 2>&1", session.link());
    let mut connecting = start(session.client(), &connect)?;
    session.wait_for_state(&["connecting"])?;
    wait_for("the block", PATIENCE, || {
        let text = shell(session.client(), "nft list tables")?;
        Ok(text.contains("vpnm").then_some(()))
    })?;
    check_refused(&session, "connecting")?;
    session.wait_for_state(&["blocked"])?;
    connecting.wait().context("vpnm connect")?;
    check_refused(&session, "blocked")?;
    let sent = session.capture().tally()?;
    ensure!(sent.plaintext_dns == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"]).map(drop)
}

fn anew() -> Result<()> {
    need(&["dig"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let connected = session.capture().tally()?;
    shell(session.world().router(), BLACK_HOLE)?;
    // The first to ask waits until it is clear that nothing comes, but no longer than
    // programs do.
    check_refused(&session, "connected to nobody")?;
    session.wait_for_state(&["reconnecting"])?;
    let text = check_refused(&session, "reconnecting")?;
    ensure!(text.contains("status: SERVFAIL"), "{text}");
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.plaintext_dns == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"]).map(drop)
}

fn whole() -> Result<()> {
    need(&["dig"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let dig = |arguments: &str| {
        let script = format!("dig +tries=1 +time=4 {arguments}");
        shell_as(session.client(), User::Mallory, &script)
    };
    for server in ["", "@8.8.8.8", "@2001:4860:4860::8888", "@192.168.77.1"] {
        let check = |arguments: &str, has: &[&str], lacks: &[&str]| {
            let text = dig(&format!("{server} {arguments}"))?;
            let right = |part: &&&str| !text.contains(**part);
            let missing = has.iter().find(right);
            let unwanted = lacks.iter().find(|part| !right(part));
            ensure!(
                missing.is_none() && unwanted.is_none(),
                "{server} {arguments}: without {missing:?}, with {unwanted:?}: {text}"
            );
            Ok(())
        };
        // By datagram it does not fit: dig asks again by TCP, or shows what is cut.
        let large = format!("{LARGE_NAME} TXT");
        check(&large, &["Truncated, retrying in TCP", "ANSWER: 20"], &[])?;
        check(
            &format!("+ignore {large}"),
            &["flags: qr tc", "ANSWER: 0"],
            &[],
        )?;
        check(
            &format!("+tcp {large}"),
            &["ANSWER: 20", "(TCP)"],
            &["Truncated"],
        )?;
        check(&format!("+noedns +ignore {large}"), &["qr tc"], &["EDNS"])?;
        // Signatures and what the upstream says of them, for who asks and nobody else.
        let signed = format!("{SIGNED_NAME} A");
        check(
            &format!("+dnssec {signed}"),
            &["RRSIG", " ad;", "flags: do;"],
            &[],
        )?;
        check(
            &format!("+noadflag {signed}"),
            &["ANSWER: 1"],
            &["RRSIG", " ad;"],
        )?;
        check(&format!("+adflag {signed}"), &[" ad;"], &["RRSIG"])?;
        check(&format!("+cdflag {signed}"), &[" cd"], &[])?;
        check("+edns=1 +noednsnegotiation site.example", &["BADVERS"], &[])?;
        check(
            "+nocookie +subnet=192.0.2.0/24 site.example",
            &["NOERROR"],
            &["CLIENT-SUBNET"],
        )?;
    }
    session.command(&["disconnect"]).map(drop)
}
