//! The daemon: sockets, connections, calls.

mod accept;
mod admission;
mod audit;
mod call;
mod caller;
mod carry;
mod connection;
mod contain;
mod daemon;
mod error;
mod events;
mod hangup;
mod introspection;
mod limits;
mod line;
mod output;
mod policy;
mod product;
#[cfg(feature = "python")]
mod python;
mod record;
mod registry;
mod service;
mod shared;
mod signals;
mod socket;
mod users;

pub use audit::{Outcome, Record};
pub use caller::Caller;
pub use daemon::Daemon;
pub use error::{DaemonError, Result};
pub use events::{Events, NobodyListens};
#[cfg(feature = "blocking")]
pub use introspection::IntrospectionBlocking;
#[cfg(feature = "client")]
pub use introspection::IntrospectionClient;
pub use introspection::{
    Info, InterfaceText, Introspection, IntrospectionError, IntrospectionService,
};
pub use limits::Limits;
pub use policy::Decision;
pub use product::Product;
pub use service::{Answer, Answering, Call, Service};
pub use signals::signals;
pub use socket::Socket;
