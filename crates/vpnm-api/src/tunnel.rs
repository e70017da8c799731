//! What a program on this machine may ask of the daemon.
