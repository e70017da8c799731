//! The contract between vpnm, its daemon and its engine.
