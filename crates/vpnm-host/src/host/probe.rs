//! Learns what the kernel's packet filter can do, by batches that cannot take effect.

use crate::firewall::Capabilities;
use crate::netlink::{Failure, Socket};
use crate::nft::{Batch, Chain, Hook, Ownership, Table, TableFamily, Verdict};

/// A batch holds: its begin, the attempt, and a removal that must fail, so that the
/// kernel undoes everything and answers for each message.
fn refused(
    socket: &mut Socket,
    ownership: Ownership,
    fill: impl FnOnce(&mut Batch),
) -> Result<bool, Failure> {
    let mut batch = Batch::probe(ownership);
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
    let mut owns = |ownership| {
        let refused = refused(socket, ownership, |batch| batch.claim(TableFamily::Inet));
        refused.map(|refused| !refused)
    };
    let ownership = owns(Ownership::Persistent)?;
    let holding = owns(Ownership::WhileOpen)?;
    let on_loopback = ["lo".to_owned()];
    let nobodys = Ownership::Nobodys;
    let egress = !refused(socket, nobodys, |batch| {
        fill(batch, &egress_on(&on_loopback));
    })?;
    // The same kernels know chains without an interface. Older ones would take a chain for
    // another of the same name.
    let table = egress_on(&[]);
    let devices = !refused(socket, nobodys, |batch| {
        fill(batch, &table);
        for chain in &table.chains {
            batch.add_devices(table.family, chain, &on_loopback);
        }
    })?;
    let of_nobody = egress_on(&["vpnm-absent".to_owned()]);
    let absent = !refused(socket, nobodys, |batch| fill(batch, &of_nobody))?;
    Ok(Capabilities {
        ownership,
        holding,
        egress,
        devices,
        absent,
    })
}

fn fill(batch: &mut Batch, table: &Table) {
    batch.claim(table.family);
    batch.fill(table);
}

fn egress_on(devices: &[String]) -> Table {
    let chain = Chain {
        name: "egress".to_owned(),
        kind: "filter".to_owned(),
        hook: Hook::Egress,
        priority: 0,
        policy: Verdict::Accept,
        devices: devices.to_vec(),
        rules: Vec::new(),
    };
    Table {
        family: TableFamily::Netdev,
        sets: Vec::new(),
        chains: vec![chain],
    }
}
