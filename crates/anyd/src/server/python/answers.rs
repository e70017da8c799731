//! What became of a call, in Python's terms.

use serde_json::{Value, json};

use crate::method::Method;
use crate::pickle;
use crate::server::admission::Refusal;
use crate::server::carry::{Ended, Performed};
use crate::server::line::Closed;
use crate::server::service::{Answer, Verdict};
use crate::wire::errors;
use crate::writer::Form;

/// The pickle of an answer.
pub(super) fn of(performed: Performed, method: &Method) -> Result<Vec<u8>, Closed> {
    let name = method.qualified;
    Ok(match performed.ended {
        Ended::Answered(answer) => of_answer(answer, performed.id),
        Ended::Refused(refusal) => of_refusal(&refusal, name),
        Ended::Invalid(invalid) => raise("TypeError", &invalid.to_string()),
        Ended::Timeout => raise("TimeoutError", &format!("{name} took too long")),
        Ended::Panicked => broken(performed.id),
        Ended::Dropped(why) => return Err(why),
    })
}

fn of_answer(answer: Answer, id: u64) -> Vec<u8> {
    let Form::Value(value) = answer.form else {
        return broken(id);
    };
    match answer.verdict {
        Verdict::Replied => pickle::value(&value),
        Verdict::Fault(name) => pickle::exception("RuntimeError", &[json!(name), value]),
        Verdict::Unwritable => broken(id),
    }
}

fn of_refusal(refusal: &Refusal, name: &str) -> Vec<u8> {
    match refusal {
        Refusal::Denied(reason) => raise("PermissionError", &format!("{name}: {reason}")),
        Refusal::Invalid(invalid) => raise("TypeError", &invalid.to_string()),
        Refusal::ExpectedMore => not_implemented(&format!("{name} answers with a stream")),
        Refusal::NoInterface(what) | Refusal::NoMethod(what) | Refusal::NotImplemented(what) => {
            not_implemented(what)
        }
    }
}

fn broken(id: u64) -> Vec<u8> {
    pickle::exception(
        "RuntimeError",
        &[json!(errors::INTERNAL), json!({"id": id})],
    )
}

fn raise(exception: &str, text: &str) -> Vec<u8> {
    pickle::exception(exception, &[Value::from(text)])
}

/// There is no such endpoint.
pub(super) fn not_implemented(endpoint: &str) -> Vec<u8> {
    raise("NotImplementedError", endpoint)
}

/// The request is not to be read.
pub(super) fn value_error(reason: &str) -> Vec<u8> {
    raise("ValueError", reason)
}
