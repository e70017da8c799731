//! Links of both forms, well and badly written.
