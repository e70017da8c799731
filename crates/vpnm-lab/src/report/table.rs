//! Tables for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use vpnm_world::probe::{Class, Kind};

use super::line::{Compared, Line, attempted, leaked, unaccounted};

/// The lines of one scenario.
type Scenario<'a> = ((u8, &'static str), Vec<Line>);

/// Two tables: one line for each scenario, beside others if they were tried,
/// and leaked/attempted for each class of probes.
#[must_use]
pub fn table(lines: &[Line], compared: &[Compared]) -> String {
    let mut scenarios: Vec<Scenario<'_>> = Vec::new();
    for line in lines {
        let key = (line.row, line.scenario);
        match scenarios.iter_mut().find(|(other, _)| *other == key) {
            Some((_, lines)) => lines.push(line.clone()),
            None => scenarios.push((key, vec![line.clone()])),
        }
    }
    for line in compared {
        let key = (line.row, line.scenario);
        if !scenarios.iter().any(|(other, _)| *other == key) {
            scenarios.push((key, Vec::new()));
        }
    }
    scenarios.sort_by_key(|((row, _), _)| *row);
    let mut text = String::new();
    // Writing to a string cannot fail.
    summarise(&mut text, &scenarios, compared).ok();
    reasons(&mut text, compared).ok();
    detail(&mut text, &scenarios).ok();
    text
}

fn summarise(
    text: &mut String,
    scenarios: &[Scenario<'_>],
    compared: &[Compared],
) -> std::fmt::Result {
    let others: Vec<&str> = {
        let mut names: Vec<&str> = compared.iter().map(|line| line.by.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    write!(
        text,
        "\n{:>3}  {:<56} {:>9} {:>9} {:>7} {:>11}",
        "row", "scenario", "per kind", "probes", "leaked", "unaccounted"
    )?;
    for other in &others {
        write!(text, " {other:>15}")?;
    }
    writeln!(text, "  throughput")?;
    for ((row, name), lines) in scenarios {
        write!(text, "{row:>3}  {name:<56} ")?;
        let probes = lines.iter().filter(|line| line.is_of_probes());
        match probes.map(|line| line.attempted).min() {
            Some(fewest) => write!(
                text,
                "{:>9} {:>9} {:>7} {:>11}",
                fewest,
                attempted(lines),
                leaked(lines),
                unaccounted(lines)
            )?,
            None => write!(text, "{:>39}", "not run")?,
        }
        for other in &others {
            let found = compared
                .iter()
                .find(|line| (line.row, line.scenario) == (*row, *name) && line.by == *other);
            write!(text, " {:>15}", found.map_or_else(String::new, share))?;
        }
        let service = lines.iter().find_map(|line| line.service);
        let why: Vec<&str> = lines.iter().map(|line| line.why.as_str()).collect();
        let throughput = service.map_or_else(String::new, |service| {
            format!("{:.0} %", service.median * 100.0)
        });
        writeln!(text, "  {throughput:>10} {}", why.concat())?;
    }
    Ok(())
}

fn share(line: &Compared) -> String {
    if !line.applies {
        "does not apply".to_owned()
    } else if line.why.is_empty() {
        format!("{}/{}", count(line.leaked), count(line.attempted))
    } else {
        "-".to_owned()
    }
}

/// Why stories do not suit others, or did not come to their end with them.
fn reasons(text: &mut String, compared: &[Compared]) -> std::fmt::Result {
    let mut untold: Vec<&Compared> = compared
        .iter()
        .filter(|line| !line.why.is_empty())
        .collect();
    untold.sort_by_key(|line| (line.row, line.scenario, &line.by));
    if !untold.is_empty() {
        writeln!(text)?;
    }
    for Compared {
        by,
        row,
        applies,
        why,
        ..
    } in untold
    {
        let what = if *applies {
            "was not run"
        } else {
            "does not apply"
        };
        writeln!(text, "{by}, row {row}: {what}: {}", why.trim_end())?;
    }
    Ok(())
}

/// A column for each class; kinds in focus count with theirs.
fn detail(text: &mut String, scenarios: &[Scenario<'_>]) -> std::fmt::Result {
    let class_of: BTreeMap<&str, &str> = Kind::ALL
        .map(|kind| (kind.name(), kind.class().name()))
        .into();
    write!(text, "\nleaked/attempted by kind of probe\n{:>3}", "row")?;
    for column in HEADINGS {
        write!(text, " {column:>8}")?;
    }
    writeln!(text)?;
    for ((row, _), lines) in scenarios {
        if !lines.iter().any(Line::is_of_probes) {
            continue;
        }
        write!(text, "{row:>3}")?;
        for class in Class::ALL {
            let of_class = lines.iter().filter(|line| {
                line.kind == class.name() || class_of.get(line.kind) == Some(&class.name())
            });
            let (mut fired, mut left) = (0, 0);
            for line in of_class {
                fired += line.attempted;
                left += line.leaked;
            }
            let cell = if fired == 0 {
                "-".to_owned()
            } else {
                format!("{}/{}", count(left), count(fired))
            };
            write!(text, " {cell:>8}")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// Of [`Class::ALL`], short.
const HEADINGS: [&str; 15] = [
    "udp", "udp6", "tcp", "icmp", "dns", "dns lan", "dns/tcp", "lan/tcp", "srv port", "srv same",
    "device", "source", "mcast", "lan", "packet",
];

/// A number in at most five characters.
fn count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}M", number / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(row: u8, kind: &'static str, attempted: u64) -> Line {
        Line {
            row,
            scenario: "a row",
            kind,
            attempted,
            ..Line::default()
        }
    }

    #[test]
    fn a_row_that_was_not_run_says_why() {
        let lines = [
            line(2, "udp", 10_500),
            line(2, "udp-large", 10),
            Line::failed(1, "another", "there is none"),
        ];
        let text = table(&lines, &[]);
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows[2].contains("not run") && rows[2].ends_with("there is none"));
        assert!(rows[3].contains("10510"), "{text}");
        assert!(text.contains("0/10k"), "{text}");
    }

    #[test]
    fn others_stand_beside_ours() {
        let other = Compared {
            row: 2,
            scenario: "a row",
            by: "wg-quick".to_owned(),
            attempted: 20_000,
            leaked: 15,
            unaccounted: 0,
            applies: true,
            why: String::new(),
        };
        let unsuited = Compared {
            by: "sing-box".to_owned(),
            applies: false,
            why: "it has none".to_owned(),
            ..other
        };
        let text = table(&[line(2, "udp", 7)], &[other, unsuited]);
        assert!(
            text.contains("wg-quick") && text.contains("15/20k"),
            "{text}"
        );
        assert!(
            text.contains("sing-box, row 2: does not apply: it has none"),
            "{text}"
        );
    }
}
