//! From the reviewed allow-list to the kernel's filter program.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::syscalls::{Argument, Entry};

/// Why there is no system-call filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The filter compiler does not know this processor.
    #[error("no system-call filter can be built for {ARCH}")]
    Architecture(#[source] seccompiler::BackendError),
    /// The allow-list does not make a program.
    #[error("the system-call filter cannot be built")]
    Build(#[source] seccompiler::BackendError),
    /// The kernel refused the program.
    #[error("the kernel refused the system-call filter")]
    Install(#[source] seccompiler::Error),
}

/// Builds the filter and hands it to the kernel, for this thread and all it could start.
///
/// What is not in the list kills the process: a compromised engine is stopped at its
/// first attempt and the kernel's audit log names the call.
pub(super) fn install(allowed: &[Entry]) -> Result<(), FilterError> {
    let program = build(allowed)?;
    seccompiler::apply_filter(&program).map_err(FilterError::Install)
}

fn build(allowed: &[Entry]) -> Result<BpfProgram, FilterError> {
    let architecture = TargetArch::try_from(ARCH).map_err(FilterError::Architecture)?;
    let mut rules = BTreeMap::new();
    for entry in allowed {
        rules.insert(
            entry.number,
            conditions(entry.argument).map_err(FilterError::Build)?,
        );
    }
    SeccompFilter::new(
        rules,
        SeccompAction::KillProcess,
        SeccompAction::Allow,
        architecture,
    )
    .and_then(BpfProgram::try_from)
    .map_err(FilterError::Build)
}

/// An empty list of rules permits the call whatever its arguments.
fn conditions(argument: Argument) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |index, operator, value| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
    };
    match argument {
        Argument::Any => Ok(Vec::new()),
        Argument::OneOf(index, values) => values
            .iter()
            .map(|&value| rule(index, SeccompCmpOp::Eq, value))
            .collect(),
        Argument::Without(index, bits) => Ok(vec![rule(index, SeccompCmpOp::MaskedEq(bits), 0)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::syscalls::ALLOWED;
    use super::*;

    #[test]
    fn the_allow_list_makes_a_program_the_kernel_would_take() {
        let program = build(ALLOWED).unwrap();
        assert!(program.len() <= 4096, "BPF_MAXINSNS");
    }
}
