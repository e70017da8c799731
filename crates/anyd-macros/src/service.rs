//! `#[anyd::service]`: the trait, read and checked.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Error, Ident, ItemTrait, LitStr, Token, TraitItem};

use crate::docs;
use crate::method::Method;

/// The trait as parsed.
pub(crate) struct Service {
    pub(crate) interface: String,
    pub(crate) docs: String,
    pub(crate) item: ItemTrait,
    pub(crate) methods: Vec<Method>,
}

struct Arguments {
    interface: LitStr,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word: Ident = input.parse()?;
        if word != "interface" {
            return Err(Error::new(
                word.span(),
                "expected interface = \"org.example.Name\"",
            ));
        }
        input.parse::<Token![=]>()?;
        Ok(Self {
            interface: input.parse()?,
        })
    }
}

/// Reads the attribute's arguments and the trait it stands on.
pub(crate) fn read(arguments: TokenStream, item: TokenStream) -> syn::Result<Service> {
    let Arguments { interface } = syn::parse2(arguments)?;
    check_interface(&interface)?;
    let mut item: ItemTrait = syn::parse2(item)?;
    if !item.generics.params.is_empty() {
        return Err(Error::new(
            item.generics.span(),
            "a service has no generics",
        ));
    }
    let mut methods = Vec::new();
    for member in std::mem::take(&mut item.items) {
        let TraitItem::Fn(function) = member else {
            return Err(Error::new(member.span(), "a service has only methods"));
        };
        methods.push(Method::parse(function)?);
    }
    check_twins(&methods)?;
    Ok(Service {
        interface: interface.value(),
        docs: docs::text(&item.attrs),
        item,
        methods,
    })
}

fn check_twins(methods: &[Method]) -> syn::Result<()> {
    for (at, method) in methods.iter().enumerate() {
        if methods.iter().take(at).any(|one| one.name == method.name) {
            return Err(Error::new(
                method.ident.span(),
                format!("two methods would be named {}", method.name),
            ));
        }
    }
    Ok(())
}

/// The grammar of interface names: <https://varlink.org/Interface-Definition>.
pub(crate) fn check_interface(name: &LitStr) -> syn::Result<()> {
    let value = name.value();
    let segments: Vec<&str> = value.split('.').collect();
    let fine = segments.len() >= 2
        && segments.iter().enumerate().all(|(at, segment)| {
            let bytes = segment.as_bytes();
            bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
                && bytes.first().is_some_and(|b| *b != b'-')
                && bytes.last().is_some_and(|b| *b != b'-')
                && (at > 0 || bytes.first().is_some_and(u8::is_ascii_alphabetic))
        });
    if fine {
        return Ok(());
    }
    Err(Error::new(
        name.span(),
        "an interface name is dotted words such as org.example.Echo",
    ))
}
