//! A set of texts.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::idl::{Type, Types};

/// A set of texts in the form that Varlink gives it: an object whose fields are
/// empty objects, `{"one": {}, "two": {}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringSet(pub BTreeSet<String>);

#[derive(Serialize, Deserialize)]
struct Nothing {}

impl<T: Into<String>> FromIterator<T> for StringSet {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        Self(texts.into_iter().map(Into::into).collect())
    }
}

impl Serialize for StringSet {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|text| (text, Nothing {})))
    }
}

impl<'de> Deserialize<'de> for StringSet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, Nothing>::deserialize(from)?;
        Ok(Self(texts.into_keys().collect()))
    }
}

impl Type for StringSet {
    fn idl(_: &mut Types) -> String {
        "[string]()".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_an_object_of_nothing() {
        let set: StringSet = ["two", "one"].into_iter().collect();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"{"one":{},"two":{}}"#);
        assert_eq!(serde_json::from_str::<StringSet>(&text).unwrap(), set);
        assert!(serde_json::from_str::<StringSet>(r#"{"one":1}"#).is_err());
    }
}
