//! Our client against unmodified servers of others, every protocol over every transport.
//!
//! The peers run on loopback ports picked free. v2ray is the one that must be there
//! where `VPNM_LAB=require` says so (Debian: `apt-get install v2ray`); sing-box and
//! mihomo join in where `VPNM_SING_BOX` and `VPNM_MIHOMO` name their programs.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::tests_outside_test_module,
    reason = "a test: what goes wrong is to be loud"
)]

mod authority;
mod cell;
mod checks;
mod mihomo;
mod origin;
mod peer;
mod report;
mod sing_box;
mod v2ray;

use std::env;

use cell::Cell;
use origin::Origin;
use peer::{Kind, Peer};
use report::Report;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v2ray_serves_every_cell() {
    match v2ray::program() {
        Some(program) => run(Kind::V2ray, program).await,
        None => missing("v2ray", "apt-get install v2ray"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sing_box_serves_every_cell() {
    match env::var_os("VPNM_SING_BOX") {
        Some(program) => run(Kind::SingBox, program.into()).await,
        None => eprintln!("SKIP sing-box: VPNM_SING_BOX does not name its program"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mihomo_serves_every_cell() {
    match env::var_os("VPNM_MIHOMO") {
        Some(program) => run(Kind::Mihomo, program.into()).await,
        None => eprintln!("SKIP mihomo: VPNM_MIHOMO does not name its program"),
    }
}

fn missing(peer: &str, remedy: &str) {
    let required = env::var_os("VPNM_LAB").is_some_and(|value| value == "require");
    assert!(!required, "{peer} is missing; {remedy}");
    eprintln!("SKIP {peer} is missing; {remedy}");
}

async fn run(kind: Kind, program: std::path::PathBuf) {
    let origin = Origin::start().await;
    let cells: Vec<Cell> = Cell::all()
        .into_iter()
        .filter(|cell| kind.serves(cell))
        .collect();
    let peer = Peer::start(kind, &program, &cells).await;
    let mut report = Report::new(kind.name());
    for cell in &cells {
        checks::run(&peer, cell, &origin, &mut report).await;
    }
    print!("{report}");
    assert!(
        report.is_clean(),
        "not every cell of {} is right",
        kind.name()
    );
}
