//! The other end: servers that flows come out of.
