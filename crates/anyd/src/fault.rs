//! The errors of an interface.

use std::convert::Infallible;
use std::fmt;

use crate::idl::Errors;
use crate::parameters::{Invalid, Parameters};
use crate::writer::FieldWriter;

/// The errors that the methods of an interface return:
/// `#[derive(anyd::Fault)]` on an enum.
///
/// ```
/// #[derive(Debug, anyd::Fault)]
/// #[fault(interface = "org.example.Tunnel")]
/// enum TunnelError {
///     /// The text is the variant's name in words.
///     NotUp,
///     #[fault("already connected to {server}")]
///     AlreadyUp { server: String },
/// }
/// assert_eq!(TunnelError::NotUp.to_string(), "not up");
/// let up = TunnelError::AlreadyUp { server: "home".into() };
/// assert_eq!(up.to_string(), "already connected to home");
/// ```
///
/// On the wire a variant is the error `org.example.Tunnel.AlreadyUp` with its
/// fields as parameters; the client gets the same variant back as
/// [`CallError::Remote`](crate::CallError::Remote). The derive writes `Display`
/// and `Error`, unless told `#[fault(interface = "…", own_display)]`.
pub trait Fault: fmt::Debug + fmt::Display + Sized {
    /// The interface that the errors belong to.
    const INTERFACE: &'static str;

    /// The full name of the error.
    fn name(&self) -> &'static str;

    /// Writes the error's parameters.
    fn write(&self, fields: &mut FieldWriter);

    /// Makes the error of its name and parameters; `None` for a name that is
    /// not one of these.
    fn read(name: &str, parameters: &Parameters<'_>) -> Result<Option<Self>, Invalid>;

    /// Describes the errors in the interface's text.
    fn describe(errors: &mut Errors<'_>);
}

/// For methods that cannot fail.
impl Fault for Infallible {
    const INTERFACE: &'static str = "";

    fn name(&self) -> &'static str {
        match *self {}
    }

    fn write(&self, _: &mut FieldWriter) {
        match *self {}
    }

    fn read(_: &str, _: &Parameters<'_>) -> Result<Option<Self>, Invalid> {
        Ok(None)
    }

    fn describe(_: &mut Errors<'_>) {}
}
