//! Named values, written as one JSON object.

use serde::Serialize;
use serde_json::{Map, Value};

/// Writes the fields of one JSON object, as text or as a value.
#[derive(Debug)]
pub struct FieldWriter {
    out: Form,
    empty: bool,
    failed: Option<serde_json::Error>,
}

/// Where a message goes: text for the wire, or a value for another codec.
#[derive(Debug)]
pub(crate) enum Form {
    /// Text is appended.
    Text(Vec<u8>),
    /// The value replaces what is there.
    #[cfg_attr(
        not(feature = "python"),
        expect(dead_code, reason = "the Python bridge's messages are no text")
    )]
    Value(Value),
}

impl FieldWriter {
    pub(crate) fn new(mut out: Form) -> Self {
        match &mut out {
            Form::Text(text) => text.push(b'{'),
            Form::Value(value) => *value = Value::Object(Map::new()),
        }
        Self {
            out,
            empty: true,
            failed: None,
        }
    }

    /// Writes a field. The first that cannot be written spoils the object.
    pub fn put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        if self.failed.is_none() {
            self.failed = self.try_put(name, value).err();
        }
        self.empty = false;
    }

    fn try_put<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> serde_json::Result<()> {
        match &mut self.out {
            Form::Text(text) => {
                if !self.empty {
                    text.push(b',');
                }
                serde_json::to_writer(&mut *text, name)?;
                text.push(b':');
                serde_json::to_writer(text, value)
            }
            Form::Value(Value::Object(object)) => {
                object.insert(name.to_owned(), serde_json::to_value(value)?);
                Ok(())
            }
            Form::Value(_) => Ok(()),
        }
    }

    pub(crate) fn finish(self) -> (Form, Result<(), serde_json::Error>) {
        let Self {
            mut out, failed, ..
        } = self;
        if let Form::Text(text) = &mut out {
            text.push(b'}');
        }
        (out, failed.map_or(Ok(()), Err))
    }
}
