//! User-space termination of IP, TCP, UDP and ICMP without any IO.
