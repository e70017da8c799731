//! `#[derive(anyd::Type)]`: the form of a type, as serde writes it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Data, DataEnum, DeriveInput, Error, Fields, Generics, Variant, ext::IdentExt as _, parse_quote,
    spanned::Spanned as _,
};

use crate::docs;
use crate::serde_attributes::Form;

pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let form = Form::read(&input.attrs)?;
    let shape = if let Some(other) = form.described_as.as_ref().or(form.through.as_ref()) {
        Shape::Same(quote!(#other))
    } else {
        match &input.data {
            Data::Struct(data) => of_struct(&data.fields, &form)?,
            Data::Enum(data) => of_enum(data, &form)?,
            Data::Union(data) => {
                return Err(Error::new(
                    data.union_token.span(),
                    "a union has no form in JSON",
                ));
            }
        }
    };
    Ok(implement(&input, &shape))
}

/// What a type looks like in JSON.
enum Shape {
    /// As another type.
    Same(TokenStream),
    /// An object: the statements that add its fields to `__fields`.
    Object(TokenStream),
    /// One of these words.
    Words(Vec<String>),
    /// Something that the language of interfaces cannot say.
    Foreign,
}

fn implement(input: &DeriveInput, shape: &Shape) -> TokenStream {
    let ident = &input.ident;
    let name = crate::case::pascal(&ident.unraw().to_string());
    let docs = docs::text(&input.attrs);
    let generics = bounded(&input.generics);
    let (impls, types, wheres) = generics.split_for_impl();
    let secret = match shape {
        Shape::Same(other) => quote!(<#other as ::anyd::Type>::SECRET),
        Shape::Object(_) | Shape::Words(_) | Shape::Foreign => quote!(false),
    };
    let body = match shape {
        Shape::Same(other) => quote!(<#other as ::anyd::Type>::idl(__types)),
        Shape::Foreign => quote!(::std::string::String::from("object")),
        Shape::Words(words) => quote! {
            __types.declare::<Self>(#name, #docs, |_| ::anyd::idl::words(&[#(#words),*]))
        },
        Shape::Object(_) => quote! {
            __types.declare::<Self>(#name, #docs, |__types| {
                <Self as ::anyd::Reply>::fields(__types).to_string()
            })
        },
    };
    let reply = match shape {
        Shape::Object(fields) => Some(quote! {
            impl #impls ::anyd::Reply for #ident #types #wheres {
                fn fields(__types: &mut ::anyd::idl::Types) -> ::anyd::idl::Fields {
                    let mut __fields = ::anyd::idl::Fields::new();
                    #fields
                    __fields
                }
            }
        }),
        Shape::Same(_) | Shape::Words(_) | Shape::Foreign => None,
    };
    quote! {
        impl #impls ::anyd::Type for #ident #types #wheres {
            const SECRET: bool = #secret;
            fn idl(__types: &mut ::anyd::idl::Types) -> ::std::string::String { #body }
        }
        #reply
    }
}

fn bounded(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::anyd::Type));
    }
    generics
}

fn of_struct(fields: &Fields, form: &Form) -> syn::Result<Shape> {
    match fields {
        Fields::Unit => Ok(Shape::Object(TokenStream::new())),
        Fields::Unnamed(tuple) if tuple.unnamed.len() == 1 => {
            Ok(tuple.unnamed.first().map_or(Shape::Foreign, |field| {
                let ty = &field.ty;
                Shape::Same(quote!(#ty))
            }))
        }
        Fields::Unnamed(_) => Ok(Shape::Foreign),
        Fields::Named(named) if form.transparent && named.named.len() == 1 => {
            Ok(named.named.first().map_or(Shape::Foreign, |field| {
                let ty = &field.ty;
                Shape::Same(quote!(#ty))
            }))
        }
        Fields::Named(_) => Ok(Shape::Object(named(
            fields,
            form.rename_all.as_deref(),
            false,
        )?)),
    }
}

/// The statements that add each field; `optional` in all but one variant.
fn named(fields: &Fields, rule: Option<&str>, optional: bool) -> syn::Result<TokenStream> {
    let mut statements = TokenStream::new();
    for field in fields {
        let form = Form::read(&field.attrs)?;
        if form.skip {
            continue;
        }
        let ident = field
            .ident
            .as_ref()
            .ok_or_else(|| Error::new(field.span(), "a field without a name"))?;
        let name = form.field_name(&ident.unraw().to_string(), rule);
        let docs = docs::text(&field.attrs);
        let ty = form.described_as.as_ref().unwrap_or(&field.ty);
        let optional = optional || form.optional;
        statements.extend(if form.flatten {
            quote!(__fields.merge::<#ty>(__types, #optional);)
        } else {
            quote!(__fields.add::<#ty>(__types, #name, #docs, #optional);)
        });
    }
    Ok(statements)
}

fn of_enum(data: &DataEnum, form: &Form) -> syn::Result<Shape> {
    if form.untagged {
        return Ok(Shape::Foreign);
    }
    let rule = form.rename_all.as_deref();
    let mut variants = Vec::new();
    for variant in &data.variants {
        let own = Form::read(&variant.attrs)?;
        if !own.skip {
            variants.push((own.variant_name(&variant.ident.to_string(), rule), variant));
        }
    }
    let units = variants
        .iter()
        .filter(|(_, variant)| matches!(variant.fields, Fields::Unit))
        .count();
    match &form.tag {
        Some(tag) => tagged(tag, &variants, form),
        None if units == variants.len() => Ok(Shape::Words(
            variants.into_iter().map(|(name, _)| name).collect(),
        )),
        None if units == 0 => external(&variants, form),
        None => Ok(Shape::Foreign),
    }
}

/// `#[serde(tag = "…")]`: the tag, and every variant's fields as optional ones.
fn tagged(tag: &str, variants: &[(String, &Variant)], form: &Form) -> syn::Result<Shape> {
    let names = variants.iter().map(|(name, _)| name);
    let mut statements = quote!(__fields.word(#tag, &[#(#names),*]););
    if form.content {
        return Ok(Shape::Foreign);
    }
    for (_, variant) in variants {
        match &variant.fields {
            Fields::Unit => {}
            Fields::Named(_) => {
                let own = Form::read(&variant.attrs)?;
                let rule = own.rename_all.or_else(|| form.rename_all_fields.clone());
                statements.extend(named(&variant.fields, rule.as_deref(), true)?);
            }
            Fields::Unnamed(tuple) => {
                for field in &tuple.unnamed {
                    let ty = &field.ty;
                    statements.extend(quote!(__fields.merge::<#ty>(__types, true);));
                }
            }
        }
    }
    Ok(Shape::Object(statements))
}

/// serde's default: an object whose one field is named after the variant.
fn external(variants: &[(String, &Variant)], form: &Form) -> syn::Result<Shape> {
    let mut statements = TokenStream::new();
    for (name, variant) in variants {
        let docs = docs::text(&variant.attrs);
        match &variant.fields {
            Fields::Unnamed(tuple) if tuple.unnamed.len() == 1 => {
                for field in &tuple.unnamed {
                    let ty = &field.ty;
                    statements.extend(quote!(__fields.add::<#ty>(__types, #name, #docs, true);));
                }
            }
            Fields::Named(_) => {
                let own = Form::read(&variant.attrs)?;
                let rule = own.rename_all.or_else(|| form.rename_all_fields.clone());
                let inner = named(&variant.fields, rule.as_deref(), false)?;
                statements.extend(quote! {
                    let __inner = {
                        let mut __fields = ::anyd::idl::Fields::new();
                        #inner
                        __fields
                    };
                    __fields.nested(#name, #docs, &__inner);
                });
            }
            Fields::Unnamed(_) | Fields::Unit => return Ok(Shape::Foreign),
        }
    }
    Ok(Shape::Object(statements))
}
