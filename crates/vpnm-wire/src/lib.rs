//! Packets, addresses, checksums and buffers.
//!
//! The bottom of the workspace: values that every other crate speaks in. Nothing
//! here performs IO, reads a clock or draws randomness, and no bytes of a packet
//! make it panic.

#![forbid(unsafe_code)]

mod affinity;
mod buffer;
mod checksum;
mod datagrams;
mod flow;
mod head;
mod icmp;
mod ip;
pub mod protocol;
mod target;
mod tcp;
mod udp;
mod vnet;

pub use affinity::{AFFINITY_MULTIPLIER, Affinity};
pub use buffer::{Buffer, BufferPool, Chunk, HUGE, LARGE, MEDIUM, SMALL};
pub use checksum::Checksum;
pub use datagrams::Datagrams;
pub use flow::FlowKey;
pub use head::Head;
pub use icmp::{ICMP_HEADER, Icmp, IcmpError, encode_echo_reply, encode_error, is_icmp_error};
pub use ip::{Fragment, IPV4_HEADER, IPV6_HEADER, IpBuilder, IpError, IpHeader};
pub use target::{Domain, Host, HostError, Target, TargetError};
pub use tcp::{
    MAX_SACK, Seq, TCP_CHECKSUM, TCP_HEADER, TCP_STAMPS, TcpFlags, TcpHeader, TcpOptions, TcpStamps,
};
pub use udp::{UDP_CHECKSUM, UDP_HEADER, UdpHeader};
pub use vnet::{ChecksumState, LENGTH as VNET_LENGTH, Segmentation, VnetHeader};
