//! The control plane of vpnm: tunnel state machine, journal, supervisor.

pub mod tsm;
