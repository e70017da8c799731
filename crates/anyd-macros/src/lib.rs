//! The service macro of anyd.
