//! Proxy protocols and their transports.
