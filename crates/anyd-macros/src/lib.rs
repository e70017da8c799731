//! The macros of [`anyd`](https://docs.rs/anyd): use them through that crate.
#![forbid(unsafe_code)]

mod access;
mod case;
mod docs;
mod emit;
mod fault;
mod method;
#[cfg(test)]
mod mistakes;
mod reply_type;
mod serde_attributes;
mod service;

use proc_macro::TokenStream;

/// Makes a service of a trait: see `anyd::service`.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let service = service::read(arguments.into(), item.into());
    finish(service.map(|service| emit::service(&service)))
}

/// Describes a type in the interface's text: see `anyd::Type`.
#[proc_macro_derive(Type, attributes(idl, serde))]
pub fn derive_type(item: TokenStream) -> TokenStream {
    finish(reply_type::expand(item.into()))
}

/// Makes the errors of an interface of an enum: see `anyd::Fault`.
#[proc_macro_derive(Fault, attributes(fault))]
pub fn derive_fault(item: TokenStream) -> TokenStream {
    finish(fault::expand(item.into()))
}

fn finish(expanded: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    expanded
        .unwrap_or_else(|error| error.into_compile_error())
        .into()
}
