//! What authors of a service may get wrong, and what the compiler then says.

use proc_macro2::TokenStream;
use quote::quote;

use crate::service;

/// The message for a trait with this method.
fn message(method: &TokenStream) -> String {
    let item = quote!(trait Open { #method });
    let read = service::read(quote!(interface = "org.example.Open"), item);
    read.err()
        .map_or_else(|| "it compiles".to_owned(), |error| error.to_string())
}

#[test]
fn each_mistake_has_a_message_that_says_what_to_write() {
    let nothing = quote!(Result<(), Infallible>);
    let table = [
        (
            quote!(async fn reboot(&self, caller: &Caller) -> #nothing;),
            "`reboot` does not say who may call it: add #[access(…)], e.g. #[access(root)]",
        ),
        (
            quote!(#[access(everyone)] async fn reboot(&self, caller: &Caller) -> #nothing;),
            "expected anyone, root, owner, uid = N, gid = N, group = \"NAME\", any(…) or all(…)",
        ),
        (
            quote!(#[access(any())] async fn reboot(&self, caller: &Caller) -> #nothing;),
            "a rule of no rules",
        ),
        (
            quote!(#[access(root)] fn reboot(&self, caller: &Caller) -> #nothing;),
            "a method is an async fn",
        ),
        (
            quote!(#[access(root)] async fn reboot(&self) -> #nothing;),
            "the argument after &self is `caller: &Caller`",
        ),
        (
            quote!(
                #[access(root)]
                async fn reboot(&self, caller: &Caller);
            ),
            "a method returns Result<Reply, Fault>",
        ),
        (
            quote!(#[access(root)] #[fds(in = 1)] async fn take(&self, caller: &Caller) -> #nothing;),
            "#[fds(in = …)] needs an argument `fds: Vec<OwnedFd>`",
        ),
        (
            quote!(#[access(root)] #[timeout("soon")] async fn wait(&self, caller: &Caller) -> #nothing;),
            "expected a duration such as \"500ms\", \"20s\", \"2min\" or \"1h\"",
        ),
        (
            quote!(#[access(root)] async fn owner(&self, caller: &Caller) -> #nothing;),
            "`owner` is the provided method that #[access(owner)] asks",
        ),
        (
            quote!(#[access(root)] async fn reboot(&self, caller: &Caller) -> #nothing;),
            "it compiles",
        ),
    ];
    for (method, expected) in table {
        assert_eq!(message(&method), expected, "{method}");
    }
}
