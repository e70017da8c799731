//! IPC framework for privileged Unix daemons.
