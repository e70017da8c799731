//! The vpnm binary.

fn main() {}
