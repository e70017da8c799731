//! PyPI `varlink`: its client and its server, each with the certification
//! suite, and its command line.

use std::process::{Command, Stdio};

use anyd::Trust;

use crate::certification::{CertificationBlocking, examined};
use crate::foreign::{Place, Running, Served, package, printed, until};

fn python(arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", package("varlink")?)
        .args(arguments);
    Some(command)
}

#[test]
fn their_client_certifies_our_daemon() {
    let served = Served::new("certified");
    let address = format!("--varlink=unix:{}", served.path.display());
    let suite = [
        "-m",
        "varlink.tests.test_certification",
        "--client",
        &address,
    ];
    let Some(mut command) = python(&suite) else {
        return;
    };
    let text = printed(&command.output().unwrap());
    assert!(text.contains("Certification passed"), "{text}");
}

#[test]
fn our_client_is_certified_by_their_server() {
    let place = Place::new("certifying");
    let path = place.0.join("theirs.sock");
    let address = format!("--varlink=unix:{}", path.display());
    let Some(mut command) = python(&["-m", "varlink.tests.test_certification", &address]) else {
        return;
    };
    let _server = Running(command.stdout(Stdio::null()).spawn().unwrap());
    until("the server listens", || {
        std::os::unix::net::UnixStream::connect(&path).is_ok()
    });
    let client = anyd::blocking::Client::open_trusting(&path, Trust::RootOrSelf).unwrap();
    let mut client = CertificationBlocking::from(client);
    examined(&mut client).unwrap();
}

#[test]
fn our_client_is_certified_by_our_daemon() {
    let served = Served::new("ours");
    let client = anyd::blocking::Client::open_trusting(&served.path, Trust::RootOrSelf).unwrap();
    examined(&mut CertificationBlocking::from(client)).unwrap();
}

#[test]
fn their_command_line_reads_our_descriptions_and_calls() {
    let served = Served::new("described");
    let address = format!("unix:{}", served.path.display());
    let Some(mut info) = python(&["-m", "varlink.cli", "info", &address]) else {
        return;
    };
    let text = printed(&info.output().unwrap());
    assert!(text.contains("org.varlink.certification"), "{text}");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    let interface = format!("{address}/org.varlink.certification");
    let mut help = python(&["-m", "varlink.cli", "help", &interface]).unwrap();
    let text = printed(&help.output().unwrap());
    assert!(
        text.contains("method Test09(client_id: string, set: [string]())"),
        "{text}"
    );
    let method = format!("{interface}.Start");
    let mut call = python(&["-m", "varlink.cli", "call", &method]).unwrap();
    let text = printed(&call.output().unwrap());
    assert!(text.contains("client_id"), "{text}");
}
