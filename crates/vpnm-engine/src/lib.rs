//! The data plane of vpnm: one unprivileged, sandboxed process per tunnel.
//!
//! Everything that came from the network is handled here and nowhere else:
//! packets of the tunnel device, answers of the proxy server, DNS messages. The
//! process holds no privilege, changes no kernel state, and dies with the daemon
//! that started it.

pub mod check;
pub mod control;
mod datagram_relay;
mod datagram_run;
pub mod device;
pub mod dialer;
pub mod dispatcher;
pub mod doh;
pub mod engine;
pub mod exit;
mod fault;
pub mod health;
mod local_port;
pub mod monitor;
pub mod names;
pub mod netshell;
pub mod process;
pub mod roots;
pub mod sandbox;
pub mod tun2socks;

pub use process::main;
