//! Our client as a process: a port whose connections leave through an outbound.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpListener;
use vpnm_profile::Profile;
use vpnm_proxy::{Outbound, TcpDialer};
use vpnm_wire::{Host, Target};

/// What the relay copies at once.
const COPY: usize = 128 * 1024;

/// `LISTEN TARGET ROOTS LINK`
pub(crate) fn run(arguments: &[String]) {
    let [listen, target, roots, link] = arguments else {
        panic!("client LISTEN TARGET ROOTS LINK");
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(roots).unwrap() {
        store.add(certificate.unwrap()).unwrap();
    }
    let profile: Profile = link.parse().unwrap();
    let Host::Ip(ip) = profile.server.host else {
        panic!("the server must be an address");
    };
    let server = vec![SocketAddr::new(ip, profile.server.port)];
    let outbound = Outbound::new(&profile, server, Arc::new(TcpDialer), Arc::new(store)).unwrap();
    let (listen, target): (SocketAddr, Target) = (listen.parse().unwrap(), target.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).await.unwrap();
        loop {
            let (mut local, _) = listener.accept().await.unwrap();
            local.set_nodelay(true).unwrap();
            let (outbound, target) = (outbound.clone(), target.clone());
            tokio::spawn(async move {
                let Ok(mut remote) = outbound.dial_tcp(&target, &[]).await else {
                    return;
                };
                let _ended =
                    tokio::io::copy_bidirectional_with_sizes(&mut local, &mut remote, COPY, COPY)
                        .await;
            });
        }
    });
}
