//! A certificate authority of the test's own, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::RootCertStore;

/// The name that the good certificate is for.
pub(crate) const NAME: &str = "node.test";

/// A certificate chain and its key, as PEM.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The certificates a server may show.
pub(crate) struct Authority {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) good: Leaf,
    pub(crate) expired: Leaf,
    pub(crate) other_name: Leaf,
    pub(crate) stranger: Leaf,
    pub(crate) self_signed: Leaf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let issuer = issuer("known");
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        Self {
            roots: Arc::new(roots),
            good: leaf(&issuer, NAME, 2099),
            expired: leaf(&issuer, NAME, 2001),
            other_name: leaf(&issuer, "other.test", 2099),
            stranger: leaf(&self::issuer("stranger"), NAME, 2099),
            self_signed: self_signed(),
        }
    }
}

fn issuer(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str, until: i32) -> Leaf {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Leaf {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

/// What `openssl req -x509` makes: its own issuer, and an authority besides.
fn self_signed() -> Leaf {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Leaf {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}
