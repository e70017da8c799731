//! A request of the Python package: `(endpoint, args, kwargs)`.

use serde_json::{Map, Number, Value};

use super::Unreadable;
use super::machine::{Arena, Id, MOST, Node, run};
use super::writer::ENDS;

/// What a client asks.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// To call an endpoint.
    Call {
        /// Its name.
        endpoint: String,
        /// Arguments by place.
        args: Vec<Value>,
        /// Arguments by name.
        kwargs: Map<String, Value>,
    },
    /// To end the session.
    End,
}

/// The deepest that a request's values are nested.
const DEEPEST: usize = 64;

/// Reads a request.
pub(crate) fn read(pickle: &[u8]) -> Result<Request, Unreadable> {
    let (arena, result) = run(pickle)?;
    let result = arena.node(result)?;
    if matches!(result, Node::Bytes(bytes) if *bytes == ENDS) {
        return Ok(Request::End);
    }
    let Node::Items(parts) = result else {
        return Err(Unreadable::NoRequest);
    };
    let [endpoint, args, kwargs] = parts.as_slice() else {
        return Err(Unreadable::NoRequest);
    };
    let (Node::Text(endpoint), Node::Items(args), Node::Dict(kwargs)) = (
        arena.node(*endpoint)?,
        arena.node(*args)?,
        arena.node(*kwargs)?,
    ) else {
        return Err(Unreadable::NoRequest);
    };
    let mut reader = Reader {
        arena: &arena,
        left: MOST,
    };
    Ok(Request::Call {
        endpoint: (*endpoint).to_owned(),
        args: reader.items(args, 0)?,
        kwargs: reader.dict(kwargs, 0)?,
    })
}

/// Copies values out of the arena, at most so many: a value that is in a
/// pickle once can be part of the result a billion times.
struct Reader<'r, 'a> {
    arena: &'r Arena<'a>,
    left: usize,
}

impl Reader<'_, '_> {
    fn spend(&mut self, count: usize) -> Result<(), Unreadable> {
        self.left = self.left.checked_sub(count).ok_or(Unreadable::TooMany)?;
        Ok(())
    }

    fn value(&mut self, id: Id, depth: usize) -> Result<Value, Unreadable> {
        if depth > DEEPEST {
            return Err(Unreadable::TooDeep);
        }
        self.spend(1)?;
        Ok(match self.arena.node(id)? {
            Node::None => Value::Null,
            Node::Bool(truth) => Value::Bool(*truth),
            Node::Int(number) => Value::Number((*number).into()),
            Node::Large(number) => Value::Number((*number).into()),
            Node::Float(number) => {
                Value::Number(Number::from_f64(*number).ok_or(Unreadable::NotFinite)?)
            }
            Node::Text(text) => {
                // A long text is as dear as many values.
                self.spend(text.len() / 1024)?;
                Value::String((*text).to_owned())
            }
            Node::Bytes(bytes) => {
                self.spend(bytes.len())?;
                bytes.iter().copied().map(Value::from).collect()
            }
            Node::Items(items) => Value::Array(self.items(items, depth)?),
            Node::Dict(entries) => Value::Object(self.dict(entries, depth)?),
        })
    }

    fn items(&mut self, items: &[Id], depth: usize) -> Result<Vec<Value>, Unreadable> {
        let mut values = Vec::new();
        for item in items {
            values.push(self.value(*item, depth + 1)?);
        }
        Ok(values)
    }

    fn dict(
        &mut self,
        entries: &[(Id, Id)],
        depth: usize,
    ) -> Result<Map<String, Value>, Unreadable> {
        let mut fields = Map::new();
        for (key, value) in entries {
            let Node::Text(name) = self.arena.node(*key)? else {
                return Err(Unreadable::Key);
            };
            self.spend(name.len() / 1024)?;
            fields.insert((*name).to_owned(), self.value(*value, depth + 1)?);
        }
        Ok(fields)
    }
}
