//! How fast a transfer is by loss and queue, as a table that must not change unnoticed.

use std::fmt::Write as _;
use std::time::Duration;

use super::link::Path;
use super::{Server, World};

/// Transfers of which the one in the middle counts: a few lost packets more or less, or a
/// time-out, halve the speed of one.
const SEEDS: u64 = 5;

/// A path of 100 Mbit/s and 4 ms there and back, to a host behind the link's.
fn path() -> Path {
    Path {
        forwarded: true,
        delay: Duration::from_millis(2),
        rate: 12_500_000,
        queue: 1_000,
        ..Path::default()
    }
}

/// Megabits per second of a 1 MB transfer, the median of some.
fn speed(path: Path, down: bool) -> u64 {
    let one = |seed| speed_of_one(Path { seed, ..path }, down);
    let mut all: Vec<u64> = (1..=SEEDS).map(one).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn speed_of_one(path: Path, down: bool) -> u64 {
    let bytes = 1_000_000;
    let (up, server) = if down {
        let server = Server {
            send: bytes,
            ..Server::default()
        };
        (0, server)
    } else {
        (bytes, Server::default())
    };
    let mut world = World::new(path, server, up);
    let took = world.run(Duration::from_secs(600));
    assert!(world.is_done());
    u64::try_from(bytes).unwrap() * 8 / u64::try_from(took.as_micros()).unwrap()
}

/// How many of a hundred answers of 20 kB over a path of 4 ms there and back wait for a
/// time-out, which is 200 ms.
fn stalled(loss: u32) -> usize {
    (1..=100)
        .filter(|seed| {
            let path = Path {
                delay: Duration::from_millis(2),
                loss,
                seed: *seed,
                ..Path::default()
            };
            let server = Server {
                send: 20_000,
                ..Server::default()
            };
            let mut world = World::new(path, server, 100);
            world.run(Duration::from_secs(600));
            assert!(world.is_done());
            // A lost SYN costs whole seconds, which are not meant.
            (world.now - world.start).subsec_millis() > 200
        })
        .count()
}

fn percent(of_ten_thousand: u32) -> String {
    format!("{}.{:02}%", of_ten_thousand / 100, of_ten_thousand % 100)
}

#[test]
fn a_lost_end_of_an_answer_seldom_waits_for_the_time_out() {
    // Without probes of the end it would be 4, 15 and 28 of a hundred.
    let stalled = [100, 300, 1_000].map(stalled);
    assert_eq!(stalled, [0, 1, 3]);
}

#[test]
fn throughput_by_loss_and_queue_is_as_recorded() {
    let mut table = String::from("Mbit/s of 100, down/up, by loss and queue in packets\n");
    let queues = [8, 32, 128, 1_000];
    write!(table, "{:>7}", "loss").unwrap();
    for queue in queues {
        write!(table, "{queue:>9}").unwrap();
    }
    table.push('\n');
    for loss in [0, 10, 100, 300, 1_000] {
        write!(table, "{:>7}", percent(loss)).unwrap();
        for queue in queues {
            let path = Path {
                loss,
                queue,
                ..path()
            };
            let cell = format!("{}/{}", speed(path, true), speed(path, false));
            write!(table, "{cell:>9}").unwrap();
        }
        table.push('\n');
    }
    assert_recorded(&table, include_str!("throughput.txt"));
}

fn assert_recorded(table: &str, recorded: &str) {
    assert!(table == recorded, "now:\n{table}\nrecorded:\n{recorded}");
}

#[test]
fn throughput_by_loss_and_reordering_is_as_recorded() {
    let mut table =
        String::from("Mbit/s of 100, down/up, by loss and packets held up for 0.8 ms\n");
    let held_up = [0, 10, 100, 500, 2_000];
    write!(table, "{:>7}", "loss").unwrap();
    for held_up in held_up {
        write!(table, "{:>9}", percent(held_up)).unwrap();
    }
    table.push('\n');
    for loss in [0, 10, 100, 300] {
        write!(table, "{:>7}", percent(loss)).unwrap();
        for reordered in held_up {
            let path = Path {
                loss,
                reordered,
                ..path()
            };
            let cell = format!("{}/{}", speed(path, true), speed(path, false));
            write!(table, "{cell:>9}").unwrap();
        }
        table.push('\n');
    }
    assert_recorded(&table, include_str!("reordering.txt"));
}
