//! Answers to the Python package, in pickle's protocol 4.

use serde_json::{Map, Number, Value};

/// What ends a session, both ways.
pub(crate) const ENDS: &[u8] = b"SIGENDS";

const PROTOCOL: &[u8] = &[0x80, 4];
const STACK_GLOBAL: u8 = 0x93;

/// A reply's value: a reply of one field is that field's value, one of none is
/// `None`, one of `args`, `returncode`, `stdout` and `stderr` is a
/// `subprocess.CompletedProcess`.
pub(crate) fn value(reply: &Value) -> Vec<u8> {
    let mut out = PROTOCOL.to_vec();
    match reply.as_object() {
        Some(fields) if is_process(fields) => process(&mut out, fields),
        Some(fields) if fields.len() < 2 => {
            write(&mut out, fields.values().next().unwrap_or(&Value::Null));
        }
        _ => write(&mut out, reply),
    }
    out.push(b'.');
    out
}

/// What ends a session.
pub(crate) fn ends() -> Vec<u8> {
    let mut out = PROTOCOL.to_vec();
    out.extend_from_slice(&[b'C', 7]);
    out.extend_from_slice(ENDS);
    out.push(b'.');
    out
}

/// An exception of Python's own, which the client raises.
pub(crate) fn exception(name: &str, args: &[Value]) -> Vec<u8> {
    let mut out = PROTOCOL.to_vec();
    global(&mut out, "builtins", name);
    tuple(&mut out, args);
    out.extend_from_slice(b"R.");
    out
}

fn is_process(fields: &Map<String, Value>) -> bool {
    fields.len() == 4
        && ["args", "returncode", "stdout", "stderr"]
            .iter()
            .all(|name| fields.contains_key(*name))
}

fn process(out: &mut Vec<u8>, fields: &Map<String, Value>) {
    global(out, "subprocess", "CompletedProcess");
    let args = ["args", "returncode", "stdout", "stderr"]
        .map(|name| fields.get(name).cloned().unwrap_or_default());
    tuple(out, &args);
    out.push(b'R');
}

fn global(out: &mut Vec<u8>, module: &str, name: &str) {
    text(out, module);
    text(out, name);
    out.push(STACK_GLOBAL);
}

fn tuple(out: &mut Vec<u8>, items: &[Value]) {
    out.push(b'(');
    for item in items {
        write(out, item);
    }
    out.push(b't');
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.push(b'N'),
        Value::Bool(true) => out.push(0x88),
        Value::Bool(false) => out.push(0x89),
        Value::Number(number) => write_number(out, number),
        Value::String(string) => text(out, string),
        Value::Array(items) => {
            out.extend_from_slice(b"](");
            for item in items {
                write(out, item);
            }
            out.push(b'e');
        }
        Value::Object(fields) => {
            out.extend_from_slice(b"}(");
            for (name, value) in fields {
                text(out, name);
                write(out, value);
            }
            out.push(b'u');
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: &Number) {
    if let Some(small) = number.as_i64().and_then(|n| i32::try_from(n).ok()) {
        out.push(b'J');
        out.extend_from_slice(&small.to_le_bytes());
    } else if let Some(integer) = number.as_i64() {
        out.extend_from_slice(&[0x8a, 8]);
        out.extend_from_slice(&integer.to_le_bytes());
    } else if let Some(large) = number.as_u64() {
        // One byte more, or it would be read as negative.
        out.extend_from_slice(&[0x8a, 9]);
        out.extend_from_slice(&large.to_le_bytes());
        out.push(0);
    } else {
        out.push(b'G');
        out.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    match u32::try_from(text.len()) {
        Ok(length) => {
            out.push(b'X');
            out.extend_from_slice(&length.to_le_bytes());
        }
        Err(_) => {
            out.push(0x8d);
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            out.extend_from_slice(&length.to_le_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}
