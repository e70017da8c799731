//! Varlink on the wire: JSON objects, each ended by a NUL byte
//! (<https://varlink.org/Method-Call>). No IO here.

mod head;
mod inbox;

#[cfg(feature = "server")]
pub(crate) use head::CallHead;
#[cfg(any(feature = "client", feature = "blocking"))]
pub(crate) use head::ReplyHead;
pub(crate) use inbox::{Inbox, Message};

/// Ends every message.
pub(crate) const END: u8 = 0;

/// The interface that every service has.
#[cfg(any(feature = "client", feature = "blocking"))]
pub(crate) const SERVICE: &str = "org.varlink.service";

/// Errors of [`SERVICE`], and ours where it has none.
pub(crate) mod errors {
    pub(crate) const INTERFACE_NOT_FOUND: &str = "org.varlink.service.InterfaceNotFound";
    pub(crate) const METHOD_NOT_FOUND: &str = "org.varlink.service.MethodNotFound";
    #[cfg(feature = "server")]
    pub(crate) const METHOD_NOT_IMPLEMENTED: &str = "org.varlink.service.MethodNotImplemented";
    pub(crate) const INVALID_PARAMETER: &str = "org.varlink.service.InvalidParameter";
    pub(crate) const PERMISSION_DENIED: &str = "org.varlink.service.PermissionDenied";
    pub(crate) const EXPECTED_MORE: &str = "org.varlink.service.ExpectedMore";
    #[cfg(feature = "server")]
    pub(crate) const MALFORMED: &str = "anyd.MalformedMessage";
    pub(crate) const INTERNAL: &str = "anyd.InternalError";
    pub(crate) const TIMEOUT: &str = "anyd.Timeout";
    pub(crate) const BUSY: &str = "anyd.TooManyConnections";
    pub(crate) const SHUTDOWN: &str = "anyd.ShuttingDown";
}
