//! `vpnm doctor`

mod finding;
mod look;
mod machine;
mod names;
mod network;
mod others;
mod service;
mod survey;
#[cfg(test)]
mod tests;

use serde::Serialize;

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::output::{Failure, Style};
use finding::{Finding, Severity};
use survey::Survey;

pub(super) const COMMAND: Command = Command {
    name: "doctor",
    group: Group::System,
    summary: "Look for what keeps vpnm from working here",
    about: "\
Looks at the machine, its network, what other programs do to it, the service and the tunnel, changes \
nothing, and says what to type where something is wrong. It needs neither rights nor the daemon; as \
root it sees more, and it says what it could not see.

It ends with 0 if nothing is a problem, warnings and notes included, else with 1. With --json every \
check has a severity: good, note, unknown, warning or problem.",
    operands: &[],
    flags: &[],
    examples: &[],
};

/// A check: its name, and what it makes of what was seen.
type Check = (&'static str, fn(&Survey) -> Finding);

/// The checks, by what they are about.
const PARTS: [&[Check]; 5] = [
    machine::CHECKS,
    network::CHECKS,
    others::CHECKS,
    names::CHECKS,
    service::CHECKS,
];

/// A check and what it found.
#[derive(Debug, Serialize)]
struct Checked {
    name: &'static str,
    /// Whether nothing has to be done.
    ok: bool,
    #[serde(flatten)]
    finding: Finding,
}

#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    checks: Vec<Checked>,
}

pub(super) fn run(context: &Context, _: &Matches) -> Result<Exit, Failure> {
    let findings = findings(&look::survey());
    context
        .output
        .text(render(&findings, context.output.style()))?;
    context.output.json(&findings)?;
    Ok(if findings.ok {
        Exit::Success
    } else {
        Exit::Failed
    })
}

/// Makes every check.
fn findings(survey: &Survey) -> Findings {
    let checks = PARTS.into_iter().flatten().map(|(name, check)| {
        let finding = check(survey);
        Checked {
            name,
            ok: finding.severity < Severity::Warning,
            finding,
        }
    });
    let checks: Vec<Checked> = checks.collect();
    let ok = checks
        .iter()
        .all(|one| one.finding.severity != Severity::Problem);
    Findings { ok, checks }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// As people read it: every check, then how many are what.
fn render(findings: &Findings, style: Style) -> String {
    let mut text = String::new();
    for check in &findings.checks {
        text.push_str(&check.finding.render(check.name, style));
        text.push('\n');
    }
    let count = |severity| {
        findings
            .checks
            .iter()
            .filter(|one| one.finding.severity == severity)
            .count()
    };
    let (problems, warnings) = (count(Severity::Problem), count(Severity::Warning));
    let unknown = count(Severity::Unknown);
    let all = findings.checks.len();
    text.push_str(&format!(
        "of {all} checks: {}, {}, {unknown} not possible\n",
        counted(problems, "problem"),
        counted(warnings, "warning"),
    ));
    text
}
