//! `vpnm man`

use serde::Serialize;

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Flag, Group};
use crate::cli::{man, reference};
use crate::exit::Exit;
use crate::output::Failure;

const MARKDOWN: Flag = Flag {
    long: "markdown",
    short: None,
    value: None,
    summary: "Print the command reference as Markdown instead",
    details: "",
};

pub(super) const COMMAND: Command = Command {
    name: "man",
    group: Group::Tools,
    summary: "Print the manual page",
    about: "The page is roff source, as man(1) reads it.",
    operands: &[],
    flags: &[&MARKDOWN],
    examples: &[
        ("vpnm man | man -l -", "Read the manual"),
        (
            "vpnm man | sudo tee /usr/local/share/man/man1/vpnm.1 > /dev/null",
            "Install the manual",
        ),
    ],
};

#[derive(Serialize)]
struct Page<'a> {
    format: &'a str,
    page: &'a str,
}

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let (format, page) = if matches.has(&MARKDOWN) {
        ("markdown", reference::markdown(context.program))
    } else {
        let version = env!("CARGO_PKG_VERSION");
        ("roff", man::page(context.program, version))
    };
    context.output.text(&page)?;
    context.output.json(&Page {
        format,
        page: &page,
    })?;
    Ok(Exit::Success)
}
