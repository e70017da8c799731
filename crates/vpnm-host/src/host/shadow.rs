//! A second copy of the packet filter, where tables end with their owner (Linux 5.12
//! to 6.8).
//!
//! There the tables have no owner, because they are to outlive the daemon, and whoever
//! flushes the packet filter takes them away until they are put back. The copy belongs to
//! a socket: others cannot flush it, so it holds meanwhile, and the kernel removes it when
//! nobody has that socket open any more. Address translation is not in it: it holds
//! nothing back.

use std::os::fd::{AsFd, BorrowedFd};

use super::carry_out::replace;
use super::read;
use crate::effect::FilterChange;
use crate::firewall::Capabilities;
use crate::names::SHADOW_TABLE;
use crate::netlink::{Failure, Socket};
use crate::nft::{Batch, Read, Table, TableFamily};

/// The copy, as far as there is one.
#[derive(Debug)]
pub(super) struct Shadow {
    /// Whose it is.
    socket: Socket,
    capabilities: Capabilities,
    /// What it is, unless that has to be read.
    tables: Option<Vec<Table>>,
    /// The last attempt failed, which has been said.
    failed: bool,
}

impl Shadow {
    /// The copy that belongs to a socket, perhaps since before this process.
    pub(super) fn of(socket: Socket, capabilities: Capabilities) -> Self {
        Self {
            socket,
            capabilities,
            tables: None,
            failed: false,
        }
    }

    /// Makes the copy one of these tables, which are in place, or removes it if there are
    /// none. `anew` is for those that were replaced: with an interface the kernel may have
    /// taken a hook from the copy, too.
    ///
    /// A copy that cannot be made is none: what is in place holds without it, and an old
    /// one would hold back what may leave now.
    pub(super) fn follow(&mut self, tables: &[Table], anew: bool) {
        let tables: Vec<Table> = tables.iter().map(without_translation).collect();
        if !anew && self.tables.as_ref() == Some(&tables) {
            return;
        }
        self.tables = None;
        match self.make(&tables) {
            Ok(()) => {
                self.tables = Some(tables);
                self.failed = false;
            }
            Err(failure) => {
                self.remove();
                if !self.failed {
                    let error = failure.during("copy the packet filter");
                    tracing::warn!(%error, "others can flush the packet filter for a moment");
                }
                self.failed = true;
            }
        }
    }

    fn make(&mut self, tables: &[Table]) -> Result<(), Failure> {
        let found = read::tables(&mut self.socket, SHADOW_TABLE)?;
        let owner = self.socket.port();
        let is_ours = |read: &Read| !read.foreign && read.owner == Some(owner);
        let change = FilterChange {
            ours: found.iter().all(is_ours),
            from: found.into_iter().map(|read| read.table).collect(),
            to: tables.to_vec(),
        };
        if change.from == change.to && change.ours {
            return Ok(());
        }
        let mut batch = Batch::shadow();
        replace(&mut batch, &change, self.capabilities);
        self.commit(batch)
    }

    fn remove(&mut self) {
        let mut batch = Batch::shadow();
        for family in TableFamily::ALL {
            batch.clear(family);
        }
        // One that belongs to another socket goes with that.
        let _kept = self.commit(batch);
    }

    fn commit(&mut self, batch: Batch) -> Result<(), Failure> {
        let mut refused = self.socket.batch(&batch.finish())?.into_iter();
        refused.next().map_or(Ok(()), |(_, failure)| Err(failure))
    }
}

impl AsFd for Shadow {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn without_translation(table: &Table) -> Table {
    let mut table = table.clone();
    table.chains.retain(|chain| chain.kind != "nat");
    table
}
