//! The crate to build a privileged Unix daemon with.
//!
//! One trait says everything: the methods, their parameters, who may call
//! them. `#[anyd::service]` makes of it the server's side, an asynchronous
//! and a blocking client, and a description that other languages read. On the
//! wire it is [Varlink](https://varlink.org) over a Unix socket: `varlinkctl`,
//! Python, Go and a shell script call the daemon with nothing of this crate.
//!
//! ```
//! use anyd::{Caller, Events, types::Text};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, anyd::Type)]
//! struct Echoed {
//!     arg: String,
//! }
//!
//! #[derive(Debug, anyd::Fault)]
//! #[fault(interface = "org.example.Echo")]
//! enum EchoError {
//!     Silence,
//! }
//!
//! #[anyd::service(interface = "org.example.Echo")]
//! trait Echo {
//!     /// Returns its argument.
//!     #[access(anyone)]
//!     async fn echo(&self, caller: &Caller, arg: Text<0, 4096>) -> Result<Echoed, EchoError>;
//! }
//!
//! struct Wall;
//! impl Echo for Wall {
//!     async fn echo(&self, _: &Caller, arg: Text<0, 4096>) -> Result<Echoed, EchoError> {
//!         if arg.is_empty() {
//!             return Err(EchoError::Silence);
//!         }
//!         Ok(Echoed { arg: arg.into() })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = std::env::temp_dir().join(format!("anyd-doc-{}", std::process::id()));
//! # let path = dir.join("echo.sock");
//! # let there = path.clone();
//! let daemon = anyd::Daemon::new(anyd::product!())
//!     .serve(EchoService(Wall))
//!     .listen(anyd::Socket::path(&path).mode(0o666));
//! # let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! # let running = tokio::spawn(daemon.run(async { let _ = stopped.await; }));
//! # while anyd::Client::open_trusting(&there, anyd::Trust::RootOrSelf).await.is_err() {
//! #     tokio::task::yield_now().await;
//! # }
//! # let trust = anyd::Trust::RootOrSelf;
//! let mut echo: EchoClient = anyd::Client::open_trusting(&path, trust).await?.into();
//! assert_eq!(echo.echo("hello".parse()?).await?.arg, "hello");
//! # stop.send(()).unwrap();
//! # running.await??;
//! # std::fs::remove_dir_all(dir)?;
//! # Ok(())
//! # }
//! ```

extern crate self as anyd;

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[doc(hidden)]
pub use serde_json as __serde_json;

#[cfg(not(any(feature = "blocking", feature = "client", feature = "server")))]
compile_error!("anyd needs one of the features server, client and blocking");

mod access;
#[cfg(feature = "blocking")]
pub mod blocking;
#[cfg(any(feature = "client", feature = "blocking"))]
mod call_error;
#[cfg(feature = "client")]
pub mod client;
mod descriptors;
#[cfg(any(feature = "client", feature = "blocking"))]
mod dynamic;
mod fault;
#[cfg(feature = "test")]
#[doc(hidden)]
pub mod fuzz;
mod groups;
pub mod idl;
mod method;
mod parameters;
mod peer;
#[cfg(feature = "python")]
mod pickle;
mod rate;
#[cfg(any(feature = "client", feature = "blocking"))]
mod replies;
#[cfg(any(feature = "client", feature = "blocking"))]
mod request;
#[cfg(feature = "server")]
pub mod server;
#[cfg(any(feature = "client", feature = "server"))]
mod stream;
mod sys;
#[cfg(feature = "systemd")]
pub mod systemd;
#[cfg(feature = "test")]
pub mod test;
#[cfg(any(feature = "client", feature = "blocking"))]
mod trust;
pub mod types;
mod wire;
mod with_fds;
mod writer;

pub use access::{Access, Subject};
/// Makes a service of a trait.
///
/// Of `trait Tunnel` it makes `TunnelService<T>`, which a
/// [`Daemon`] serves with any `T: Tunnel`; `TunnelClient`, made of a
/// [`Client`]; `TunnelBlocking`, made of a
/// [`blocking::Client`]; and `TunnelClient::INTERFACE`, the
/// [`Interface`] with its methods and its text. The trait is also implemented
/// for `Arc<T>`, and gets the provided method `owner`, which
/// `#[access(owner)]` asks.
///
/// Every method is an `async fn` with `&self`, `caller: &Caller`, then its
/// parameters, which travel by their names, and a `Result<Reply, Fault>`:
///
/// * parameters are `Serialize + DeserializeOwned + Type`, and best such that
///   a wrong value cannot be made: see [`types`];
/// * the reply is a struct with [`Type`], or `()`;
/// * the error is an enum with [`Fault`], or `Infallible`;
/// * with a last argument `out: Events<Reply>` and the result `()` the method
///   answers with a stream.
///
/// | attribute | |
/// |---|---|
/// | `#[access(…)]` | who may call it: see [`Access`]; without it the method does not compile |
/// | `#[timeout("20s")]` | drops the handler after this time; a change that must not be left half done belongs in a task of its own |
/// | `#[exclusive]` | one such call at a time, in the whole daemon |
/// | `#[oneway]` | the client does not wait: it learns nothing of the call |
/// | `#[rate(5, per = "1s")]` | paces the calls of each user |
/// | `#[audit]`, `#[audit(fields(a, b))]` | leaves a record of every call, with these parameters |
/// | `#[fds(in = 1)]`, `#[fds(in = 1..=5)]` | takes descriptors, in an argument `fds: Vec<OwnedFd>`; the client passes borrowed ones |
/// | `#[fds(out = 1)]` | returns descriptors, in [`WithFds`] |
///
/// A method that does not say who may call it does not compile:
///
/// ```compile_fail
/// #[anyd::service(interface = "org.example.Open")]
/// trait Open {
///     async fn reboot(&self, caller: &anyd::Caller) -> Result<(), std::convert::Infallible>;
/// }
/// # fn main() {}
/// ```
///
/// Nor does one whose reply has values without names:
///
/// ```compile_fail
/// #[anyd::service(interface = "org.example.Bare")]
/// trait Bare {
///     #[access(anyone)]
///     async fn names(&self, caller: &anyd::Caller) -> Result<Vec<String>, std::convert::Infallible>;
/// }
/// # fn main() {}
/// ```
///
/// Both in their right form:
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize, anyd::Type)]
/// struct Names {
///     names: Vec<String>,
/// }
///
/// #[anyd::service(interface = "org.example.Open")]
/// trait Open {
///     #[access(any(root, group = "wheel"))]
///     async fn reboot(&self, caller: &anyd::Caller) -> Result<(), std::convert::Infallible>;
///     #[access(anyone)]
///     async fn names(&self, caller: &anyd::Caller) -> Result<Names, std::convert::Infallible>;
/// }
/// # fn main() {}
/// ```
pub use anyd_macros::service;
pub use anyd_macros::{Fault, Type};
#[cfg(any(feature = "client", feature = "blocking"))]
pub use call_error::CallError;
#[cfg(feature = "client")]
pub use client::Client;
#[cfg(any(feature = "client", feature = "blocking"))]
pub use dynamic::{Args, DynamicError};
pub use fault::Fault;
pub use groups::Groups;
pub use idl::{Reply, Type};
pub use method::{Interface, Method};
pub use parameters::{Invalid, Parameter, Parameters};
pub use peer::{OVERFLOW_UID, Peer};
pub use rate::Rate;
#[cfg(any(feature = "client", feature = "blocking"))]
pub use request::Request;
#[cfg(feature = "server")]
pub use server::{
    Answering, Call, Caller, Daemon, DaemonError, Decision, Events, Limits, Product, Result,
    Service, Socket, signals,
};
#[cfg(any(feature = "client", feature = "blocking"))]
pub use trust::Trust;
pub use with_fds::WithFds;
pub use writer::FieldWriter;

/// Passes generated code through: the feature is on.
#[cfg(feature = "server")]
#[doc(hidden)]
#[macro_export]
macro_rules! __server {
    ($($code:tt)*) => { $($code)* };
}

/// Drops generated code: the feature is off.
#[cfg(not(feature = "server"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __server {
    ($($code:tt)*) => {};
}

/// Passes generated code through: the feature is on.
#[cfg(feature = "client")]
#[doc(hidden)]
#[macro_export]
macro_rules! __client {
    ($($code:tt)*) => { $($code)* };
}

/// Drops generated code: the feature is off.
#[cfg(not(feature = "client"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __client {
    ($($code:tt)*) => {};
}

/// Passes generated code through: the feature is on.
#[cfg(feature = "blocking")]
#[doc(hidden)]
#[macro_export]
macro_rules! __blocking {
    ($($code:tt)*) => { $($code)* };
}

/// Drops generated code: the feature is off.
#[cfg(not(feature = "blocking"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __blocking {
    ($($code:tt)*) => {};
}
