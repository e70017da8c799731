//! The text of an interface, in Varlink's interface definition language
//! (<https://varlink.org/Interface-Definition>).

mod builtin;
mod comment;
mod description;
mod fields;
mod types;

pub use description::{Description, Errors};
pub use fields::Fields;
pub use types::Types;

/// A type that an interface can name: `#[derive(anyd::Type)]`, beside serde's
/// derives, whose attributes it follows.
///
/// A struct becomes a named type of the interface; a newtype, and a type with
/// `#[serde(try_from = "String")]`, is described as the type inside; an enum of
/// plain words becomes an enum; an enum with `#[serde(tag = "…")]` becomes an
/// object with the tag and every variant's fields as optional ones; what the
/// language cannot say becomes `object`. `#[idl(as = "String")]` on a type or a
/// field describes another type instead.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no description for the interface",
    note = "add #[derive(anyd::Type)] to it, or describe the field as another type with #[idl(as = \"…\")]"
)]
pub trait Type {
    /// Whether values of the type must not be shown.
    const SECRET: bool = false;

    /// The type's expression in the language; declares what it names.
    fn idl(types: &mut Types) -> String;
}

/// A [`Type`] that is an object, and so can be a method's reply or a stream's
/// event: a struct with `#[derive(anyd::Type)]`, or `()` for nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a reply",
    note = "a reply is a struct with #[derive(anyd::Type)], so that every value of it has a name; or ()"
)]
pub trait Reply: Type {
    /// The fields of the object.
    fn fields(types: &mut Types) -> Fields;
}

/// The expression of an enum of plain words, or `string` when one of them is
/// no word to the language.
#[doc(hidden)]
#[must_use]
pub fn words(words: &[&str]) -> String {
    let word = |text: &&str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if words.is_empty() || !words.iter().all(word) {
        return "string".to_owned();
    }
    format!("({})", words.join(", "))
}
