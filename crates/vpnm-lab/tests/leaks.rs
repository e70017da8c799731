//! The leak matrix: every row under a hail of probes, every frame accounted
//! for; and proof that the observer and the attacks can fail a tunnel.
//!
//! `cargo test -p vpnm-lab --test leaks -- [--json] [--probes N] [--compare]
//! [--jobs N] [--row N,N-N] [--captures DIRECTORY] [FILTER…]`

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program reports"
)]

use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vpnm_lab::harness::{self, Case, Options, Outcome, Skip};
use vpnm_lab::machine;
use vpnm_lab::report::{self, Compared, Line};
use vpnm_lab::scenario::{self, Asked, NOT_RUN, Protection, Row, Step, rows};
use vpnm_world::probe::Kind;

/// What the cases found.
type Found<T> = Mutex<Vec<T>>;

/// Probes of a kind from which on descriptors are what a world needs most.
const MANY: u64 = 1_000;
/// Descriptors that the servers of a world have open then, and some to spare.
const DESCRIPTORS: u64 = 8_000;

/// Allows this process as many descriptors as it may have; how many that are.
fn raise_descriptor_limit() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised)?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// How many rows run at a time, each in a world of its own. The short form is what a build
/// without optimisation runs, whose tunnel takes a whole core under probes: twice as many
/// made pages take over a minute.
fn worlds(probes: u64, descriptors: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let affordable = usize::try_from(descriptors / DESCRIPTORS).unwrap_or(usize::MAX);
    if probes < MANY {
        cores
    } else {
        (2 * cores).min(affordable.max(1))
    }
}

fn main() -> Result<ExitCode> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let descriptors = raise_descriptor_limit()?;
    let affordable = worlds(options.probes, descriptors);
    options.jobs = options.jobs.or(Some(affordable));
    let (found, compared) = (Found::default(), Found::default());
    // What takes longest begins first, so that nothing else waits for it at last.
    let mut rows = rows();
    let is_asked = |row: &&Row| options.rows.contains(&row.number);
    ensure!(
        options.rows.is_empty() || rows.iter().any(is_asked),
        "there is no such row"
    );
    rows.sort_by_key(|row| std::cmp::Reverse((row.quota(1), row.attack.len())));
    let mut cases: Vec<Case<'_>> = rows.iter().map(|row| defended(row, &found)).collect();
    let of_rules = rows.iter().filter(|row| OF_RULES.contains(&row.number));
    cases.extend(of_rules.map(|row| ruled(row, &compared)));
    if options.compare {
        for by in [Protection::WgQuick, Protection::SingBox] {
            cases.extend(rows.iter().map(|row| beside(row, by, &compared)));
        }
    }
    cases.extend(observed());
    cases.push(broken_off());
    let passed = match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => return Ok(code),
        Outcome::Ran { passed } => passed,
    };
    drop(cases);
    let mut lines = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let compared = compared
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if options.filters.is_empty() && options.rows.is_empty() {
        lines.extend(
            NOT_RUN
                .iter()
                .map(|(row, name, why)| Line::failed(*row, name, *why)),
        );
    }
    if options.json {
        println!("{}", report::json(&lines, &compared)?);
    } else if !lines.is_empty() || !compared.is_empty() {
        eprint!("{}", report::table(&lines, &compared));
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn add<T>(found: &Found<T>, new: impl IntoIterator<Item = T>) {
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    found.extend(new);
}

fn asked(protection: Protection, row: &Row, options: &Options) -> Asked<'static> {
    Asked {
        protection,
        probes: row.quota(options.probes),
        record: None,
    }
}

/// A row against the program under test: nothing may leave.
fn defended<'a>(row: &'a Row, found: &'a Found<Line>) -> Case<'a> {
    Case::new(
        format!("row {}: {}", row.number, row.name),
        move |options| {
            let record = record(options, row)?;
            let asked = Asked {
                record: record.as_deref(),
                ..asked(Protection::Product, row, options)
            };
            let result = observed_run(row, asked).and_then(|mut lines| {
                let verdict = judge(&lines, asked.probes);
                if let (Err(error), Some(line)) = (&verdict, lines.last_mut()) {
                    line.why = error.to_string();
                }
                add(found, lines);
                verdict.map_err(|error| error.context(SAID))
            });
            if let Err(error) = &result
                && error.to_string() != SAID
            {
                add(
                    found,
                    [Line::failed(row.number, row.name, format!("{error:#}"))],
                );
            }
            result
        },
    )
    .of_row(row.number)
}

/// Runs a row; anew, where nothing was seen to leave but the wire lost frames before
/// the observer could look at them: that proves nothing. A crowded machine does it.
fn observed_run(row: &Row, asked: Asked<'_>) -> Result<Vec<Line>> {
    let mut lines = scenario::run(row, asked)?;
    for _ in 1..RUNS {
        if report::leaked(&lines) > 0 || report::unaccounted(&lines) == 0 {
            break;
        }
        lines = scenario::run(row, asked)?;
    }
    Ok(lines)
}

/// Runs of a row until its observer has lost nothing, at most.
const RUNS: usize = 3;

/// A failure that stands in its lines already.
const SAID: &str = "the row did not pass";

/// Every kind as often as asked, no frame where it should not be, none missed.
fn judge(lines: &[Line], probes: u64) -> Result<()> {
    let what = lines.last().map_or("", |line| line.what.as_str());
    ensure!(report::leaked(lines) == 0, "leaked: {what}");
    ensure!(
        report::unaccounted(lines) == 0,
        "{} frames are unaccounted for",
        report::unaccounted(lines)
    );
    for service in lines.iter().filter_map(|line| line.service) {
        ensure!(
            service.is_kept(),
            "95 % of service is left in {} of {} slices only, {:.2} in the middle of them, \
             {:.3} in the mean with an error of {:.3}",
            service.reached,
            service.pairs,
            service.median,
            service.mean,
            service.error
        );
    }
    for line in lines.iter().filter(|line| line.is_of_probes()) {
        ensure!(
            line.is_enough(probes),
            "{} probes of {}, {} of one of its {} ways, not {probes} in all",
            line.attempted,
            line.kind,
            line.fewest,
            line.ways
        );
    }
    Ok(())
}

/// A row against something else, for comparison: it only has to be counted, and only
/// if its story suits that.
fn beside<'a>(row: &'a Row, by: Protection, found: &'a Found<Compared>) -> Case<'a> {
    Case::new(
        match row.unsuited_to(by) {
            None => format!("{by}, row {}: {}", row.number, row.name),
            Some(_) => format!("{by}, row {}: {} (does not apply)", row.number, row.name),
        },
        move |options| {
            if let Some(why) = row.unsuited_to(by) {
                add(found, [compare(row, by, &[], why.to_owned())]);
                return Ok(());
            }
            let probes = options.probes.min(COMPARED);
            let result = scenario::run(
                row,
                Asked {
                    protection: by,
                    probes,
                    record: None,
                },
            );
            let (lines, why) = match result {
                Ok(lines) => (lines, String::new()),
                Err(error) => (Vec::new(), format!("{error:#}")),
            };
            add(found, [compare(row, by, &lines, why.clone())]);
            // What a peer does not bear is no failure of ours.
            ensure!(why.is_empty(), Skip(why));
            Ok(())
        },
    )
    .of_row(row.number)
}

fn compare(row: &Row, by: Protection, lines: &[Line], why: String) -> Compared {
    Compared {
        row: row.number,
        scenario: row.name,
        by: by.to_string(),
        attempted: report::attempted(lines),
        leaked: report::leaked(lines),
        unaccounted: report::unaccounted(lines),
        applies: row.unsuited_to(by).is_none(),
        why,
    }
}

/// Probes of every kind that show enough of a peer.
const COMPARED: u64 = 1_000;

/// Rows in which the rules alone decide what leaves.
const OF_RULES: &[u8] = &[
    2, 3, 11, 12, 13, 14, 15, 17, 18, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 35, 38, 39, 42, 43,
];

/// A row against the rules alone: no user-space repairs anything.
fn ruled<'a>(row: &'a Row, found: &'a Found<Compared>) -> Case<'a> {
    Case::new(
        format!("rules alone, row {}: {}", row.number, row.name),
        move |options| {
            let asked = asked(Protection::Rules, row, options);
            let lines = observed_run(row, asked)?;
            let by = Protection::Rules;
            add(found, [compare(row, by, &lines, String::new())]);
            judge(&lines, asked.probes)
        },
    )
    .of_row(row.number)
}

/// Probes by sockets that ask for nothing special.
const PLAIN: &[Kind] = &[Kind::Udp, Kind::Udp6, Kind::Tcp, Kind::Tcp6];

/// Proof that the observer sees and that the attacks bite: against nothing at
/// all, and against routing rules as wg-quick sets them, which hold until each
/// of these attacks, and not any longer.
fn observed() -> Vec<Case<'static>> {
    let bare = [28, 30].into_iter().map(|number| {
        Case::new(
            format!("observer: row {number} without a tunnel is seen"),
            move |options| {
                let row = row(number)?;
                let asked = asked(Protection::Nothing, &row, options);
                let lines = scenario::run(&row, asked)?;
                ensure!(
                    report::leaked(&lines) >= report::attempted(&lines) / 2,
                    "not everything was seen"
                );
                ensure!(
                    report::unaccounted(&lines) == 0,
                    "frames are unaccounted for"
                );
                Ok(())
            },
        )
    });
    let fetched = Case::new("observer: row 34 without a tunnel is fetched", |options| {
        let row = row(34)?;
        let asked = asked(Protection::Nothing, &row, options);
        let error = scenario::run(&row, asked).err();
        let said = error.map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains("Fetch { comes: false }"), "it said {said:?}");
        Ok(())
    });
    let holds = Case::new(
        "observer: wg-quick's rules hold while nothing happens",
        |options| {
            let quiet = Row {
                only: PLAIN,
                focus: &[],
                ..row(23)?
            };
            let asked = asked(Protection::WgQuick, &quiet, options);
            let lines = scenario::run(&quiet, asked)?;
            ensure!(
                report::leaked(&lines) + report::unaccounted(&lines) == 0,
                "something left"
            );
            Ok(())
        },
    );
    let broken = [
        (1, PLAIN),
        (12, PLAIN),
        (13, PLAIN),
        (15, PLAIN),
        (23, &[]),
        (30, &[]),
    ];
    let broken = broken.into_iter().map(|(number, kinds)| {
        Case::new(
            format!("observer: row {number} breaks wg-quick's rules"),
            move |options| {
                let row = row(number)?;
                let only = if kinds.is_empty() { row.focus } else { kinds };
                let row = Row {
                    only,
                    focus: &[],
                    ..row
                };
                let asked = asked(Protection::WgQuick, &row, options);
                let lines = scenario::run(&row, asked)?;
                ensure!(report::leaked(&lines) > 0, "nothing was seen to leave");
                ensure!(
                    report::unaccounted(&lines) == 0,
                    "frames are unaccounted for"
                );
                Ok(())
            },
        )
    });
    bare.chain([fetched, holds]).chain(broken).collect()
}

/// The row of a DHCP client, broken off while that runs: it ends with its world.
fn broken_off() -> Case<'static> {
    const BREAKS: Step = Step::Client(
        "readlink /proc/self/ns/net; kill -0 $(cat /run/dhclient.pid) || exit 2; exit 1",
    );
    /// What the client is started with.
    const CLIENT: &str = "-4";
    let run = |options: &Options| {
        let rows = rows();
        let mut of_dhcp = rows.iter().filter(|row| row.name.contains("DHCP server"));
        let row = Row {
            only: PLAIN,
            undo: &[BREAKS],
            turns: None,
            ..**of_dhcp.next().context("there is no such row")?
        };
        let result = scenario::run(&row, asked(Protection::Product, &row, options));
        let error = result.err().context("nothing broke it off")?;
        if error.is::<Skip>() {
            return Err(error);
        }
        let said = format!("{error:#}");
        ensure!(said.contains("exit status: 1"), "it said {said:?}");
        let mut words = said.split_whitespace();
        let network = words.find(|word| word.starts_with("net:["));
        let network = network.context("it did not say what its network is")?;
        let left = machine::processes_in(Path::new(network), CLIENT)?;
        ensure!(left.is_empty(), "processes are left: {left:?}");
        Ok(())
    };
    Case::new("row 12, broken off, leaves no DHCP client", run).of_row(12)
}

fn row(number: u8) -> Result<Row> {
    let mut rows = rows().into_iter();
    rows.find(|row| row.number == number)
        .copied()
        .with_context(|| format!("there is no row {number}"))
}

fn record(options: &Options, row: &Row) -> Result<Option<std::path::PathBuf>> {
    let Some(directory) = &options.captures else {
        return Ok(None);
    };
    std::fs::create_dir_all(directory)?;
    let name: String = row
        .name
        .chars()
        .map(|letter| {
            if letter.is_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    Ok(Some(
        directory.join(format!("row-{}-{name}.pcap", row.number)),
    ))
}
