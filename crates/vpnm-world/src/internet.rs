//! The embedded internet: a web site, resolvers, echo, source and sink, a
//! certificate authority, and the proxy node.

mod accept;
mod dns;
mod doh;
mod flood;
mod node;
mod plain;
mod queries;
mod resolver;
mod service;
mod services;
mod web;

pub use flood::{ECHO_PORT, SINK_PORT, SOURCE_PORT};
pub use node::{Carrier, Node};
pub use queries::{Carriage, Query};
pub use services::{Internet, InternetError};
