//! One method of the trait, parsed.

use std::time::Duration;

use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, LitInt, LitStr, Pat, PathArguments,
    PathSegment, ReceiverKind, ReturnType, Token, TraitItemFn, Type, ext::IdentExt as _,
};

use crate::access::Rule;
use crate::{case, docs};

/// A parameter that travels in the message.
pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) ty: Type,
}

/// How many descriptors travel with a call.
#[derive(Clone, Copy, Default)]
pub(crate) struct Descriptors {
    pub(crate) least: u8,
    pub(crate) most: u8,
    pub(crate) out: u8,
}

/// Everything the attributes of a method say.
#[derive(Default)]
pub(crate) struct Policy {
    pub(crate) access: Option<Rule>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) exclusive: bool,
    pub(crate) oneway: bool,
    pub(crate) audit: Option<Vec<String>>,
    pub(crate) descriptors: Descriptors,
    pub(crate) rate: Option<(u32, Duration)>,
}

/// A method with its policy.
pub(crate) struct Method {
    pub(crate) item: TraitItemFn,
    pub(crate) ident: Ident,
    pub(crate) name: String,
    pub(crate) docs: String,
    pub(crate) access: Rule,
    pub(crate) policy: Policy,
    pub(crate) parameters: Vec<Parameter>,
    /// Name of the argument that takes the descriptors.
    pub(crate) fds: Option<Ident>,
    /// What a stream carries, and the argument's name.
    pub(crate) events: Option<(Ident, Type)>,
    pub(crate) reply: Type,
    pub(crate) fault: Type,
}

impl Method {
    pub(crate) fn parse(mut item: TraitItemFn) -> syn::Result<Self> {
        let mut policy = Policy::default();
        let mut kept = Vec::new();
        for attribute in std::mem::take(&mut item.attrs) {
            if !policy.absorb(&attribute)? {
                kept.push(attribute);
            }
        }
        item.attrs = kept;
        let ident = item.sig.ident.clone();
        let access = policy.access.take().ok_or_else(|| {
            Error::new(
                ident.span(),
                format!(
                    "`{ident}` does not say who may call it: add #[access(…)], e.g. #[access(root)]"
                ),
            )
        })?;
        check_form(&item)?;
        let arguments = Arguments::parse(&item, policy.descriptors.most > 0)?;
        let (reply, fault) = outcome(&item.sig.output)?;
        check_descriptors(&policy, &arguments, &reply, &ident)?;
        Ok(Self {
            name: case::pascal(&ident.unraw().to_string()),
            docs: docs::text(&item.attrs),
            parameters: arguments.parameters,
            fds: arguments.fds,
            events: arguments.events,
            ident,
            item,
            access,
            policy,
            reply,
            fault,
        })
    }
}

fn check_form(item: &TraitItemFn) -> syn::Result<()> {
    if item.sig.asyncness.is_none() {
        return Err(Error::new(item.sig.span(), "a method is an async fn"));
    }
    if !item.sig.generics.params.is_empty() {
        return Err(Error::new(
            item.sig.generics.span(),
            "a method has no generics",
        ));
    }
    if item.default.is_some() {
        return Err(Error::new(
            item.sig.span(),
            "a method has no body in the trait",
        ));
    }
    if item.sig.ident == "owner" {
        return Err(Error::new(
            item.sig.ident.span(),
            "`owner` is the provided method that #[access(owner)] asks",
        ));
    }
    Ok(())
}

fn check_descriptors(
    policy: &Policy,
    arguments: &Arguments,
    reply: &Type,
    ident: &Ident,
) -> syn::Result<()> {
    if policy.descriptors.most > 0 && arguments.fds.is_none() {
        return Err(Error::new(
            ident.span(),
            "#[fds(in = …)] needs an argument `fds: Vec<OwnedFd>`",
        ));
    }
    if (policy.descriptors.out > 0) != generic_of(reply, "WithFds").is_some() {
        return Err(Error::new(
            reply.span(),
            "#[fds(out = …)] and a reply of WithFds<…> go together",
        ));
    }
    if arguments.events.is_some() && policy.descriptors.out > 0 {
        return Err(Error::new(ident.span(), "a stream carries no descriptors"));
    }
    if policy.oneway && (arguments.events.is_some() || policy.descriptors.out > 0) {
        return Err(Error::new(
            ident.span(),
            "a call that nobody answers has neither events nor descriptors to answer with",
        ));
    }
    Ok(())
}

struct Arguments {
    parameters: Vec<Parameter>,
    fds: Option<Ident>,
    events: Option<(Ident, Type)>,
}

impl Arguments {
    fn parse(item: &TraitItemFn, takes_fds: bool) -> syn::Result<Self> {
        let mut inputs = item.sig.inputs.iter();
        match inputs.next() {
            Some(FnArg::Receiver(receiver))
                if matches!(receiver.kind, ReceiverKind::Reference(_, _, None)) => {}
            _ => return Err(Error::new(item.sig.span(), "a method begins with &self")),
        }
        match inputs.next() {
            Some(FnArg::Typed(caller)) if matches!(*caller.ty, Type::Reference(_)) => {}
            _ => {
                return Err(Error::new(
                    item.sig.span(),
                    "the argument after &self is `caller: &Caller`",
                ));
            }
        }
        let mut arguments = Self {
            parameters: Vec::new(),
            fds: None,
            events: None,
        };
        for input in inputs {
            arguments.take(input, takes_fds)?;
        }
        Ok(arguments)
    }

    fn take(&mut self, input: &FnArg, takes_fds: bool) -> syn::Result<()> {
        let FnArg::Typed(input) = input else {
            return Err(Error::new(input.span(), "a second self"));
        };
        let Pat::Ident(pattern) = &*input.pat else {
            return Err(Error::new(input.pat.span(), "a parameter is a plain name"));
        };
        if self.events.is_some() {
            return Err(Error::new(input.span(), "Events<…> is the last argument"));
        }
        let ident = pattern.ident.clone();
        let ty = (*input.ty).clone();
        if let Some(item) = generic_of(&ty, "Events") {
            self.events = Some((ident, item));
        } else if takes_fds && ident == "fds" {
            self.fds = Some(ident);
        } else {
            let name = ident.unraw().to_string();
            self.parameters.push(Parameter { ident, name, ty });
        }
        Ok(())
    }
}

/// `T` of `wrapper<T>`.
pub(crate) fn generic_of(ty: &Type, wrapper: &str) -> Option<Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    if last.ident != wrapper {
        return None;
    }
    type_arguments(last).into_iter().next()
}

fn type_arguments(segment: &PathSegment) -> Vec<Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let mut types = Vec::new();
    for argument in &arguments.args {
        if let GenericArgument::Type(ty) = argument {
            types.push(ty.clone());
        }
    }
    types
}

/// `(R, E)` of `-> Result<R, E>`.
fn outcome(output: &ReturnType) -> syn::Result<(Type, Type)> {
    let wrong = || Error::new(output.span(), "a method returns Result<Reply, Fault>");
    let ReturnType::Type(_, ty) = output else {
        return Err(wrong());
    };
    let Type::Path(path) = &**ty else {
        return Err(wrong());
    };
    let last = path.path.segments.last().ok_or_else(wrong)?;
    let mut types = type_arguments(last).into_iter();
    match (last.ident == "Result", types.next(), types.next()) {
        (true, Some(reply), Some(fault)) => Ok((reply, fault)),
        _ => Err(wrong()),
    }
}

impl Policy {
    /// Whether the attribute was ours.
    fn absorb(&mut self, attribute: &Attribute) -> syn::Result<bool> {
        let Some(name) = attribute.path().get_ident().map(ToString::to_string) else {
            return Ok(false);
        };
        match name.as_str() {
            "access" => self.access = Some(attribute.parse_args()?),
            "timeout" => self.timeout = Some(duration(&attribute.parse_args()?)?),
            "exclusive" => self.exclusive = true,
            "oneway" => self.oneway = true,
            "audit" => self.audit = Some(audited(attribute)?),
            "fds" => self.descriptors = attribute.parse_args()?,
            "rate" => self.rate = Some(attribute.parse_args_with(rate)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `#[audit]` or `#[audit(fields(a, b))]`.
fn audited(attribute: &Attribute) -> syn::Result<Vec<String>> {
    let mut fields = Vec::new();
    if matches!(attribute.meta, syn::Meta::Path(_)) {
        return Ok(fields);
    }
    attribute.parse_nested_meta(|meta| {
        if !meta.path.is_ident("fields") {
            return Err(meta.error("expected fields(…)"));
        }
        meta.parse_nested_meta(|field| {
            fields.push(field.path.require_ident()?.unraw().to_string());
            Ok(())
        })
    })?;
    Ok(fields)
}

/// `5, per = "1s"`.
fn rate(input: ParseStream<'_>) -> syn::Result<(u32, Duration)> {
    let calls: LitInt = input.parse()?;
    input.parse::<Token![,]>()?;
    let word: Ident = input.parse()?;
    if word != "per" {
        return Err(Error::new(word.span(), "expected per = \"1s\""));
    }
    input.parse::<Token![=]>()?;
    let count: u32 = calls.base10_parse()?;
    if count == 0 {
        return Err(Error::new(calls.span(), "a rate of nothing"));
    }
    Ok((count, duration(&input.parse()?)?))
}

/// `"500ms"`, `"20s"`, `"2min"`, `"1h"`.
fn duration(text: &LitStr) -> syn::Result<Duration> {
    let value = text.value();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let factor = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.parse::<u64>().ok().map(|count| count * factor) {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(Error::new(
            text.span(),
            "expected a duration such as \"500ms\", \"20s\", \"2min\" or \"1h\"",
        )),
    }
}

/// `in = 1`, `in = 1..=5`, `out = 1`.
impl Parse for Descriptors {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut descriptors = Self::default();
        while !input.is_empty() {
            let word = input.call(Ident::parse_any)?;
            input.parse::<Token![=]>()?;
            let count: LitInt = input.parse()?;
            match word.to_string().as_str() {
                "in" => {
                    descriptors.least = count.base10_parse()?;
                    descriptors.most = descriptors.least;
                    if input.peek(Token![..=]) {
                        input.parse::<Token![..=]>()?;
                        descriptors.most = input.parse::<LitInt>()?.base10_parse()?;
                    }
                }
                "out" => descriptors.out = count.base10_parse()?,
                _ => return Err(Error::new(word.span(), "expected in = N or out = N")),
            }
            if input.peek(Token![,]) {
                input.parse::<Token![,]>()?;
            }
        }
        if descriptors.most.max(descriptors.out) > 32 || descriptors.least > descriptors.most {
            return Err(input.error("between 1 and 32 descriptors"));
        }
        Ok(descriptors)
    }
}
