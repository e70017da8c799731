//! Learns what the kernel's packet filter can do, by batches that cannot take effect.

use crate::firewall::Capabilities;
use crate::netlink::{Failure, Socket};
use crate::nft::{Batch, Chain, Hook, Table, TableFamily, Verdict};

/// A batch holds: its begin, the attempt, and a removal that must fail, so that the
/// kernel undoes everything and answers for each message.
fn refused(socket: &mut Socket, fill: impl FnOnce(&mut Batch)) -> Result<bool, Failure> {
    let mut batch = Batch::probe();
    fill(&mut batch);
    let attempt = batch.len();
    batch.remove(TableFamily::Arp);
    let mut refused = socket.batch(&batch.finish())?;
    if let Some(at) = refused.iter().position(|(index, _)| *index == 0) {
        return Err(refused.swap_remove(at).1);
    }
    Ok(refused.iter().any(|(index, _)| *index < attempt))
}

pub(super) fn capabilities(socket: &mut Socket) -> Result<Capabilities, Failure> {
    let ownership = !refused(socket, |batch| batch.claim(TableFamily::Inet, true))?;
    let holding = !refused(socket, |batch| batch.hold(TableFamily::Inet))?;
    let table = egress_on("lo");
    let egress = !refused(socket, |batch| {
        batch.claim(table.family, false);
        batch.fill(&table);
    })?;
    Ok(Capabilities {
        ownership,
        holding,
        egress,
    })
}

fn egress_on(device: &str) -> Table {
    let chain = Chain {
        name: "egress".to_owned(),
        kind: "filter".to_owned(),
        hook: Hook::Egress,
        priority: 0,
        policy: Verdict::Accept,
        devices: vec![device.to_owned()],
        rules: Vec::new(),
    };
    Table {
        family: TableFamily::Netdev,
        sets: Vec::new(),
        chains: vec![chain],
    }
}
