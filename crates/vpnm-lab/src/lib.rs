//! The lab: the real program, in a world of its own, under attack.
//!
//! * [`harness`] runs cases and says how they ended;
//! * [`session`] is one world with the program under test in it;
//! * [`scenario`] are the ways in which a tunnel may leak, as data, and the
//!   driver that runs them;
//! * [`peer`] is an unmodified server to speak with, [`programs`] are
//!   unmodified daemons beside ours, [`resolver`] those that keep names.

mod guard;
pub mod harness;
pub mod machine;
pub mod peer;
pub mod product;
pub mod programs;
pub mod report;
pub mod resolver;
pub mod scenario;
pub mod session;
