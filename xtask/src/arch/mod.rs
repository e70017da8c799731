//! The rules of the architecture, checked on the source as it is.

mod cycles;
mod edges;
mod modules;
mod purity;
mod size;
mod source;
mod unsafety;

use anyhow::{Result, bail};

use crate::output;
use crate::workspace::Workspace;
use source::Crate;

/// Reads every crate and holds it against every rule.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let metadata = workspace.metadata()?;
    let mut faults = edges::faults(&metadata);
    faults.extend(size::file_faults(workspace)?);
    let mut modules = 0;
    for member in metadata.members() {
        let krate = Crate::read(&member.name, member.directory())?;
        modules += krate.modules.len();
        faults.extend(cycles::faults(&krate));
        faults.extend(size::function_faults(&krate));
        faults.extend(purity::faults(&krate));
        faults.extend(unsafety::faults(&krate));
    }
    if !faults.is_empty() {
        bail!(
            "{} faults of architecture:\n{}",
            faults.len(),
            faults.join("\n")
        );
    }
    output::line(&format!(
        "{} crates, {modules} modules: edges, cycles, sizes, purity and unsafe code are as they should be",
        metadata.members().count()
    ));
    Ok(())
}
