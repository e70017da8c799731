//! Reads tables back.

use std::collections::BTreeSet;

use super::attribute as at;
use super::decode::{TableFacts, decode_elements};
use super::ruleset::{Chain, Rule, Set, Table, TableFamily};
use super::{header, kind};
use crate::netlink::{Attributes, Failure, Message, Request, Socket, Writer};

/// How often a table that changes while it is read is read anew.
const ATTEMPTS: usize = 8;

/// A table as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) table: Table,
    /// The port of the socket that owns it.
    pub(crate) owner: Option<u32>,
    /// Whether it holds something this crate never writes.
    pub(crate) foreign: bool,
}

/// Which table to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) table: &'static str,
    pub(crate) family: TableFamily,
}

impl Read {
    /// Reads a table, if there is one, as of one moment.
    pub(crate) fn table(socket: &mut Socket, place: Place) -> Result<Option<Self>, Failure> {
        for _ in 0..ATTEMPTS {
            let before = generation(socket)?;
            let read = match Self::once(socket, place) {
                Err(Failure::Kernel {
                    errno: libc::ENOENT,
                    ..
                }) => None,
                other => other?,
            };
            if generation(socket)? == before {
                return Ok(read);
            }
        }
        Err(Failure::Kernel {
            errno: libc::EINTR,
            detail: Some("the packet filter changes faster than it can be read".to_owned()),
        })
    }

    fn once(socket: &mut Socket, place: Place) -> Result<Option<Self>, Failure> {
        let Some(facts) = facts(socket, place)? else {
            return Ok(None);
        };
        let mut foreign = facts.dormant;
        let mut sets = all(sets(socket, place)?, &mut foreign);
        for set in &mut sets {
            set.elements = elements(socket, place, &set.name)?;
        }
        let mut chains = all(chains(socket, place)?, &mut foreign);
        let rules = rules(socket, place)?;
        for (chain, rule) in rules {
            match chains.iter_mut().find(|c| c.name == chain) {
                Some(chain) => chain.rules.push(rule),
                None => foreign = true,
            }
        }
        Ok(Some(Self {
            table: Table {
                family: place.family,
                sets,
                chains,
            },
            owner: facts.owner,
            foreign,
        }))
    }
}

/// The number of the packet filter's present generation.
fn generation(socket: &mut Socket) -> Result<u32, Failure> {
    let request = Request::new(kind::GET_GENERATION, Writer::new(&header(0, 0)));
    let list = socket.query(&request, |message| {
        let (_, attributes) = message.body.split::<4>()?;
        Ok(attributes.network(at::GENERATION_ID))
    })?;
    list.first().copied().ok_or(Failure::Malformed)
}

/// What the kernel says of the table itself.
fn facts(socket: &mut Socket, place: Place) -> Result<Option<TableFacts>, Failure> {
    let request = Request::new(kind::GET_TABLE, in_table(place));
    let list = socket.query(&request, |message| {
        let (_, attributes) = message.body.split::<4>()?;
        Ok(Some(TableFacts::decode(&attributes)))
    })?;
    Ok(list.into_iter().next())
}

/// Leaves out what could not be decoded, and says that there was such.
fn all<T>(list: Vec<Option<T>>, foreign: &mut bool) -> Vec<T> {
    *foreign |= list.iter().any(Option::is_none);
    list.into_iter().flatten().collect()
}

/// Dumps objects of a table; the kernel filters, or this function does.
fn dump<T>(
    socket: &mut Socket,
    place: Place,
    get: u16,
    body: Writer,
    mut decode: impl FnMut(&Attributes<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    // Every one of these objects names its table in attribute 1.
    socket.query(&Request::dump(get, body), |message| {
        let ([number, ..], attributes) = message.body.split::<4>()?;
        let ours = number == place.family.number()
            && attributes.text(at::TABLE_NAME).as_deref() == Some(place.table);
        if ours {
            decode(&attributes).map(Some)
        } else {
            Ok(None)
        }
    })
}

fn in_table(place: Place) -> Writer {
    let mut body = Writer::new(&header(place.family.number(), 0));
    body.text(at::TABLE_NAME, place.table);
    body
}

fn sets(socket: &mut Socket, place: Place) -> Result<Vec<Option<Set>>, Failure> {
    dump(socket, place, kind::GET_SET, in_table(place), Set::decode)
}

fn elements(socket: &mut Socket, place: Place, set: &str) -> Result<BTreeSet<Vec<u8>>, Failure> {
    let mut body = in_table(place);
    body.text(at::ELEMENT_SET, set);
    let lists = dump(socket, place, kind::GET_ELEMENT, body, decode_elements)?;
    Ok(lists.into_iter().flatten().collect())
}

fn chains(socket: &mut Socket, place: Place) -> Result<Vec<Option<Chain>>, Failure> {
    let body = Writer::new(&header(place.family.number(), 0));
    dump(socket, place, kind::GET_CHAIN, body, |attributes| {
        Chain::decode(place.family, attributes)
    })
}

fn rules(socket: &mut Socket, place: Place) -> Result<Vec<(String, Rule)>, Failure> {
    dump(socket, place, kind::GET_RULE, in_table(place), Rule::decode)
}

/// The table an event of the packet filter is about; `None` for other events.
pub(crate) fn decode_table_name(message: &Message<'_>) -> Option<String> {
    if message.kind == kind::NEW_GENERATION || message.kind >> 8 != kind::SUBSYSTEM {
        return None;
    }
    let (_, attributes) = message.body.split::<4>().ok()?;
    attributes.text(at::TABLE_NAME)
}
