//! Reads tables back.

use std::collections::BTreeSet;

use super::attribute as at;
use super::decode::{TableFacts, decode_elements};
use super::ruleset::{Chain, Rule, Set, Table, TableFamily};
use super::{header, kind};
use crate::names::TABLE;
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

impl Read {
    /// Reads our table of a family, if there is one, as of one moment.
    pub(crate) fn table(socket: &mut Socket, family: TableFamily) -> Result<Option<Self>, Failure> {
        for _ in 0..ATTEMPTS {
            let before = generation(socket)?;
            let read = match Self::once(socket, family) {
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

    fn once(socket: &mut Socket, family: TableFamily) -> Result<Option<Self>, Failure> {
        let Some(facts) = facts(socket, family)? else {
            return Ok(None);
        };
        let mut foreign = facts.dormant;
        let mut sets = all(sets(socket, family)?, &mut foreign);
        for set in &mut sets {
            set.elements = elements(socket, family, &set.name)?;
        }
        let mut chains = all(chains(socket, family)?, &mut foreign);
        let rules = rules(socket, family)?;
        for (chain, rule) in rules {
            match chains.iter_mut().find(|c| c.name == chain) {
                Some(chain) => chain.rules.push(rule),
                None => foreign = true,
            }
        }
        Ok(Some(Self {
            table: Table {
                family,
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
fn facts(socket: &mut Socket, family: TableFamily) -> Result<Option<TableFacts>, Failure> {
    let request = Request::new(kind::GET_TABLE, in_table(family));
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

/// Dumps objects of our table; the kernel filters, or this function does.
fn dump<T>(
    socket: &mut Socket,
    family: TableFamily,
    get: u16,
    body: Writer,
    mut decode: impl FnMut(&Attributes<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    // Every one of these objects names its table in attribute 1.
    socket.query(&Request::dump(get, body), |message| {
        let ([number, ..], attributes) = message.body.split::<4>()?;
        let ours =
            number == family.number() && attributes.text(at::TABLE_NAME).as_deref() == Some(TABLE);
        if ours {
            decode(&attributes).map(Some)
        } else {
            Ok(None)
        }
    })
}

fn in_table(family: TableFamily) -> Writer {
    let mut body = Writer::new(&header(family.number(), 0));
    body.text(at::TABLE_NAME, TABLE);
    body
}

fn sets(socket: &mut Socket, family: TableFamily) -> Result<Vec<Option<Set>>, Failure> {
    dump(socket, family, kind::GET_SET, in_table(family), Set::decode)
}

fn elements(
    socket: &mut Socket,
    family: TableFamily,
    set: &str,
) -> Result<BTreeSet<Vec<u8>>, Failure> {
    let mut body = in_table(family);
    body.text(at::ELEMENT_SET, set);
    let lists = dump(socket, family, kind::GET_ELEMENT, body, decode_elements)?;
    Ok(lists.into_iter().flatten().collect())
}

fn chains(socket: &mut Socket, family: TableFamily) -> Result<Vec<Option<Chain>>, Failure> {
    let body = Writer::new(&header(family.number(), 0));
    dump(socket, family, kind::GET_CHAIN, body, |attributes| {
        Chain::decode(family, attributes)
    })
}

fn rules(socket: &mut Socket, family: TableFamily) -> Result<Vec<(String, Rule)>, Failure> {
    dump(
        socket,
        family,
        kind::GET_RULE,
        in_table(family),
        Rule::decode,
    )
}

/// The table an event of the packet filter is about; `None` for other events.
pub(crate) fn decode_table_name(message: &Message<'_>) -> Option<String> {
    if message.kind == kind::NEW_GENERATION || message.kind >> 8 != kind::SUBSYSTEM {
        return None;
    }
    let (_, attributes) = message.body.split::<4>().ok()?;
    attributes.text(at::TABLE_NAME)
}
