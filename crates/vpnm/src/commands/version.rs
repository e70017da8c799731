//! `vpnm --version`

use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::output::Failure;

#[derive(Serialize)]
struct Version {
    program: &'static str,
    version: &'static str,
}

/// Says the version.
pub(crate) fn say(context: &Context) -> Result<Exit, Failure> {
    let version = Version {
        program: context.program.name,
        version: env!("CARGO_PKG_VERSION"),
    };
    context
        .output
        .line(format!("{} {}", version.program, version.version))?;
    context.output.json(&version)?;
    Ok(Exit::Success)
}
