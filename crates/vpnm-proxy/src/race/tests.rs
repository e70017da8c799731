//! Several addresses, on virtual time.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

/// What becomes of an attempt, and after how many milliseconds.
type Fate = (u64, Option<io::ErrorKind>);

#[derive(Default)]
struct Net {
    fates: BTreeMap<SocketAddr, Fate>,
    dialled: Mutex<Vec<(u128, SocketAddr)>>,
}

struct Course<'a> {
    net: &'a Net,
    began: Instant,
}

impl Dialer for Course<'_> {
    fn dial(&self, to: SocketAddr) -> DialFuture<'_> {
        let at = self.began.elapsed().as_millis();
        self.net.dialled.lock().unwrap().push((at, to));
        let (after, fails) = self.net.fates[&to];
        Box::pin(async move {
            sleep(Duration::from_millis(after)).await;
            match fails {
                Some(kind) => Err(kind.into()),
                None => Ok(Box::new(tokio::io::empty()) as BoxStream),
            }
        })
    }
}

const FOREVER: u64 = 1_000_000;

async fn run(
    fates: &[(&str, u64, Option<io::ErrorKind>)],
) -> (Result<(), String>, Vec<(u128, String)>) {
    let mut net = Net::default();
    let mut order = Vec::new();
    for (address, after, fails) in fates {
        let address = address.parse().unwrap();
        net.fates.insert(address, (*after, *fails));
        order.push(address);
    }
    let course = Course {
        net: &net,
        began: Instant::now(),
    };
    let outcome = connect(&course, &order, Duration::from_secs(5)).await;
    let outcome = outcome.map(drop).map_err(|error| error.code().to_owned());
    let dialled = net.dialled.lock().unwrap().clone();
    (
        outcome,
        dialled
            .into_iter()
            .map(|(at, to)| (at, to.ip().to_string()))
            .collect(),
    )
}

fn at(at: u128, address: &str) -> (u128, String) {
    (at, address.to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_families_take_turns_a_quarter_second_apart() {
    let (outcome, dialled) = run(&[
        ("[2001:db8::1]:1", FOREVER, None),
        ("[2001:db8::2]:1", 10, None),
        ("192.0.2.1:1", FOREVER, None),
    ])
    .await;
    assert_eq!(outcome, Ok(()));
    let expected = [
        at(0, "2001:db8::1"),
        at(250, "192.0.2.1"),
        at(500, "2001:db8::2"),
    ];
    assert_eq!(dialled, expected);
}

#[tokio::test(start_paused = true)]
async fn a_failure_starts_the_next_at_once() {
    let (outcome, dialled) = run(&[
        (
            "[2001:db8::1]:1",
            10,
            Some(io::ErrorKind::NetworkUnreachable),
        ),
        ("192.0.2.1:1", 30, None),
    ])
    .await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(dialled, [at(0, "2001:db8::1"), at(10, "192.0.2.1")]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_may_still_win() {
    let (outcome, dialled) =
        run(&[("192.0.2.1:1", 300, None), ("192.0.2.2:1", FOREVER, None)]).await;
    assert_eq!((outcome, dialled.len()), (Ok(()), 2));
}

#[tokio::test(start_paused = true)]
async fn of_all_failures_the_one_that_says_most_is_told() {
    let refused = Some(io::ErrorKind::ConnectionRefused);
    let unreachable = Some(io::ErrorKind::HostUnreachable);
    let (outcome, _) = run(&[
        ("192.0.2.1:1", 10, refused),
        ("[2001:db8::1]:1", 10, unreachable),
    ])
    .await;
    assert_eq!(outcome, Err("refused".to_owned()));
    let (outcome, _) = run(&[("192.0.2.1:1", 10, unreachable)]).await;
    assert_eq!(outcome, Err("unreachable".to_owned()));
    let (outcome, _) = run(&[("192.0.2.1:1", FOREVER, None)]).await;
    assert_eq!(outcome, Err("timed-out".to_owned()));
}
