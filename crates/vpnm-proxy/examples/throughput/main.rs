//! Our client beside v2ray's, both through the same unmodified v2ray server on loopback.
//!
//! `cargo run --profile fast -p vpnm-proxy --example throughput [-- --json]`. Rounds are
//! interleaved and medians reported: how fast the whole chain is, and what of the
//! processor's time the client's process takes for each gigabyte.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a measuring program for a terminal: what goes wrong is to be loud"
)]

mod client;
mod load;
mod peers;
mod place;

use std::env;

use load::{Direction, Sample};
use place::Place;

/// What is measured: the scheme, the transport, whether there is TLS.
const CELLS: [(&str, &str, bool); 6] = [
    ("vless", "tcp", false),
    ("vless", "tcp", true),
    ("vless", "ws", false),
    ("vless", "ws", true),
    ("vmess", "tcp", false),
    ("vmess", "ws", true),
];
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "client") {
        client::run(&arguments[2..]);
        return;
    }
    let json = arguments.iter().any(|word| word == "--json");
    let place = Place::new();
    let mut rows = Vec::new();
    for cell in CELLS {
        for direction in [Direction::Up, Direction::Down] {
            rows.push(measure(&place, cell, direction));
        }
    }
    if json {
        println!(
            "{{\"rows\":[{}]}}",
            rows.iter().map(Row::json).collect::<Vec<_>>().join(",")
        );
        return;
    }
    println!(
        "cell               ours Gb/s  v2ray Gb/s  ratio   ours cpu-s/GB  v2ray cpu-s/GB  ratio"
    );
    for row in &rows {
        println!("{}", row.text());
    }
}

/// The medians of one cell in one direction.
struct Row {
    name: String,
    ours: Sample,
    theirs: Sample,
}

fn measure(place: &Place, cell: (&str, &str, bool), direction: Direction) -> Row {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(load::run(&place.ours(cell), direction));
        theirs.push(load::run(&place.theirs(cell), direction));
    }
    let (scheme, transport, tls) = cell;
    let tls = if tls { "+tls" } else { "" };
    Row {
        name: format!("{scheme} {transport}{tls} {}", direction.name()),
        ours: Sample::median(&mut ours),
        theirs: Sample::median(&mut theirs),
    }
}

impl Row {
    fn text(&self) -> String {
        let (ours, theirs) = (self.ours, self.theirs);
        format!(
            "{:18} {:9.2}  {:10.2}  {:5.2}  {:13.2}  {:14.2}  {:6.2}",
            self.name,
            ours.rate,
            theirs.rate,
            ours.rate / theirs.rate,
            ours.processor,
            theirs.processor,
            theirs.processor / ours.processor,
        )
    }

    /// Two rows as `bench` prints them; more is better in `ratio`.
    fn json(&self) -> String {
        let row = |metric: &str, unit: &str, ours: f64, theirs: f64, ratio: f64| {
            format!(
                r#"{{"metric":"{} {metric}","unit":"{unit}","ours":{ours:.3},"peers":{{"v2ray":{theirs:.3}}},"best_peer":"v2ray","ratio":{ratio:.3},"goal":1.0,"met":{}}}"#,
                self.name,
                ratio >= 1.0
            )
        };
        let (ours, theirs) = (self.ours, self.theirs);
        [
            row(
                "rate",
                "Gb/s",
                ours.rate,
                theirs.rate,
                ours.rate / theirs.rate,
            ),
            row(
                "client processor",
                "s/GB",
                ours.processor,
                theirs.processor,
                theirs.processor / ours.processor,
            ),
        ]
        .join(",")
    }
}
