//! The release binary: one file that needs nothing of the system it runs on.

use anyhow::{Context as _, Result, bail};

use crate::elf::Elf;
use crate::workspace::Workspace;
use crate::{output, release};

/// Builds the binary and looks at what came out.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let path = release::build(workspace)?;
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let elf = Elf::parse(&bytes).with_context(|| path.display().to_string())?;
    let faults = elf.faults();
    if !faults.is_empty() {
        bail!("{}: {}", path.display(), faults.join(", "));
    }
    output::line(&format!(
        "{}: static, position-independent, read-only after relocation, no executable stack, {:.1} MiB",
        path.display(),
        bytes.len() as f64 / f64::from(1 << 20)
    ));
    Ok(())
}
