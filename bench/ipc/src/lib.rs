//! The same small service in several frameworks, and what its clients measure.
//!
//! Each framework serves `echo`, which returns its argument, and `ticks`, a
//! stream of numbers, to nobody but root and the user it runs as, whom the
//! kernel names. Each server is a program of its own with one thread; each
//! client is the framework's own asynchronous one, on one thread too.

pub mod frameworks;
pub mod load;
pub mod statistics;
