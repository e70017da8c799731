//! The tables that the service macro writes.

use std::fmt;
use std::time::Duration;

use crate::access::Access;
use crate::idl::Description;
use crate::parameters::Parameter;
use crate::rate::Rate;

/// A method with its policy: everything that its attributes say.
#[derive(Debug)]
pub struct Method {
    /// `Connect`
    pub name: &'static str,
    /// `net.example.Tunnel.Connect`
    pub qualified: &'static str,
    /// `connect`
    pub snake: &'static str,
    /// In the order of the trait.
    pub parameters: &'static [Parameter],
    /// `#[access(…)]`: who may call it.
    pub access: Access,
    /// `#[timeout("20s")]`: when the handler is dropped.
    pub timeout: Option<Duration>,
    /// `#[exclusive]`: one such call at a time in the whole daemon.
    pub exclusive: bool,
    /// `#[audit(fields(…))]`: a record per call, with these parameters.
    pub audit: Option<&'static [&'static str]>,
    /// `#[rate(5, per = "1s")]`: calls of one user, paced.
    pub rate: Option<Rate>,
    /// `#[fds(in = 1..=5)]`: the fewest descriptors that come with a call.
    pub fds_least: u8,
    /// `#[fds(in = 1..=5)]`: the most descriptors that come with a call.
    pub fds_most: u8,
    /// `#[fds(out = 1)]`: how many descriptors come with the reply.
    pub fds_out: u8,
    /// Whether it answers with a stream.
    pub streams: bool,
    /// `#[oneway]`: the client does not wait for an answer.
    pub oneway: bool,
}

impl Method {
    /// The name of the interface: all but the last word of the full name.
    #[must_use]
    pub fn interface(&self) -> &'static str {
        self.qualified
            .rsplit_once('.')
            .map_or("", |(interface, _)| interface)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.qualified)
    }
}

/// An interface: its name, its methods, and its text.
#[derive(Debug)]
pub struct Interface {
    /// `net.example.Tunnel`
    pub name: &'static str,
    /// The trait's documentation.
    pub docs: &'static str,
    /// In the order of the trait.
    pub methods: &'static [Method],
    /// Writes the interface's text; use [`Interface::idl`].
    #[doc(hidden)]
    pub describe: fn(&mut Description),
}

impl Interface {
    /// The interface in Varlink's language, with the trait's documentation.
    #[must_use]
    pub fn idl(&self) -> String {
        let mut description = Description::new(self.name, self.docs);
        (self.describe)(&mut description);
        description.finish()
    }

    /// The method at a place of the table.
    ///
    /// # Panics
    ///
    /// When the place is past the table's end, which generated code never does.
    #[doc(hidden)]
    #[must_use]
    pub fn method(&self, at: usize) -> &'static Method {
        self.methods
            .get(at)
            .expect("invariant: generated code asks for methods of its own table")
    }

    /// The method with this name: `Connect`, `connect` or the full one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&'static Method> {
        self.methods
            .iter()
            .find(|method| [method.name, method.snake, method.qualified].contains(&name))
    }
}
