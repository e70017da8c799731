//! What the daemon says about itself.

/// What `org.varlink.service.GetInfo` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    /// Who makes it.
    pub vendor: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where to read about it.
    pub url: String,
}

/// The product that the manifest of the calling crate describes.
#[macro_export]
macro_rules! product {
    () => {
        $crate::server::Product {
            vendor: ::core::env!("CARGO_PKG_AUTHORS").to_owned(),
            name: ::core::env!("CARGO_PKG_NAME").to_owned(),
            version: ::core::env!("CARGO_PKG_VERSION").to_owned(),
            url: ::core::env!("CARGO_PKG_REPOSITORY").to_owned(),
        }
    };
}
