//! The certificate authorities this machine trusts, read before the jail closes.

use std::sync::Arc;

use rustls::RootCertStore;

/// Why there are no authorities to check servers against.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// Not one usable certificate was found.
    #[error("the system's certificate authorities cannot be read: {reason}")]
    None {
        /// What the first attempt met, or that there was nothing.
        reason: String,
    },
}

/// Reads the system's authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
///
/// # Errors
/// [`RootsError`] when there is none: no server could be told from an impostor.
pub fn load() -> Result<Arc<RootCertStore>, RootsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, unusable) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(usable, unusable, "read the certificate authorities");
    if roots.is_empty() {
        let first = found.errors.first().map(ToString::to_string);
        let reason = first.unwrap_or_else(|| "none is installed".to_owned());
        return Err(RootsError::None { reason });
    }
    Ok(Arc::new(roots))
}
