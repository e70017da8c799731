//! Connections of programs from before the tunnel.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::Result;
use vpnm_world::addresses::SITE;
use vpnm_world::internet::ECHO_PORT;
use vpnm_world::{User, Visitor};

use crate::session::Session;

/// How many are opened.
const FLOWS: usize = 20;

/// Open connections of a user.
#[derive(Debug, Default)]
pub(super) struct Flows(Vec<TcpStream>);

impl Flows {
    /// Opens them and fills them.
    pub(super) fn open(&mut self, session: &Session) -> Result<()> {
        let alice = Visitor::new(session.client(), User::Alice);
        for _ in 0..FLOWS {
            let flow = alice.connect((SITE.v4, ECHO_PORT).into())?;
            flow.set_nonblocking(true)?;
            self.0.push(flow);
        }
        self.write();
        Ok(())
    }

    /// Writes until the kernel takes no more; the echo is never read.
    pub(super) fn write(&mut self) {
        for flow in &mut self.0 {
            while flow.write(&[0x55; 64 * 1024]).is_ok() {}
        }
    }

    /// Ends the programs; what they had written stays behind.
    pub(super) fn drop_all(&mut self) {
        self.0.clear();
    }
}
