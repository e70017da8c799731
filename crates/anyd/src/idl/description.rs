//! An interface's text, put together.

use std::fmt::Write as _;

use super::comment::comment;
use super::{Fields, Reply, Type, Types};
use crate::access::Access;

/// Collects what the generated code says about an interface.
#[derive(Debug)]
pub struct Description {
    interface: &'static str,
    docs: &'static str,
    types: Types,
    methods: Vec<MethodText>,
    errors: Vec<ErrorText>,
}

#[derive(Debug)]
struct MethodText {
    name: &'static str,
    docs: &'static str,
    notes: String,
    parameters: Fields,
    reply: Fields,
}

#[derive(Debug)]
struct ErrorText {
    name: &'static str,
    docs: &'static str,
    fields: Fields,
}

impl Description {
    pub(crate) fn new(interface: &'static str, docs: &'static str) -> Self {
        Self {
            interface,
            docs,
            types: Types::default(),
            methods: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Begins a method.
    pub fn method(
        &mut self,
        name: &'static str,
        docs: &'static str,
        access: &Access,
        streams: bool,
    ) {
        let more = if streams { " Call it with `more`." } else { "" };
        self.methods.push(MethodText {
            name,
            docs,
            notes: format!("Access: {access}.{more}"),
            parameters: Fields::new(),
            reply: Fields::new(),
        });
    }

    /// Adds a parameter to the method begun last.
    pub fn parameter<T: Type>(&mut self, name: &'static str) {
        if let Some(method) = self.methods.last_mut() {
            method.parameters.add::<T>(&mut self.types, name, "", false);
        }
    }

    /// Sets the reply of the method begun last.
    pub fn reply<T: Reply>(&mut self) {
        let fields = T::fields(&mut self.types);
        if let Some(method) = self.methods.last_mut() {
            method.reply = fields;
        }
    }

    /// Where the errors of an interface are described; `None` if it is not
    /// this one.
    pub fn errors(&mut self, interface: &str) -> Option<Errors<'_>> {
        (interface == self.interface).then_some(Errors { description: self })
    }

    pub(crate) fn finish(self) -> String {
        let mut text = String::new();
        comment(&mut text, self.docs);
        text.push_str("interface ");
        text.push_str(self.interface);
        text.push('\n');
        self.types.write(&mut text);
        for method in &self.methods {
            method.write(&mut text);
        }
        for error in &self.errors {
            text.push('\n');
            comment(&mut text, error.docs);
            text.push_str("error ");
            text.push_str(error.name);
            text.push(' ');
            text.push_str(&error.fields.to_string());
            text.push('\n');
        }
        text
    }
}

impl MethodText {
    fn write(&self, text: &mut String) {
        text.push('\n');
        comment(text, self.docs);
        comment(text, &self.notes);
        // Writing to a string cannot fail.
        let _always = writeln!(
            text,
            "method {}{} -> {}",
            self.name, self.parameters, self.reply
        );
    }
}

/// The errors of an interface, being described.
#[derive(Debug)]
pub struct Errors<'a> {
    description: &'a mut Description,
}

impl Errors<'_> {
    /// Adds an error unless an earlier method had it.
    pub fn declare(
        &mut self,
        name: &'static str,
        docs: &'static str,
        fields: impl FnOnce(&mut Types, &mut Fields),
    ) {
        let description = &mut *self.description;
        if description.errors.iter().any(|known| known.name == name) {
            return;
        }
        let mut found = Fields::new();
        fields(&mut description.types, &mut found);
        description.errors.push(ErrorText {
            name,
            docs,
            fields: found,
        });
    }
}
