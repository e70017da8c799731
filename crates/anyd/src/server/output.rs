//! Messages to the client, written.

use serde::Serialize;
use serde_json::Value;

use crate::wire::END;
use crate::writer::{FieldWriter, Form};

/// Appends a reply.
pub(super) fn reply<T: Serialize + ?Sized>(
    text: &mut Vec<u8>,
    reply: &T,
    continues: bool,
) -> serde_json::Result<()> {
    text.extend_from_slice(b"{\"parameters\":");
    let start = text.len();
    serde_json::to_writer(&mut *text, reply)?;
    if text.get(start..) == Some(b"null") {
        text.truncate(start);
        text.extend_from_slice(b"{}");
    }
    if continues {
        text.extend_from_slice(b",\"continues\":true");
    }
    text.push(b'}');
    text.push(END);
    Ok(())
}

/// A reply in the form asked for.
pub(super) fn reply_form<T: Serialize>(form: Form, body: &T) -> serde_json::Result<Form> {
    match form {
        Form::Text(mut text) => {
            reply(&mut text, body, false)?;
            Ok(Form::Text(text))
        }
        Form::Value(_) => {
            let value = serde_json::to_value(body)?;
            let nothing = || Value::Object(serde_json::Map::new());
            Ok(Form::Value(if value.is_null() { nothing() } else { value }))
        }
    }
}

/// An error in the form asked for: a value is its parameters.
pub(super) fn error_form(
    mut form: Form,
    name: &str,
    parameters: impl FnOnce(&mut FieldWriter),
) -> serde_json::Result<Form> {
    let mut named = 0;
    if let Form::Text(text) = &mut form {
        text.extend_from_slice(b"{\"error\":");
        serde_json::to_writer(&mut *text, name)?;
        named = text.len();
        text.extend_from_slice(PARAMETERS);
    }
    let mut fields = FieldWriter::new(form);
    parameters(&mut fields);
    let (mut form, written) = fields.finish();
    written?;
    if let Form::Text(text) = &mut form {
        if text.get(named + PARAMETERS.len()..) == Some(b"{}") {
            // Some clients take an error without parameters by their absence only.
            text.truncate(named);
        }
        text.push(b'}');
        text.push(END);
    }
    Ok(form)
}

const PARAMETERS: &[u8] = b",\"parameters\":";

/// Appends an error whose parameters are texts.
pub(super) fn error(text: &mut Vec<u8>, name: &str, parameters: &[(&str, &str)]) {
    let before = text.len();
    let form = Form::Text(std::mem::take(text));
    let written = error_form(form, name, |fields| {
        for (name, value) in parameters {
            fields.put(name, value);
        }
    });
    if let Ok(Form::Text(written)) = written {
        *text = written;
    }
    debug_assert!(text.len() > before, "texts can always be written");
}
