//! The engine as the product runs it, with a proxy protocol of its own to the server: the
//! dispatcher and a profile's outbound behind the device, in a process that can be measured.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use vpnm_engine::dialer::BypassDialer;
use vpnm_engine::dispatcher::{Dispatcher, Naming};
use vpnm_engine::doh::Endpoint;
use vpnm_engine::exit::Exit;
use vpnm_engine::monitor::Monitor;
use vpnm_engine::names::Names;
use vpnm_engine::netshell;
use vpnm_profile::Profile;
use vpnm_proxy::Outbound;
use vpnm_wire::Host;

use crate::device;

/// What this program is told to be the engine by.
pub(crate) const WORD: &str = "carry";
/// The device's MTU in bytes.
const MTU: u16 = 1500;

/// Serves the device until it is gone: `arguments` are a share link and the file of the
/// authority that its server's certificate is of.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> anyhow::Result<()> {
    let link = arguments.next().context("there is no link")?;
    let authority = arguments.next().context("there is no authority")?;
    let profile: Profile = link.to_string_lossy().parse()?;
    let Host::Ip(ip) = profile.server.host else {
        bail!("the server has no address");
    };
    let server = vec![SocketAddr::new(ip, profile.server.port)];
    let roots = Arc::new(trusted(Path::new(&authority))?);
    let outbound = Outbound::new(&profile, server, Arc::new(BypassDialer::default()), roots)?;
    let device = device::open()?;
    netshell::runtime()?.block_on(serve(device.fd, outbound))
}

fn trusted(authority: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority)? {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

async fn serve(device: OwnedFd, outbound: Outbound) -> anyhow::Result<()> {
    let exit = Rc::new(Exit::default());
    exit.replace(Some(outbound));
    // No load asks for a name.
    let resolvers: Rc<[Endpoint]> = Rc::new([]);
    let monitor = Monitor::new(Rc::clone(&exit), Rc::clone(&resolvers));
    let names = Names::new(resolvers, Rc::clone(&exit), Rc::clone(&monitor), 0);
    let dispatcher = Dispatcher::new(exit, names, monitor, Naming::default());
    let config = netshell::Config::new(MTU)?;
    Ok(netshell::run(device, config, Rc::new(dispatcher)).await?)
}
