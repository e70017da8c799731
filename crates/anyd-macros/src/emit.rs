//! What a service's trait becomes.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, format_ident, quote};
use syn::{FnArg, Ident, Pat};

use crate::method::{Method, generic_of};
use crate::service::Service;

pub(crate) fn service(service: &Service) -> TokenStream {
    let interface = interface(service);
    let the_trait = the_trait(service);
    let server = server(service);
    let client = client(service);
    let blocking = blocking(service);
    quote! {
        #the_trait
        #server
        #client
        #blocking
        const _: () = { #interface };
    }
}

fn duration(span: std::time::Duration) -> TokenStream {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    quote!(::core::time::Duration::from_millis(#millis))
}

/// The table of methods and the interface's constant.
fn interface(service: &Service) -> TokenStream {
    let name = &service.interface;
    let docs = &service.docs;
    let entries = service.methods.iter().map(|method| entry(name, method));
    let described = service.methods.iter().map(describe);
    let [server, client, blocking] = names(service);
    quote! {
        static INTERFACE: ::anyd::Interface = ::anyd::Interface {
            name: #name,
            docs: #docs,
            methods: &[#(#entries),*],
            describe: |__text: &mut ::anyd::idl::Description| { #(#described)* },
        };
        ::anyd::__server! {
            impl #server<()> {
                /// The interface: its name, its methods and its text.
                pub const INTERFACE: &'static ::anyd::Interface = &INTERFACE;
            }
        }
        ::anyd::__client! {
            impl #client {
                /// The interface: its name, its methods and its text.
                pub const INTERFACE: &'static ::anyd::Interface = &INTERFACE;
            }
        }
        ::anyd::__blocking! {
            impl #blocking {
                /// The interface: its name, its methods and its text.
                pub const INTERFACE: &'static ::anyd::Interface = &INTERFACE;
            }
        }
    }
}

fn names(service: &Service) -> [Ident; 3] {
    ["Service", "Client", "Blocking"].map(|what| format_ident!("{}{}", service.item.ident, what))
}

fn entry(interface: &str, method: &Method) -> TokenStream {
    let name = &method.name;
    let qualified = format!("{interface}.{name}");
    let snake = method.ident.to_string();
    let snake = snake.trim_start_matches("r#");
    let access = method.access.tokens();
    let parameters = method.parameters.iter().map(|parameter| {
        let (name, ty) = (&parameter.name, &parameter.ty);
        quote!(::anyd::Parameter { name: #name, secret: <#ty as ::anyd::Type>::SECRET })
    });
    let policy = &method.policy;
    let timeout = option(policy.timeout.map(duration));
    let exclusive = policy.exclusive;
    let audit = option(
        policy
            .audit
            .as_ref()
            .map(|fields| quote!(&[#(#fields),*] as &[&str])),
    );
    let rate = option(policy.rate.map(|(calls, per)| {
        let per = duration(per);
        quote!(::anyd::Rate::new(#calls, #per))
    }));
    let (least, most, out) = (
        policy.descriptors.least,
        policy.descriptors.most,
        policy.descriptors.out,
    );
    let streams = method.events.is_some();
    let oneway = policy.oneway;
    quote! {
        ::anyd::Method {
            name: #name,
            qualified: #qualified,
            snake: #snake,
            parameters: &[#(#parameters),*],
            access: #access,
            timeout: #timeout,
            exclusive: #exclusive,
            audit: #audit,
            rate: #rate,
            fds_least: #least,
            fds_most: #most,
            fds_out: #out,
            streams: #streams,
            oneway: #oneway,
        }
    }
}

fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn describe(method: &Method) -> TokenStream {
    let (name, docs, fault) = (&method.name, &method.docs, &method.fault);
    let access = method.access.tokens();
    let streams = method.events.is_some();
    let parameters = method.parameters.iter().map(|parameter| {
        let (name, ty) = (&parameter.name, &parameter.ty);
        quote!(__text.parameter::<#ty>(#name);)
    });
    let reply = carried(method);
    quote! {
        __text.method(#name, #docs, &#access, #streams);
        #(#parameters)*
        __text.reply::<#reply>();
        if let ::core::option::Option::Some(mut __errors) =
            __text.errors(<#fault as ::anyd::Fault>::INTERFACE)
        {
            <#fault as ::anyd::Fault>::describe(&mut __errors);
        }
    }
}

/// The type that travels back: the reply's, or a stream's event's.
fn carried(method: &Method) -> TokenStream {
    if let Some((_, event)) = &method.events {
        return event.to_token_stream();
    }
    generic_of(&method.reply, "WithFds")
        .as_ref()
        .unwrap_or(&method.reply)
        .to_token_stream()
}

fn the_trait(service: &Service) -> TokenStream {
    let item = &service.item;
    let (vis, ident, attributes) = (&item.vis, &item.ident, &item.attrs);
    let supertraits = item.supertraits.iter();
    let methods = service.methods.iter().map(|method| {
        let (attributes, ident, inputs) =
            (&method.item.attrs, &method.ident, &method.item.sig.inputs);
        let (reply, fault) = (&method.reply, &method.fault);
        quote! {
            #(#attributes)*
            fn #ident(#inputs) -> impl ::core::future::Future<
                Output = ::core::result::Result<#reply, #fault>> + ::core::marker::Send;
        }
    });
    let forwarded = service.methods.iter().map(forward);
    quote! {
        ::anyd::__server! {
            #(#attributes)*
            #vis trait #ident: ::core::marker::Send + ::core::marker::Sync + 'static #(+ #supertraits)* {
                /// The uid that `#[access(owner)]` lets in now.
                fn owner(&self) -> ::core::option::Option<u32> { ::core::option::Option::None }
                #(#methods)*
            }
            impl<__T: #ident> #ident for ::std::sync::Arc<__T> {
                fn owner(&self) -> ::core::option::Option<u32> { #ident::owner(&**self) }
                #(#forwarded)*
            }
        }
    }
}

/// The method of `Arc<T>`: `T`'s.
fn forward(method: &Method) -> TokenStream {
    let (ident, inputs) = (&method.ident, &method.item.sig.inputs);
    let (reply, fault) = (&method.reply, &method.fault);
    let arguments = inputs.iter().skip(1).filter_map(argument);
    quote! {
        fn #ident(#inputs) -> impl ::core::future::Future<
            Output = ::core::result::Result<#reply, #fault>> + ::core::marker::Send {
            __T::#ident(&**self, #(#arguments),*)
        }
    }
}

/// The name of an argument.
fn argument(input: &FnArg) -> Option<&Ident> {
    let FnArg::Typed(typed) = input else {
        return None;
    };
    let Pat::Ident(pattern) = &*typed.pat else {
        return None;
    };
    Some(&pattern.ident)
}

fn server(service: &Service) -> TokenStream {
    let (vis, ident) = (&service.item.vis, &service.item.ident);
    let [server, ..] = names(service);
    let arms = service.methods.iter().enumerate().map(|(at, method)| {
        let body = arm(ident, method);
        quote!(#at => ::std::boxed::Box::pin(async move { #body }),)
    });
    let about = format!(
        "Serves `{}` with what implements [`{ident}`].",
        service.interface
    );
    quote! {
        ::anyd::__server! {
            #[doc = #about]
            #[derive(Clone, Debug)]
            #vis struct #server<T>(
                /// What answers.
                pub T,
            );
            impl<T: #ident> ::anyd::Service for #server<T> {
                fn interface(&self) -> &'static ::anyd::Interface { #server::<()>::INTERFACE }
                fn owner(&self) -> ::core::option::Option<u32> { #ident::owner(&self.0) }
                fn call<'a>(&'a self, __method: usize, mut __call: ::anyd::Call<'a>) -> ::anyd::Answering<'a> {
                    match __method {
                        #(#arms)*
                        _ => ::std::boxed::Box::pin(async move { __call.absent() }),
                    }
                }
            }
        }
    }
}

fn arm(the_trait: &Ident, method: &Method) -> TokenStream {
    let ident = &method.ident;
    let parameters = method.parameters.iter().enumerate().map(|(at, parameter)| {
        let (ident, ty) = (&parameter.ident, &parameter.ty);
        quote!(let #ident: #ty = __call.parameter(#at)?;)
    });
    let fds = method
        .fds
        .iter()
        .map(|fds| quote!(let #fds = __call.fds();));
    let events = method
        .events
        .iter()
        .map(|(events, item)| quote!(let #events = __call.events::<#item>();));
    let arguments = method.item.sig.inputs.iter().skip(2).filter_map(argument);
    let answer = match (&method.events, method.policy.descriptors.out) {
        (Some(_), _) => quote!(end),
        (None, 0) => quote!(answer),
        (None, _) => quote!(answer_with_fds),
    };
    quote! {
        #(#parameters)*
        #(#fds)*
        #(#events)*
        let __outcome = #the_trait::#ident(&self.0, __call.caller(), #(#arguments),*).await;
        __call.#answer(__outcome)
    }
}

/// The signature's parameters and the statements that write them.
fn request(method: &Method) -> (TokenStream, TokenStream) {
    let typed = method.parameters.iter().map(|parameter| {
        let (ident, ty) = (&parameter.ident, &parameter.ty);
        quote!(#ident: #ty)
    });
    let fds = method
        .fds
        .iter()
        .map(|fds| quote!(#fds: &[::std::os::fd::BorrowedFd<'_>]));
    let puts = method.parameters.iter().map(|parameter| {
        let (ident, name) = (&parameter.ident, &parameter.name);
        quote!(__request.put(#name, &#ident);)
    });
    let sends = method.fds.iter().map(|fds| quote!(__request.fds(#fds);));
    (quote!(#(#typed,)* #(#fds,)*), quote!(#(#puts)* #(#sends)*))
}

/// The client's method's name: the reply type and the call to make.
fn shape(method: &Method, stream: &TokenStream) -> (TokenStream, TokenStream) {
    let fault = &method.fault;
    let carried = carried(method);
    if method.events.is_some() {
        return (quote!(#stream<'_, #carried, #fault>), quote!(stream));
    }
    if method.policy.descriptors.out > 0 {
        return (quote!(::anyd::WithFds<#carried>), quote!(call_with_fds));
    }
    if method.policy.oneway {
        return (quote!(()), quote!(tell));
    }
    (carried, quote!(call))
}

fn client(service: &Service) -> TokenStream {
    let (vis, ident) = (&service.item.vis, &service.item.ident);
    let [_, client, _] = names(service);
    let methods = service.methods.iter().enumerate().map(|(at, method)| {
        let (docs, name, fault) = (&method.docs, &method.ident, &method.fault);
        let (parameters, statements) = request(method);
        let (reply, verb) = shape(method, &quote!(::anyd::client::Stream));
        quote! {
            #[doc = #docs]
            #vis async fn #name(&mut self, #parameters)
                -> ::core::result::Result<#reply, ::anyd::CallError<#fault>> {
                let mut __request = self.0.request(Self::INTERFACE.method(#at));
                #statements
                self.0.#verb(__request).await
            }
        }
    });
    let about = format!(
        "Calls `{}`: the asynchronous client of `{ident}`.",
        service.interface
    );
    quote! {
        ::anyd::__client! {
            #[doc = #about]
            #[derive(Debug)]
            #vis struct #client(::anyd::Client);
            impl #client { #(#methods)* }
            impl ::core::convert::From<::anyd::Client> for #client {
                fn from(client: ::anyd::Client) -> Self { Self(client) }
            }
            impl ::core::convert::From<#client> for ::anyd::Client {
                fn from(client: #client) -> Self { client.0 }
            }
            impl ::core::convert::AsMut<::anyd::Client> for #client {
                fn as_mut(&mut self) -> &mut ::anyd::Client { &mut self.0 }
            }
        }
    }
}

fn blocking(service: &Service) -> TokenStream {
    let (vis, ident) = (&service.item.vis, &service.item.ident);
    let [_, _, blocking] = names(service);
    let methods = service.methods.iter().enumerate().map(|(at, method)| {
        let (docs, name, fault) = (&method.docs, &method.ident, &method.fault);
        let (parameters, statements) = request(method);
        let (reply, verb) = shape(method, &quote!(::anyd::blocking::Stream));
        quote! {
            #[doc = #docs]
            #vis fn #name(&mut self, #parameters)
                -> ::core::result::Result<#reply, ::anyd::CallError<#fault>> {
                let mut __request = self.0.request(Self::INTERFACE.method(#at));
                #statements
                self.0.#verb(__request)
            }
        }
    });
    let about = format!(
        "Calls `{}`: the blocking client of `{ident}`, for programs without a runtime.",
        service.interface
    );
    quote! {
        ::anyd::__blocking! {
            #[doc = #about]
            #[derive(Debug)]
            #vis struct #blocking(::anyd::blocking::Client);
            impl #blocking { #(#methods)* }
            impl ::core::convert::From<::anyd::blocking::Client> for #blocking {
                fn from(client: ::anyd::blocking::Client) -> Self { Self(client) }
            }
            impl ::core::convert::From<#blocking> for ::anyd::blocking::Client {
                fn from(client: #blocking) -> Self { client.0 }
            }
            impl ::core::convert::AsMut<::anyd::blocking::Client> for #blocking {
                fn as_mut(&mut self) -> &mut ::anyd::blocking::Client { &mut self.0 }
            }
        }
    }
}
