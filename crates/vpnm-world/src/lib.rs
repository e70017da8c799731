//! Small worlds of network namespaces: hosts, links, capture, an embedded internet.
