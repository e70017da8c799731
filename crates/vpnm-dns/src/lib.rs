//! Resolver core without any IO: cache, coalescing, upstream choice, rules.
