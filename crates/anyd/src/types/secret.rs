//! A value that is never shown.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::idl::{Type, Types};

/// A value that travels but is never shown: not by `Debug`, not in an audit
/// record, and not in the text of a refusal.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, where it is needed.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value, no longer guarded.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<T: Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // serde's errors quote the value.
        T::deserialize(from)
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not what it must be"))
    }
}

impl<T: Type> Type for Secret<T> {
    const SECRET: bool = true;

    fn idl(types: &mut Types) -> String {
        T::idl(types)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_nowhere() {
        let secret: Secret<String> = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.expose(), "hunter2");
        assert!(!format!("{secret:?} {secret:#?}").contains("hunter2"));
        let refused = serde_json::from_str::<Secret<u8>>("\"hunter2\"").unwrap_err();
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }

    #[test]
    fn what_holds_a_secret_is_one() {
        const { assert!(<Option<Vec<Secret<String>>>>::SECRET) };
        const { assert!(!<Option<Vec<String>>>::SECRET) };
    }
}
