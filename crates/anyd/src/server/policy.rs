//! What a site decides.

/// What a site's policy says about a call that the method's own rule lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The rule stands.
    Allow,
    /// The call is refused, for this reason, which the caller is told.
    Deny(String),
}
