//! `#[access(…)]`: who may call a method.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, LitInt, LitStr, Token, parenthesized};

/// A parsed rule.
pub(crate) enum Rule {
    Anyone,
    Root,
    Owner,
    Uid(LitInt),
    Gid(LitInt),
    Group(LitStr),
    Any(Vec<Self>),
    All(Vec<Self>),
}

impl Parse for Rule {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word: Ident = input.parse()?;
        match word.to_string().as_str() {
            "anyone" => Ok(Self::Anyone),
            "root" => Ok(Self::Root),
            "owner" => Ok(Self::Owner),
            "uid" => assigned(input).map(Self::Uid),
            "gid" => assigned(input).map(Self::Gid),
            "group" => assigned(input).map(Self::Group),
            "any" => several(input, &word).map(Self::Any),
            "all" => several(input, &word).map(Self::All),
            _ => Err(syn::Error::new(
                word.span(),
                "expected anyone, root, owner, uid = N, gid = N, group = \"NAME\", any(…) or all(…)",
            )),
        }
    }
}

fn assigned<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

fn several(input: ParseStream<'_>, word: &Ident) -> syn::Result<Vec<Rule>> {
    let inner;
    parenthesized!(inner in input);
    let rules = Punctuated::<Rule, Token![,]>::parse_terminated(&inner)?;
    if rules.is_empty() {
        return Err(syn::Error::new(word.span(), "a rule of no rules"));
    }
    Ok(rules.into_iter().collect())
}

impl Rule {
    /// The rule as a constant expression of type `anyd::Access`.
    pub(crate) fn tokens(&self) -> TokenStream {
        match self {
            Self::Anyone => quote!(::anyd::Access::Anyone),
            Self::Root => quote!(::anyd::Access::Root),
            Self::Owner => quote!(::anyd::Access::Owner),
            Self::Uid(uid) => quote!(::anyd::Access::Uid(#uid)),
            Self::Gid(gid) => quote!(::anyd::Access::Gid(#gid)),
            Self::Group(name) => quote!(::anyd::Access::Group(#name)),
            Self::Any(rules) => {
                let rules = rules.iter().map(Self::tokens);
                quote!(::anyd::Access::Any(&[#(#rules),*]))
            }
            Self::All(rules) => {
                let rules = rules.iter().map(Self::tokens);
                quote!(::anyd::Access::All(&[#(#rules),*]))
            }
        }
    }
}
