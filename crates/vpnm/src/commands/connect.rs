//! `vpnm connect`

use std::ffi::OsStr;

use vpnm_api::ShareLink;
use vpnm_profile::{Link, LinkError};

use super::{Context, attempt};
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Flag, Group, Kind, Operand, Value};
use crate::exit::Exit;
use crate::output::{Failure, Problem, chain};
use crate::secret;

const FILE: Flag = Flag {
    long: "file",
    short: Some('f'),
    value: Some(Value {
        name: "FILE",
        kind: Kind::File,
    }),
    summary: "Read the link from a file",
    details: "The first line that is neither empty nor begins with # is the link.",
};

/// What a link is given by.
const EXAMPLE: &str = "vpnm connect 'vless://ID@HOST:PORT?security=tls'";

pub(super) const COMMAND: Command = Command {
    name: "connect",
    group: Group::Tunnel,
    summary: "Send all traffic of this machine through a server",
    about: "\
Blocks the machine first, then builds the tunnel, proves it by a query that is answered through \
it, and only then leads traffic into it. If that fails, the machine stays blocked: nothing leaves \
until a later attempt succeeds or you say \"vpnm disconnect\".

Without a link it connects to the last server. While the tunnel is up, another link switches to \
that server; nothing leaves in between.

The link holds a secret, and a command line can be read by every user of this machine: \
\"vpnm connect -\" takes it from standard input, --file from a file. It is never shown.",
    operands: &[Operand {
        name: "LINK",
        summary: "A share link, vless://... or vmess://...; - reads it from standard input",
        optional: true,
        kind: Kind::Text,
    }],
    flags: &[&FILE],
    examples: &[
        (
            "vpnm connect 'vless://ID@vpn.example.com:443?security=tls&type=ws&path=%2Fray'",
            "Connect to a server; the quotes keep the shell from splitting the link",
        ),
        (
            "vpnm connect - < home.link",
            "Connect, and show the link to nobody",
        ),
        ("vpnm connect", "Connect to the last server again"),
    ],
};

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let Some(link) = link(matches)? else {
        return attempt::run(context, |tunnel| tunnel.connect(None));
    };
    let unknown: Vec<&str> = link
        .ignored
        .iter()
        .filter(|ignored| ignored.is_unknown())
        .map(|ignored| ignored.key.as_str())
        .collect();
    if !unknown.is_empty() {
        return Err(Problem::new(
            Exit::Usage,
            "unknown_key",
            "this link cannot be used",
            format!("it says what is not known here: {}", unknown.join(", ")),
            "correct the slip, or take it out of the link, then vpnm connect 'LINK'",
        )
        .into());
    }
    for ignored in &link.ignored {
        context
            .output
            .note(format!("note:  left out of account: {ignored}"))?;
    }
    let link = ShareLink(link.profile);
    attempt::run(context, move |tunnel| tunnel.connect(Some(link)))
}

/// The link that was given, checked before anybody is asked to use it.
fn link(matches: &Matches) -> Result<Option<Link>, Problem> {
    let text = match (matches.operand(0), matches.value(&FILE)) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                Exit::Usage,
                "usage",
                "both a link and --file were given",
                "there is one server at a time",
                "vpnm connect --file FILE",
            ));
        }
        (None, None) => return Ok(None),
        (Some(word), None) if word == OsStr::new("-") => secret::read_standard_input()?,
        (Some(word), None) => word.to_string_lossy().into_owned(),
        (None, Some(path)) => secret::read_file(path)?,
    };
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(line) = line else {
        return Err(Problem::new(
            Exit::Usage,
            "bad_link",
            "there is no link",
            "all that was given is empty lines and comments",
            EXAMPLE,
        ));
    };
    line.parse()
        .map(Some)
        .map_err(|error| bad_link(line, &error))
}

fn bad_link(line: &str, error: &LinkError) -> Problem {
    let next = if line.contains("://") {
        "correct the link, then vpnm connect 'LINK'; vpnm help connect shows one"
    } else {
        EXAMPLE
    };
    Problem::new(
        Exit::Usage,
        "bad_link",
        "this link cannot be used",
        chain(error),
        next,
    )
}
