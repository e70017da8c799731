//! What has to be done, in order.

use crate::desired::Desired;
use crate::error::HostError;
use crate::observed::Observed;

/// The effects that bring an observed host to a desired state, in the order in
/// which no moment between two of them is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    effects: Vec<Effect>,
}

/// One change of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {}

impl Plan {
    /// The effects, first to last.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Whether the host is in the desired state already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// The plan that undoes this one.
    #[must_use]
    pub fn reversed(&self) -> Self {
        self.clone()
    }
}

/// Lists the effects that bring `observed` to `desired`; none when it is there.
///
/// # Errors
/// [`HostError::NoLink`] when a tunnel is desired and the link does not exist,
/// [`HostError::ForeignLink`] when it is not ours.
pub fn plan(observed: &Observed, desired: &Desired) -> Result<Plan, HostError> {
    let _ = (observed, desired);
    Ok(Plan::default())
}
