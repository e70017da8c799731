//! `#[derive(anyd::Fault)]`: the errors of an interface.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Ident, LitStr, Type, Variant, ext::IdentExt as _,
    spanned::Spanned as _,
};

use crate::{docs, service};

struct Header {
    interface: String,
    own_display: bool,
}

struct Case {
    ident: Ident,
    qualified: String,
    docs: String,
    text: Option<LitStr>,
    fields: Vec<(Ident, String, Type)>,
}

pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let header = header(&input)?;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(
            input.span(),
            "the faults of an interface are an enum",
        ));
    };
    let cases = data
        .variants
        .iter()
        .map(|variant| case(variant, &header.interface))
        .collect::<syn::Result<Vec<_>>>()?;
    let the_fault = the_fault(&input.ident, &header.interface, &cases);
    let display = (!header.own_display).then(|| display(&input.ident, &cases));
    Ok(quote!(#the_fault #display))
}

fn header(input: &DeriveInput) -> syn::Result<Header> {
    let mut interface = None;
    let mut own_display = false;
    for attribute in fault_attributes(&input.attrs) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("interface") {
                let name: LitStr = meta.value()?.parse()?;
                service::check_interface(&name)?;
                interface = Some(name.value());
            } else if meta.path.is_ident("own_display") {
                own_display = true;
            } else {
                return Err(meta.error("expected interface = \"…\" or own_display"));
            }
            Ok(())
        })?;
    }
    let interface = interface.ok_or_else(|| {
        Error::new(
            input.ident.span(),
            "add #[fault(interface = \"org.example.Name\")]",
        )
    })?;
    Ok(Header {
        interface,
        own_display,
    })
}

fn fault_attributes(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("fault"))
}

fn case(variant: &Variant, interface: &str) -> syn::Result<Case> {
    let text = fault_attributes(&variant.attrs)
        .next()
        .map(Attribute::parse_args)
        .transpose()?;
    let fields = match &variant.fields {
        Fields::Unit => Vec::new(),
        Fields::Named(named) => named
            .named
            .iter()
            .filter_map(|field| {
                let ident = field.ident.clone()?;
                let name = ident.unraw().to_string();
                Some((ident, name, field.ty.clone()))
            })
            .collect(),
        Fields::Unnamed(tuple) => {
            return Err(Error::new(tuple.span(), "a fault's fields have names"));
        }
    };
    Ok(Case {
        qualified: format!("{interface}.{}", variant.ident.unraw()),
        docs: docs::text(&variant.attrs),
        ident: variant.ident.clone(),
        text,
        fields,
    })
}

fn the_fault(ident: &Ident, interface: &str, cases: &[Case]) -> TokenStream {
    let names = cases.iter().map(|case| {
        let (variant, qualified) = (&case.ident, &case.qualified);
        quote!(Self::#variant { .. } => #qualified,)
    });
    let written = cases.iter().map(|case| {
        let variant = &case.ident;
        let idents = case.fields.iter().map(|(ident, ..)| ident);
        let puts = case
            .fields
            .iter()
            .map(|(ident, name, _)| quote!(__map.put(#name, #ident);));
        quote!(Self::#variant { #(#idents),* } => { #(#puts)* })
    });
    let read = cases.iter().map(|case| {
        let (variant, qualified) = (&case.ident, &case.qualified);
        let fields = case
            .fields
            .iter()
            .map(|(ident, name, _)| quote!(#ident: __parameters.named(#name)?));
        quote!(#qualified => Self::#variant { #(#fields),* },)
    });
    let described = cases.iter().map(|case| {
        let (name, docs) = (case.ident.unraw().to_string(), &case.docs);
        let fields = case
            .fields
            .iter()
            .map(|(_, name, ty)| quote!(__fields.add::<#ty>(__types, #name, "", false);));
        quote!(__errors.declare(#name, #docs, |__types, __fields| { #(#fields)* });)
    });
    let nothing = cases.is_empty().then(|| quote!(_ => {}));
    let no_name = cases.is_empty().then(|| quote!(_ => #interface,));
    quote! {
        #[allow(unused_variables, unreachable_code, clippy::all, reason = "generated code")]
        impl ::anyd::Fault for #ident {
            const INTERFACE: &'static str = #interface;
            fn name(&self) -> &'static str {
                match self { #(#names)* #no_name }
            }
            fn write(&self, __map: &mut ::anyd::FieldWriter) {
                match self { #(#written)* #nothing }
            }
            fn read(__name: &str, __parameters: &::anyd::Parameters<'_>)
                -> ::core::result::Result<::core::option::Option<Self>, ::anyd::Invalid> {
                ::core::result::Result::Ok(::core::option::Option::Some(match __name {
                    #(#read)*
                    _ => return ::core::result::Result::Ok(::core::option::Option::None),
                }))
            }
            fn describe(__errors: &mut ::anyd::idl::Errors<'_>) { #(#described)* }
        }
    }
}

/// `Display`: the text given, or the variant's name in words and its fields.
fn display(ident: &Ident, cases: &[Case]) -> TokenStream {
    let arms = cases.iter().map(|case| {
        let variant = &case.ident;
        let idents = case.fields.iter().map(|(ident, ..)| ident);
        let written = match &case.text {
            Some(text) => quote!(::core::write!(__f, #text)),
            None => words(case),
        };
        quote!(Self::#variant { #(#idents),* } => #written,)
    });
    let nothing = cases
        .is_empty()
        .then(|| quote!(_ => ::core::result::Result::Ok(()),));
    quote! {
        #[allow(unused_variables, clippy::all, reason = "generated code")]
        impl ::core::fmt::Display for #ident {
            fn fmt(&self, __f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self { #(#arms)* #nothing }
            }
        }
        impl ::core::error::Error for #ident {}
    }
}

fn words(case: &Case) -> TokenStream {
    let name = crate::case::rename_variant("snake_case", &case.ident.unraw().to_string())
        .unwrap_or_default()
        .replace('_', " ");
    let mut format = name;
    let mut values = Vec::new();
    for (at, (ident, name, _)) in case.fields.iter().enumerate() {
        format.push_str(if at == 0 { " (" } else { ", " });
        format.push_str(name);
        format.push_str(": {:?}");
        values.push(format_ident!("{}", ident));
    }
    if !values.is_empty() {
        format.push(')');
    }
    quote!(::core::write!(__f, #format, #(#values),*))
}
