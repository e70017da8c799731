//! Parameters that are parsed, not validated: a value of such a type is right,
//! and a wrong one never reaches a handler.

mod abs_path;
mod bounded;
mod host_name;
mod if_name;
mod secret;
mod string_set;
mod text;

pub use abs_path::AbsPath;
pub use bounded::Bounded;
pub use host_name::HostName;
pub use if_name::IfName;
pub use secret::Secret;
pub use string_set::StringSet;
pub use text::Text;

/// Why a text is not a value of one of these types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub(crate) String);

/// The common face of a type made of a checked text.
macro_rules! checked_text {
    ($name:ident $(<$(const $arg:ident: usize),*>)?) => {
        impl $(<$(const $arg: usize),*>)? $name $(<$($arg),*>)? {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl $(<$(const $arg: usize),*>)? std::ops::Deref for $name $(<$($arg),*>)? {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl $(<$(const $arg: usize),*>)? std::str::FromStr for $name $(<$($arg),*>)? {
            type Err = $crate::types::Refused;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl $(<$(const $arg: usize),*>)? TryFrom<&str> for $name $(<$($arg),*>)? {
            type Error = $crate::types::Refused;
            fn try_from(text: &str) -> Result<Self, Self::Error> {
                Self::try_from(text.to_owned())
            }
        }

        impl $(<$(const $arg: usize),*>)? TryFrom<String> for $name $(<$($arg),*>)? {
            type Error = $crate::types::Refused;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::check(&text)
                    .map_err(|reason| $crate::types::Refused(reason.into()))?;
                Ok(Self(text))
            }
        }

        impl $(<$(const $arg: usize),*>)? From<$name $(<$($arg),*>)?> for String {
            fn from(text: $name $(<$($arg),*>)?) -> Self {
                text.0
            }
        }

        impl $(<$(const $arg: usize),*>)? std::fmt::Display for $name $(<$($arg),*>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl $(<$(const $arg: usize),*>)? serde::Serialize for $name $(<$($arg),*>)? {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }

        impl<'de $(, $(const $arg: usize),*)?> serde::Deserialize<'de> for $name $(<$($arg),*>)? {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::try_from(text).map_err(serde::de::Error::custom)
            }
        }

        impl $(<$(const $arg: usize),*>)? $crate::idl::Type for $name $(<$($arg),*>)? {
            fn idl(_: &mut $crate::idl::Types) -> String {
                "string".to_owned()
            }
        }
    };
}
use checked_text;
