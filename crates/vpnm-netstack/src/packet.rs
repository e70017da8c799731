//! Packets on their way in and out.

use vpnm_wire::{Chunk, Head, VnetHeader};

/// A packet from the link.
#[derive(Debug)]
pub struct Ingress {
    pub(crate) content: Chunk,
    pub(crate) offload: VnetHeader,
}

impl Ingress {
    /// A packet as it would be on a wire, its checksums complete.
    #[must_use]
    pub fn plain(content: Chunk) -> Self {
        Self {
            content,
            offload: VnetHeader::default(),
        }
    }

    /// A packet with what its virtio header said; `content` begins with the IP header.
    #[must_use]
    pub fn offloaded(content: Chunk, offload: VnetHeader) -> Self {
        Self { content, offload }
    }

    /// The packet from its IP header on.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// What the link has left to be done.
    #[must_use]
    pub fn offload(&self) -> VnetHeader {
        self.offload
    }

    /// Bytes from the IP header on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.content.len()
    }

    /// Whether there is not even a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.is_empty()
    }
}

/// A packet for the link: headers, then payload in at most two pieces.
#[derive(Debug)]
pub struct Transmit<'a> {
    pub(crate) offload: VnetHeader,
    pub(crate) head: Head,
    pub(crate) body: [&'a [u8]; 2],
}

impl Transmit<'_> {
    /// What is left to be done by the link; all zero for a link without offload.
    #[must_use]
    pub fn offload(&self) -> VnetHeader {
        self.offload
    }

    /// The packet from its IP header on, in pieces.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 3] {
        let [first, second] = self.body;
        [self.head.bytes(), first, second]
    }

    /// Bytes from the IP header on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts().iter().map(|part| part.len()).sum()
    }

    /// Whether there is nothing; never so for a packet of a stack.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
