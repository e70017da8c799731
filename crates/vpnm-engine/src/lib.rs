//! The data plane of vpnm: one unprivileged, sandboxed process per tunnel.
//!
//! Everything that came from the network is handled here and nowhere else:
//! packets of the tunnel device, answers of the proxy server, DNS messages. The
//! process holds no privilege, changes no kernel state, and dies with the daemon
//! that started it.

pub mod device;
pub mod netshell;
pub mod sandbox;
pub mod tun2socks;
