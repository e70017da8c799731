//! The JSON form of a VMess link: base64 of an object with short keys.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::error::{LinkError, Reason};
use super::fields::{Fields, Parts};

/// Base64 as found in the wild: padded or not, stray bits at the end.
const TOLERANT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes what follows `vmess://`.
pub(super) fn split(text: &str) -> Result<Parts, LinkError> {
    let json = decode(text)?;
    let mut values = serde_json::Deserializer::from_slice(&json).into_iter::<Map<String, Value>>();
    let Some(Ok(object)) = values.next() else {
        return Err(LinkError::Json);
    };
    let mut fields = Fields::default();
    for (key, value) in object {
        let text = text_of(value);
        fields.push(
            key,
            text.ok_or_else(|| LinkError::invalid("a value", Reason::Kind))?,
        );
    }
    let mut take = |key| Ok(fields.take(key)?.unwrap_or_default());
    Ok(Parts {
        id: take("id")?.trim().to_owned(),
        host: take("add")?.trim().to_owned(),
        port: take("port")?.trim().to_owned(),
        name: take("ps")?,
        fields,
    })
}

/// The bytes that the base64 text stands for; a name behind `#` and white space are dropped.
fn decode(text: &str) -> Result<Vec<u8>, LinkError> {
    let text = text.split('#').next().unwrap_or_default();
    let standard = |c: char| match c {
        '-' => '+',
        '_' => '/',
        other => other,
    };
    let text: String = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(standard)
        .collect();
    let text = text.trim_end_matches('=');
    TOLERANT.decode(text).map_err(|_| LinkError::Base64)
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(truth) => Some(if truth { "1".into() } else { String::new() }),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Object(_) => None,
    }
}
