//! Calls of methods known by name only.

use std::convert::Infallible;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::call_error::CallError;
use crate::parameters::reason;
use crate::request::Frame;
use crate::wire::{END, SERVICE};

/// The parameters of a call by name; [`args!`](crate::args) writes them.
pub type Args = Map<String, Value>;

/// Parameters by name: `args! { server: "a.example", port: 443 }`.
#[macro_export]
macro_rules! args {
    ($($name:ident: $value:expr),* $(,)?) => {
        <$crate::Args as ::core::iter::FromIterator<_>>::from_iter([
            $((
                ::std::string::String::from(stringify!($name).trim_start_matches("r#")),
                $crate::__json!($value),
            )),*
        ])
    };
}

/// `serde_json::json!`, for `args!`.
#[doc(hidden)]
#[macro_export]
macro_rules! __json {
    ($value:expr) => {
        $crate::__serde_json::json!($value)
    };
}

/// Errors of a call by name: a method's own is
/// [`Unknown`](CallError::Unknown), with its name and its parameters.
pub type DynamicError = CallError<Infallible>;

pub(crate) const GET_INFO: &str = "org.varlink.service.GetInfo";
pub(crate) const GET_DESCRIPTION: &str = "org.varlink.service.GetInterfaceDescription";

/// The reply of [`GET_INFO`], as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Interfaces {
    pub(crate) interfaces: Vec<String>,
}

/// The reply of [`GET_DESCRIPTION`].
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    pub(crate) description: String,
}

/// The methods of a daemon, learned from its descriptions.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Full names.
    methods: Vec<String>,
}

impl Known {
    /// Learns the methods of an interface from its text.
    pub(crate) fn learn(&mut self, interface: &str, description: &str) {
        for line in description.lines() {
            let Some(rest) = line.trim_start().strip_prefix("method ") else {
                continue;
            };
            let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric());
            let name = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.methods.push(format!("{interface}.{name}"));
        }
    }

    /// The full name of a method whose last word this is, in either case.
    pub(crate) fn resolve(&self, name: &str) -> Result<String, DynamicError> {
        let wanted = plain(name);
        let is_it = |full: &&String| {
            let last = full.rsplit_once('.').map_or("", |(_, last)| last);
            plain(last) == wanted
        };
        let found: Vec<&String> = self.methods.iter().filter(is_it).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(CallError::NotFound {
                method: name.to_owned(),
            }),
            several => Err(CallError::Ambiguous {
                name: name.to_owned(),
                methods: several.iter().map(|one| (*one).clone()).collect(),
            }),
        }
    }
}

/// `set_name` and `SetName` are one name.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|letter| *letter != '_');
    letters.flat_map(char::to_lowercase).collect()
}

/// Whether the name says its interface too.
pub(crate) fn is_full(name: &str) -> bool {
    name.contains('.')
}

/// Whether an interface is one that a call by a short name means.
pub(crate) fn is_own(interface: &str) -> bool {
    interface != SERVICE
}

/// Writes a call.
pub(crate) fn frame(method: &str, args: &Args) -> Result<Frame<'static>, DynamicError> {
    #[derive(serde::Serialize)]
    struct Call<'a> {
        method: &'a str,
        parameters: &'a Args,
    }
    let parameters = args;
    let written = serde_json::to_vec(&Call { method, parameters });
    let mut bytes = written.map_err(|error| CallError::Unsendable {
        method: method.to_owned(),
        reason: reason(&error),
    })?;
    bytes.push(END);
    Ok(Frame {
        bytes,
        fds: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        known.learn(
            "org.a.X",
            "interface org.a.X\n\n# method Not (a comment)\nmethod GetName() -> ()\nmethod Stop() -> ()\n",
        );
        known.learn("org.b.Y", "interface org.b.Y\nmethod Stop(now: bool) -> ()");
        known
    }

    #[test]
    fn a_short_name_is_found_in_either_case() {
        for name in ["get_name", "GetName", "getname"] {
            assert_eq!(known().resolve(name).unwrap(), "org.a.X.GetName");
        }
    }

    #[test]
    fn a_name_of_none_or_of_two_is_refused() {
        assert!(matches!(
            known().resolve("not"),
            Err(CallError::NotFound { .. })
        ));
        let text = known().resolve("stop").unwrap_err().to_string();
        assert_eq!(text, "stop means org.a.X.Stop or org.b.Y.Stop");
    }

    #[test]
    fn arguments_are_written_by_name() {
        let args = args! { server: "a", r#type: [1, 2] };
        assert_eq!(
            serde_json::to_string(&args).unwrap(),
            r#"{"server":"a","type":[1,2]}"#
        );
        assert!(args! {}.is_empty());
    }
}
