//! Programs for the kernel.

#![expect(unsafe_code, reason = "bpf has no safe interface")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// `BPF_PROG_LOAD` and `BPF_PROG_TYPE_SOCKET_FILTER` (include/uapi/linux/bpf.h).
const LOAD: libc::c_int = 5;
const SOCKET_FILTER: u32 = 1;

/// `union bpf_attr` as far as every kernel reads it to load a program.
#[repr(C)]
struct Attributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    version: u32,
    flags: u32,
}

/// Has the kernel verify and take a program that looks at packets.
pub(crate) fn load(program: &[[u8; 8]]) -> io::Result<OwnedFd> {
    let license = c"MIT";
    let attributes = Attributes {
        kind: SOCKET_FILTER,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: address(program.as_ptr().cast()),
        license: address(license.as_ptr().cast()),
        log_level: 0,
        log_size: 0,
        log: 0,
        version: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads `attributes`, the instructions and the license, all of
    // which outlive the call, and writes nothing.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            LOAD,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just made the descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn address(of: *const u8) -> u64 {
    u64::try_from(of.addr()).unwrap_or(0)
}
