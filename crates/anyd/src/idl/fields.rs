//! The fields of an object.

use std::fmt;

use super::{Reply, Type, Types};

/// The fields of an object, in order, each once.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    docs: &'static str,
    idl: String,
}

impl Fields {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field of type `T`.
    pub fn add<T: Type>(
        &mut self,
        types: &mut Types,
        name: &str,
        docs: &'static str,
        optional: bool,
    ) {
        let idl = T::idl(types);
        self.push(name, docs, idl, optional);
    }

    /// Adds a field that is one of these words.
    pub fn word(&mut self, name: &str, words: &[&str]) {
        self.push(name, "", super::words(words), false);
    }

    /// Adds an optional field that is an object with these fields.
    pub fn nested(&mut self, name: &str, docs: &'static str, inner: &Self) {
        self.push(name, docs, inner.to_string(), true);
    }

    /// Adds all fields of another object.
    pub fn merge<T: Reply>(&mut self, types: &mut Types, optional: bool) {
        for field in T::fields(types).fields {
            self.push(&field.name, field.docs, field.idl, optional);
        }
    }

    fn push(&mut self, name: &str, docs: &'static str, idl: String, optional: bool) {
        if self.fields.iter().any(|field| field.name == name) {
            return;
        }
        let idl = if optional && !idl.starts_with('?') {
            format!("?{idl}")
        } else {
            idl
        };
        self.fields.push(Field {
            name: name.to_owned(),
            docs,
            idl,
        });
    }

    fn documented(&self) -> bool {
        self.fields.iter().any(|field| !field.docs.is_empty())
    }
}

/// `(name: type, …)`, on lines of their own when a field has documentation.
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apart = self.documented();
        f.write_str("(")?;
        for (at, field) in self.fields.iter().enumerate() {
            if at > 0 {
                f.write_str(if apart { "," } else { ", " })?;
            }
            if apart {
                f.write_str("\n")?;
                for line in field.docs.lines() {
                    writeln!(f, "  {}", format!("# {line}").trim_end())?;
                }
                f.write_str("  ")?;
            }
            write!(f, "{}: {}", field.name, field.idl)?;
        }
        f.write_str(if apart { "\n)" } else { ")" })
    }
}
