//! A connected client to look around in: `cargo run -p vpnm-lab --example
//! session -- 'ip rule; curl https://site.example/'` runs a shell command of
//! root there, and without an argument an interactive shell.

use std::process::{ExitCode, Stdio};

use anyhow::Result;
use vpnm_lab::session::Session;
use vpnm_world::privilege::{self, Privilege};

fn main() -> Result<ExitCode> {
    if let Privilege::Delegated(status) = privilege::ensure()? {
        return Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    let arguments = std::env::args()
        .nth(1)
        .map(|script| vec!["-c".to_owned(), script]);
    let shell = session
        .client()
        .command("/bin/sh")
        .args(arguments.unwrap_or_default());
    let status = shell.stdin(Stdio::inherit()).spawn()?.wait()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
