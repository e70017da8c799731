//! Why an exchange over netlink failed, before it is known what it was for.

use std::io;

use crate::error::HostError;
use crate::names::TABLE;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel answered with an error number, and on newer kernels with words.
    Kernel { errno: i32, detail: Option<String> },
    /// The socket failed.
    Io(io::Error),
    /// The answer has a wrong format.
    Malformed,
}

impl Failure {
    /// The kernel's error number, if it was the kernel that refused.
    pub(crate) fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { errno, .. } => Some(*errno),
            Self::Io(_) | Self::Malformed => None,
        }
    }

    /// The error as those have it who know nothing of netlink.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Kernel { errno, .. } => io::Error::from_raw_os_error(errno),
            Self::Io(error) => error,
            Self::Malformed => io::ErrorKind::InvalidData.into(),
        }
    }

    /// Says what was being done.
    pub(crate) fn during(self, action: &'static str) -> HostError {
        match self {
            Self::Kernel {
                errno: libc::EPERM, ..
            } => HostError::NotPermitted { action },
            Self::Kernel { errno, detail } => HostError::Refused {
                action,
                detail,
                source: io::Error::from_raw_os_error(errno),
            },
            Self::Io(source) => HostError::Refused {
                action,
                detail: None,
                source,
            },
            Self::Malformed => HostError::Malformed { action },
        }
    }

    /// As [`Failure::during`] for the packet filter, where a refusal to somebody
    /// with the permission means that another process owns the table.
    pub(crate) fn during_filter_change(self, action: &'static str) -> HostError {
        match self.errno() {
            Some(libc::EPERM) => HostError::Owned { table: TABLE },
            _ => self.during(action),
        }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}
