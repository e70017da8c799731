//! `org.varlink.service`, which every Varlink service has
//! (<https://varlink.org/Service>).

use serde::{Deserialize, Serialize};

use super::caller::Caller;
use super::product::Product;

/// What a daemon says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, anyd_macros::Type)]
pub struct Info {
    /// Who makes it.
    pub vendor: String,
    /// Its name.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Where to read about it.
    pub url: String,
    /// The names of its interfaces.
    pub interfaces: Vec<String>,
}

/// The text of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, anyd_macros::Type)]
pub struct InterfaceText {
    /// In Varlink's interface definition language.
    pub description: String,
}

/// The errors that every daemon can answer with.
#[derive(Debug, PartialEq, Eq, anyd_macros::Fault)]
#[fault(interface = "org.varlink.service")]
pub enum IntrospectionError {
    /// The requested interface was not found.
    InterfaceNotFound {
        /// Its name.
        interface: String,
    },
    /// The requested method was not found.
    MethodNotFound {
        /// Its name.
        method: String,
    },
    /// The interface defines the requested method, but the service does not
    /// implement it.
    MethodNotImplemented {
        /// Its name.
        method: String,
    },
    /// One of the passed parameters is invalid.
    InvalidParameter {
        /// Its name.
        parameter: String,
    },
    /// Client is denied access.
    PermissionDenied,
    /// Method is expected to be called with `more`.
    ExpectedMore,
}

/// The Varlink service interface is provided by every Varlink service. It
/// describes the service and the interfaces it implements.
#[anyd_macros::service(interface = "org.varlink.service")]
pub trait Introspection {
    /// Get a list of all the interfaces a service provides and information
    /// about the implementation.
    #[access(anyone)]
    async fn get_info(&self, caller: &Caller) -> Result<Info, IntrospectionError>;

    /// Get the description of an interface that is implemented by this service.
    #[access(anyone)]
    async fn get_interface_description(
        &self,
        caller: &Caller,
        interface: String,
    ) -> Result<InterfaceText, IntrospectionError>;
}

/// What a daemon knows of itself.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) product: Product,
    /// Name and text, in the order of serving.
    pub(super) interfaces: Vec<(&'static str, String)>,
}

impl Introspection for Mirror {
    async fn get_info(&self, _: &Caller) -> Result<Info, IntrospectionError> {
        let product = self.product.clone();
        Ok(Info {
            vendor: product.vendor,
            product: product.name,
            version: product.version,
            url: product.url,
            interfaces: self
                .interfaces
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        })
    }

    async fn get_interface_description(
        &self,
        _: &Caller,
        interface: String,
    ) -> Result<InterfaceText, IntrospectionError> {
        let found = self.interfaces.iter().find(|(name, _)| *name == interface);
        match found {
            Some((_, text)) => Ok(InterfaceText {
                description: text.clone(),
            }),
            None => Err(IntrospectionError::InterfaceNotFound { interface }),
        }
    }
}
