//! Limits of a stack.

use std::num::NonZeroU32;

/// What a [`Stack`](crate::Stack) is built with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Longest IP packet of the link in bytes; at least 1280 (RFC 8200 section 5).
    pub mtu: u16,
    /// Whether the link takes super-packets and partial checksums.
    pub offload: bool,
    /// Whether the link also takes super-packets of TCP over IPv4 that are longer than the
    /// length field can tell, as Linux does since 6.3. Only hosts next to the link, whose
    /// packets arrive with Linux's own hop limit, get such: another link would have to cut
    /// them into packets of its MTU.
    pub oversize: bool,
    /// Keys the initial sequence numbers (RFC 6528), SYN cookies and the tables' hashes.
    pub secret: [u8; 32],
    /// Most TCP flows at one time; a SYN beyond is ignored.
    pub max_tcp_flows: usize,
    /// Most TCP flows whose handshake is not complete. A SYN beyond is answered and forgotten
    /// (SYN cookies, RFC 4987), up to 300 000 a second; as many flows again may wait for their
    /// user's decision once such an answer was acknowledged, and what comes for others is
    /// ignored.
    pub max_half_open: usize,
    /// Most UDP flows at one time; the one idle longest makes room.
    pub max_udp_flows: usize,
    /// Most bytes of buffers that all flows together may hold. From a quarter of it on
    /// each flow gets a share, and beyond it only one packet in each direction; where
    /// the application takes none, one of 2 KiB waits for it. Datagrams that nobody has
    /// taken yet may hold half of it, however many flows they are of.
    pub memory: usize,
}

impl Config {
    /// The defaults for a link of this MTU.
    #[must_use]
    pub fn new(mtu: u16, secret: [u8; 32]) -> Self {
        Self {
            mtu: mtu.max(1_280),
            offload: false,
            oversize: false,
            secret,
            max_tcp_flows: 131_072,
            max_half_open: 8_192,
            max_udp_flows: 32_768,
            memory: 64 << 20,
        }
    }

    /// For one of `stacks` that share a link: each has its part of every limit.
    #[must_use]
    pub fn divided(self, stacks: NonZeroU32) -> Self {
        let stacks = usize::try_from(stacks.get()).unwrap_or(usize::MAX);
        let part = |limit: usize| (limit / stacks).max(1);
        Self {
            max_tcp_flows: part(self.max_tcp_flows),
            max_half_open: part(self.max_half_open),
            max_udp_flows: part(self.max_udp_flows),
            memory: part(self.memory),
            ..self
        }
    }
}
