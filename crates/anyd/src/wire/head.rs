//! The envelope of a message; what it carries stays unparsed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A call.
#[cfg(feature = "server")]
#[derive(Debug, Deserialize)]
pub(crate) struct CallHead<'a> {
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) parameters: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) more: Option<bool>,
    #[serde(default)]
    pub(crate) oneway: Option<bool>,
    #[serde(default)]
    pub(crate) upgrade: Option<bool>,
}

#[cfg(feature = "server")]
impl<'a> CallHead<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(message)
    }
}

/// A reply, or one of a stream's.
#[cfg(any(feature = "client", feature = "blocking"))]
#[derive(Debug, Deserialize)]
pub(crate) struct ReplyHead<'a> {
    #[serde(borrow)]
    pub(crate) parameters: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) continues: Option<bool>,
    #[serde(borrow)]
    pub(crate) error: Option<Cow<'a, str>>,
}

#[cfg(any(feature = "client", feature = "blocking"))]
impl<'a> ReplyHead<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_taken_apart_without_parsing_its_parameters() {
        let text = br#"{"method":"a.b.C","parameters":{"n":[[[1e999]]]},"more":true}"#;
        let head = CallHead::parse(text).unwrap();
        assert_eq!(head.method, "a.b.C");
        assert_eq!(head.parameters.unwrap().get(), r#"{"n":[[[1e999]]]}"#);
        assert_eq!((head.more, head.oneway), (Some(true), None));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = 1_000_000;
        let text = format!(
            r#"{{"method":"a.b.C","parameters":{}{}}}"#,
            "[".repeat(deep),
            "]".repeat(deep)
        );
        assert!(CallHead::parse(text.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let bad: [&[u8]; 8] = [
            b"",
            b"{}",
            b"[]",
            b"{\"method\":3}",
            b"{\"method\":\"a\",\"method\":\"b\"}",
            b"{\"method\":\"a\"} x",
            b"{\"method\":\"a\",\"more\":1}",
            b"{\"method\":\"\xff\"}",
        ];
        for text in bad {
            assert!(CallHead::parse(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
