//! Why a stack wants to be woken.

/// Why a stack wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// An application may have given up before its connection was decided on.
    Undecided,
    /// A SYN-ACK may have to be sent again.
    Handshake,
    /// Data may have to be sent again.
    Retransmit,
    /// Whether the last data sent arrived is to be found out.
    TailProbe,
    /// Whether packets that others overtook are late or lost is to be decided.
    Reordering,
    /// A closed window is to be probed.
    ClosedWindow,
    /// A silent application may have vanished.
    KeepAlive,
    /// A connection that nobody holds any more may have waited long enough.
    Orphan,
    /// An acknowledgement has waited long enough for data to carry it.
    Acknowledge,
    /// Something remembered can be forgotten.
    Expiry,
}
