//! The parameters of a message, taken out one by one.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A parameter of a method.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name in the message.
    pub name: &'static str,
    /// Whether it is a [`Secret`](crate::types::Secret), never to be shown.
    pub secret: bool,
}

/// A parameter that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its name.
    pub parameter: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Invalid {
    /// Says that `parameter` is wrong, and why.
    pub fn new(parameter: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            parameter: parameter.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.parameter, self.reason)
    }
}

impl std::error::Error for Invalid {}

/// The named values of a message, not yet parsed.
#[derive(Debug, Default)]
pub struct Parameters<'a> {
    given: Vec<(Cow<'a, str>, Given<'a>)>,
}

#[derive(Debug)]
enum Given<'a> {
    Text(&'a RawValue),
    #[cfg_attr(
        not(feature = "python"),
        expect(dead_code, reason = "the Python bridge's messages are no text")
    )]
    Value(Value),
    #[cfg(feature = "server")]
    Taken,
}

/// Why a list of parameters is none.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// It is no object.
    Syntax(String),
    /// One of them is not to be had.
    Invalid(Invalid),
}

/// More fields than any method has: where reading stops.
const MOST_FIELDS: usize = 256;

impl<'a> Parameters<'a> {
    /// Reads an object's text without parsing its values.
    pub(crate) fn of_text(text: &'a RawValue) -> Result<Self, Unreadable> {
        let mut reader = serde_json::Deserializer::from_str(text.get());
        let mut twice = None;
        let read = Reader { twice: &mut twice }.deserialize(&mut reader);
        match (read, twice) {
            (_, Some(name)) => Err(Unreadable::Invalid(Invalid::new(name, "given twice"))),
            (Ok(given), None) => Ok(Self { given }),
            (Err(error), None) => Err(Unreadable::Syntax(reason(&error))),
        }
    }

    /// Takes an object's fields.
    #[cfg(feature = "python")]
    pub(crate) fn of_value(fields: serde_json::Map<String, Value>) -> Self {
        let given = fields
            .into_iter()
            .map(|(name, value)| (Cow::Owned(name), Given::Value(value)))
            .collect();
        Self { given }
    }

    /// Refuses a parameter that is not among the known ones.
    #[cfg(feature = "server")]
    pub(crate) fn only(&self, known: &[Parameter]) -> Result<(), Invalid> {
        let is_known = |name: &str| known.iter().any(|one| one.name == name);
        let Some((name, _)) = self.given.iter().find(|(name, _)| !is_known(name)) else {
            return Ok(());
        };
        let names: Vec<&str> = known.iter().map(|one| one.name).collect();
        let reason = if names.is_empty() {
            "not known: this method takes no parameters".to_owned()
        } else {
            format!("not known: this method takes {}", names.join(", "))
        };
        Err(Invalid::new(shortened(name), reason))
    }

    /// Parses a parameter; one that is missing counts as `null`.
    pub fn named<T: DeserializeOwned>(&self, name: &str) -> Result<T, Invalid> {
        match self.given.iter().find(|(given, _)| given == name) {
            Some((_, Given::Text(text))) => parse_text(name, text),
            Some((_, Given::Value(value))) => parse_value(name, value.clone()),
            #[cfg(feature = "server")]
            Some((_, Given::Taken)) => missing(name),
            None => missing(name),
        }
    }

    /// Parses a parameter and lets go of it.
    #[cfg(feature = "server")]
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Invalid> {
        let found = self.given.iter_mut().find(|(given, _)| given == name);
        match found.map(|(_, given)| std::mem::replace(given, Given::Taken)) {
            Some(Given::Text(text)) => parse_text(name, text),
            Some(Given::Value(value)) => parse_value(name, value),
            Some(Given::Taken) | None => missing(name),
        }
    }

    /// A parameter as a log may show it: scalars only.
    #[cfg(feature = "server")]
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        let (_, given) = self.given.iter().find(|(given, _)| given == name)?;
        let value = match given {
            Given::Text(text) => serde_json::from_str(text.get()).ok()?,
            Given::Value(value) => value.clone(),
            Given::Taken => return None,
        };
        Some(match value {
            Value::Array(items) => format!("[{} items]", items.len()),
            Value::Object(fields) => format!("{{{} fields}}", fields.len()),
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                shortened(&scalar.to_string())
            }
        })
    }
}

fn parse_text<T: DeserializeOwned>(name: &str, text: &RawValue) -> Result<T, Invalid> {
    serde_json::from_str(text.get()).map_err(|error| Invalid::new(name, reason(&error)))
}

fn parse_value<T: DeserializeOwned>(name: &str, value: Value) -> Result<T, Invalid> {
    serde_json::from_value(value).map_err(|error| Invalid::new(name, reason(&error)))
}

fn missing<T: DeserializeOwned>(name: &str) -> Result<T, Invalid> {
    serde_json::from_value(Value::Null).map_err(|_| Invalid::new(name, "missing"))
}

/// The text of an error without the place, which counts from the value's
/// start and helps nobody.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    shortened(text.get(..end).unwrap_or(&text))
}

/// At most 200 bytes of a text: what comes from outside is not repeated at length.
fn shortened(text: &str) -> String {
    const MOST: usize = 200;
    if text.len() <= MOST {
        return text.to_owned();
    }
    let end = (0..=MOST)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

struct Reader<'r> {
    twice: &'r mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Vec<(Cow<'de, str>, Given<'de>)>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Vec<(Cow<'de, str>, Given<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut given: Self::Value = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            if given.iter().any(|(known, _)| *known == name) {
                *self.twice = Some(shortened(&name));
                return Err(A::Error::custom("a parameter given twice"));
            }
            if given.len() == MOST_FIELDS {
                return Err(A::Error::custom("too many parameters"));
            }
            given.push((name, Given::Text(map.next_value()?)));
        }
        Ok(given)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    const KNOWN: &[Parameter] = &[Parameter {
        name: "n",
        secret: false,
    }];

    fn read(text: &str) -> Parameters<'_> {
        Parameters::of_text(raw(text)).unwrap()
    }

    #[test]
    fn a_parameter_is_parsed_where_it_is_asked_for() {
        let mut parameters = read(r#"{"n":3,"na\u006de":"x"}"#);
        assert_eq!(parameters.take::<u32>("n"), Ok(3));
        assert_eq!(parameters.take::<String>("name"), Ok("x".to_owned()));
    }

    #[test]
    fn a_refusal_names_the_parameter_and_the_reason() {
        let mut parameters = read(r#"{"n":"three"}"#);
        let refused = parameters.take::<u32>("n").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "n: invalid type: string \"three\", expected u32"
        );
    }

    #[test]
    fn what_is_missing_is_missing_unless_optional() {
        let mut parameters = read("{}");
        assert_eq!(parameters.take::<Option<u8>>("n"), Ok(None));
        assert_eq!(
            parameters.take::<u8>("n"),
            Err(Invalid::new("n", "missing"))
        );
    }

    #[test]
    fn a_parameter_given_twice_is_refused() {
        let read = Parameters::of_text(raw(r#"{"n":1,"n":2}"#));
        assert!(matches!(read, Err(Unreadable::Invalid(i)) if i.parameter == "n"));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["[]", "3", "\"x\"", "null"] {
            let read = Parameters::of_text(raw(text));
            assert!(matches!(read, Err(Unreadable::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_named() {
        let refused = read(r#"{"m":1}"#).only(KNOWN).unwrap_err();
        assert_eq!(refused, Invalid::new("m", "not known: this method takes n"));
    }

    #[test]
    fn thousands_of_parameters_are_not_collected() {
        let fields: Vec<String> = (0..100_000).map(|n| format!("\"f{n}\":0")).collect();
        let text = format!("{{{}}}", fields.join(","));
        assert!(Parameters::of_text(raw(&text)).is_err());
    }

    #[test]
    fn a_log_shows_scalars_only() {
        let parameters = read(r#"{"a":"x\ny","b":[1,2],"c":{"d":1}}"#);
        assert_eq!(parameters.shown("a").as_deref(), Some(r#""x\ny""#));
        assert_eq!(parameters.shown("b").as_deref(), Some("[2 items]"));
        assert_eq!(parameters.shown("c").as_deref(), Some("{1 fields}"));
    }
}
