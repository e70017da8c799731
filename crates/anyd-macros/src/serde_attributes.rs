//! What serde's attributes say about a type's form on the wire.

use syn::{Attribute, LitStr, Type};

/// The attributes that change what travels.
#[derive(Default)]
pub(crate) struct Form {
    pub(crate) rename: Option<String>,
    pub(crate) rename_all: Option<String>,
    pub(crate) rename_all_fields: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) content: bool,
    pub(crate) untagged: bool,
    pub(crate) transparent: bool,
    pub(crate) flatten: bool,
    pub(crate) skip: bool,
    pub(crate) optional: bool,
    /// `from`, `try_from` or `into`: the type that travels instead.
    pub(crate) through: Option<Type>,
    /// `#[idl(as = "…")]`: the type to describe instead.
    pub(crate) described_as: Option<Type>,
}

impl Form {
    pub(crate) fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut form = Self::default();
        for attribute in attributes {
            if attribute.path().is_ident("serde") {
                attribute.parse_nested_meta(|meta| form.absorb(&meta))?;
            } else if attribute.path().is_ident("idl") {
                attribute.parse_nested_meta(|meta| {
                    if !meta.path.is_ident("as") {
                        return Err(meta.error("expected as = \"Type\""));
                    }
                    form.described_as = Some(meta.value()?.parse::<LitStr>()?.parse()?);
                    Ok(())
                })?;
            }
        }
        Ok(form)
    }

    fn absorb(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        let Some(name) = meta.path.get_ident().map(ToString::to_string) else {
            return skip(meta);
        };
        match name.as_str() {
            "rename" => self.rename = text(meta)?,
            "rename_all" => self.rename_all = text(meta)?,
            "rename_all_fields" => self.rename_all_fields = text(meta)?,
            "tag" => self.tag = text(meta)?,
            "from" | "try_from" | "into" => {
                self.through = Some(meta.value()?.parse::<LitStr>()?.parse()?);
            }
            "content" => {
                self.content = true;
                skip(meta)?;
            }
            "untagged" => self.untagged = true,
            "transparent" => self.transparent = true,
            "flatten" => self.flatten = true,
            "skip" => self.skip = true,
            "default" | "skip_serializing_if" => {
                self.optional = true;
                skip(meta)?;
            }
            _ => skip(meta)?,
        }
        Ok(())
    }

    /// The name on the wire of a field whose Rust name is `ident`.
    pub(crate) fn field_name(&self, ident: &str, rule: Option<&str>) -> String {
        self.rename
            .clone()
            .or_else(|| rule.and_then(|rule| crate::case::rename_field(rule, ident)))
            .unwrap_or_else(|| ident.to_owned())
    }

    /// The name on the wire of a variant whose Rust name is `ident`.
    pub(crate) fn variant_name(&self, ident: &str, rule: Option<&str>) -> String {
        self.rename
            .clone()
            .or_else(|| rule.and_then(|rule| crate::case::rename_variant(rule, ident)))
            .unwrap_or_else(|| ident.to_owned())
    }
}

/// `name = "text"`; `name(serialize = "text", …)` takes the serialized one.
fn text(meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<Option<String>> {
    if meta.input.peek(syn::Token![=]) {
        return Ok(Some(meta.value()?.parse::<LitStr>()?.value()));
    }
    let mut serialized = None;
    meta.parse_nested_meta(|inner| {
        let value = inner.value()?.parse::<LitStr>()?.value();
        if inner.path.is_ident("serialize") {
            serialized = Some(value);
        }
        Ok(())
    })?;
    Ok(serialized)
}

/// Passes over an attribute that does not matter here.
fn skip(meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
    if meta.input.peek(syn::Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|inner| skip(&inner))?;
    }
    Ok(())
}
