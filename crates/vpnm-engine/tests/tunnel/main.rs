//! The real engine in its jail, on a real device, through a real proxy server.
//!
//! This binary is its own engine: started with [`ENGINE`] it becomes the process
//! the daemon would start.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this test binary has no harness and reports by itself"
)]

mod calls;
mod cases;
mod dns;
mod station;

use std::os::fd::{IntoRawFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::Instant;

use station::Outcome;
use vpnm_world::privilege::{self, Privilege};

/// The argument that makes this binary an engine.
const ENGINE: &str = "engine-under-test";

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    match wanted.as_deref() {
        Some(ENGINE) => return engine(),
        Some("--list") => return ExitCode::SUCCESS,
        _ => {}
    }
    match privilege::ensure() {
        Ok(Privilege::Held) => run(wanted.as_deref()),
        Ok(Privilege::Delegated(status)) => match status.code() {
            Some(0) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        Err(why) if std::env::var_os("VPNM_LAB").is_some_and(|lab| lab == "require") => {
            eprintln!("FAIL {why}");
            ExitCode::FAILURE
        }
        Err(why) => {
            println!("SKIP {why}");
            ExitCode::SUCCESS
        }
    }
}

/// Puts the control socket where the daemon would, then is the engine.
fn engine() -> ExitCode {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr);
    let level = match std::env::var_os("VPNM_TEST_LOG") {
        Some(_) => tracing::Level::TRACE,
        None => tracing::Level::WARN,
    };
    log.with_max_level(level).without_time().init();
    let control = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3);
    match control.map(OwnedFd::into_raw_fd) {
        Ok(3) => vpnm_engine::main(),
        _ => ExitCode::FAILURE,
    }
}

fn run(wanted: Option<&str>) -> ExitCode {
    let mut failed = 0;
    for (name, case) in cases::ALL {
        if wanted.is_some_and(|part| !part.starts_with('-') && !name.contains(part)) {
            continue;
        }
        let begun = Instant::now();
        match case() {
            Ok(()) => println!("ok   {name} ({:.1} s)", begun.elapsed().as_secs_f32()),
            Err(why) => {
                println!("FAIL {name}: {why}");
                failed += 1;
            }
        }
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Fails a case with a reason unless the condition holds.
fn ensure(holds: bool, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(why().into()) }
}
