//! Kernel and host state: links, routes, rules, packet filter, resolver settings.
