//! A network and a mount namespace of our own, known only by descriptor: when
//! the last descriptor and the last process are gone, so is everything inside.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread;

use rustix::mount::MountPropagationFlags;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::{files::Files, links, sys};

/// A network namespace and a mount namespace.
#[derive(Debug)]
pub(crate) struct Namespace {
    net: OwnedFd,
    mounts: OwnedFd,
}

impl Namespace {
    /// Makes both, with `files` mounted over the machine's and loopback up.
    pub(crate) fn create(files: &Files) -> io::Result<Self> {
        on_own_thread(|| {
            sys::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS)?;
            // Nothing mounted from here on shows up in the machine's tree.
            rustix::mount::mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            files.mount()?;
            links::set_up("lo", true)?;
            Ok(Self {
                net: File::open("/proc/thread-self/ns/net")?.into(),
                mounts: File::open("/proc/thread-self/ns/mnt")?.into(),
            })
        })
    }

    pub(crate) fn net(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }

    /// Copies of both descriptors: network, mounts.
    pub(crate) fn duplicate(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        Ok((self.net.try_clone()?, self.mounts.try_clone()?))
    }

    /// Moves the calling thread inside, for good.
    pub(crate) fn enter(&self) -> io::Result<()> {
        // Threads share root and working directory; a mount namespace is
        // entered alone.
        sys::unshare(UnshareFlags::FS)?;
        rustix::thread::move_into_link_name_space(
            self.net.as_fd(),
            Some(LinkNameSpaceType::Network),
        )?;
        rustix::thread::move_into_link_name_space(
            self.mounts.as_fd(),
            Some(LinkNameSpaceType::Mount),
        )?;
        Ok(())
    }

    /// Runs `work` inside, on a thread that ends with it.
    pub(crate) fn run<T: Send>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        on_own_thread(|| {
            self.enter()?;
            work()
        })
    }
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        thread::Builder::new()
            .name("world".to_owned())
            .spawn_scoped(scope, work)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
