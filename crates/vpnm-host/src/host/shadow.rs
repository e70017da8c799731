//! A second copy of the packet filter, where tables end with their owner (Linux 5.12
//! to 6.8).
//!
//! There the tables have no owner, because they are to outlive the daemon, and whoever
//! flushes the packet filter takes them away until they are put back. The copy is this
//! process's alone: others cannot flush it, so it holds meanwhile, and the kernel removes
//! it when the process ends. Address translation is not in it: it holds nothing back.

use crate::netlink::{Failure, Protocol, Socket};
use crate::nft::{Batch, Table, TableFamily};

/// The copy, as far as there is one.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    held: Option<Held>,
    /// The last attempt failed, which has been said.
    failed: bool,
}

/// Tables, and the socket that owns them.
#[derive(Debug)]
struct Held {
    socket: Socket,
    tables: Vec<Table>,
}

impl Shadow {
    /// Makes the copy one of these tables, which are in place, or removes it if there are
    /// none. `anew` is for those that were replaced: with an interface the kernel may have
    /// taken a hook from the copy, too.
    ///
    /// A copy that cannot be made is none: what is in place holds without it, and an old
    /// one would hold back what may leave now.
    pub(super) fn follow(&mut self, tables: &[Table], anew: bool) {
        let tables: Vec<Table> = tables.iter().map(without_translation).collect();
        let held = self.held.take();
        if tables.is_empty() {
            // The kernel removes what belongs to a socket that is closed.
            return;
        }
        match Held::follow(held, tables, anew) {
            Ok(held) => {
                self.held = Some(held);
                self.failed = false;
            }
            Err(failure) if !self.failed => {
                self.failed = true;
                let error = failure.during("copy the packet filter");
                tracing::warn!(%error, "others can flush the packet filter for a moment");
            }
            Err(_) => {}
        }
    }
}

impl Held {
    fn follow(held: Option<Self>, tables: Vec<Table>, anew: bool) -> Result<Self, Failure> {
        let mut held = match held {
            Some(held) if held.tables == tables && !anew => return Ok(held),
            Some(held) => held,
            None => Self {
                socket: Socket::open(Protocol::Netfilter, 0)?,
                tables: Vec::new(),
            },
        };
        let mut batch = Batch::shadow();
        for family in TableFamily::ALL {
            let of_family = |table: &&Table| table.family == family;
            if held.tables.iter().any(|table| of_family(&table)) {
                batch.remove(family);
            }
            if let Some(table) = tables.iter().find(of_family) {
                batch.hold(family);
                batch.fill(table);
            }
        }
        let refused = held.socket.batch(&batch.finish())?;
        if let Some((_, failure)) = refused.into_iter().next() {
            return Err(failure);
        }
        held.tables = tables;
        Ok(held)
    }
}

fn without_translation(table: &Table) -> Table {
    let mut table = table.clone();
    table.chains.retain(|chain| chain.kind != "nat");
    table
}
