//! The command line as data: one definition of every command and flag, and
//! what is derived from it.
//!
//! [`spec`] says what exists; [`parse`] reads an argument list against it;
//! [`help`], [`man`], [`mod@reference`] and [`completions`] describe it. None of
//! them knows a command by name, so a flag that is defined is also parsed,
//! explained and completed.

pub(crate) mod completions;
pub(crate) mod help;
pub(crate) mod man;
pub(crate) mod parse;
pub(crate) mod reference;
pub(crate) mod spec;
mod suggest;
