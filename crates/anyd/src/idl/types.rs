//! The named types of an interface.

use std::any::type_name;

/// Collects the types that an interface names, in the order of their first use.
#[derive(Debug, Default)]
pub struct Types {
    declared: Vec<Declared>,
}

#[derive(Debug)]
struct Declared {
    /// The Rust type: two of one name in different modules are two types.
    rust: &'static str,
    name: String,
    docs: &'static str,
    body: String,
}

impl Types {
    /// Declares `T` unless it is declared already, and returns its name. A type
    /// whose body is no object or enum needs no name: its body is returned.
    pub fn declare<T: ?Sized>(
        &mut self,
        name: &str,
        docs: &'static str,
        body: impl FnOnce(&mut Self) -> String,
    ) -> String {
        let rust = type_name::<T>();
        if let Some(known) = self.declared.iter().find(|known| known.rust == rust) {
            return known.name.clone();
        }
        let name = self.free(name);
        let at = self.declared.len();
        self.declared.push(Declared {
            rust,
            name: name.clone(),
            docs,
            body: String::new(),
        });
        let body = body(self);
        if !body.starts_with('(') {
            self.declared.retain(|known| known.rust != rust);
            return body;
        }
        if let Some(place) = self.declared.get_mut(at) {
            place.body = body;
        }
        name
    }

    /// The name, or the name with the first number that nobody has.
    fn free(&self, name: &str) -> String {
        let taken = |name: &str| self.declared.iter().any(|known| known.name == name);
        if !taken(name) {
            return name.to_owned();
        }
        (2..)
            .map(|number| format!("{name}{number}"))
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    /// `type Name (…)` for each.
    pub(super) fn write(&self, text: &mut String) {
        for known in &self.declared {
            text.push('\n');
            super::comment::comment(text, known.docs);
            text.push_str("type ");
            text.push_str(&known.name);
            text.push(' ');
            text.push_str(&known.body);
            text.push('\n');
        }
    }
}
