//! Reads tables back.

use std::collections::BTreeSet;

use super::attribute as at;
use super::expression::{Expression, Verdict};
use super::ruleset::{Chain, Field, Hook, Rule, Set, Table, TableFamily};
use super::write::comment;
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
        let Some(owner) = owner(socket, family)? else {
            return Ok(None);
        };
        let mut foreign = false;
        let mut sets = sets(socket, family, &mut foreign)?;
        for set in &mut sets {
            set.elements = elements(socket, family, &set.name)?;
        }
        let mut chains = chains(socket, family, &mut foreign)?;
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
            owner,
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

/// The owner's port, inside the fact that the table exists.
#[expect(
    clippy::option_option,
    reason = "existing and being owned are two questions"
)]
fn owner(socket: &mut Socket, family: TableFamily) -> Result<Option<Option<u32>>, Failure> {
    let mut body = Writer::new(&header(family.number(), 0));
    body.text(at::TABLE_NAME, TABLE);
    let list = socket.query(&Request::new(kind::GET_TABLE, body), |message| {
        let (_, attributes) = message.body.split::<4>()?;
        Ok(Some(attributes.network(at::TABLE_OWNER)))
    })?;
    Ok(list.first().copied())
}

/// Dumps objects of our table; the kernel filters, or `take` does.
fn dump<T>(
    socket: &mut Socket,
    family: TableFamily,
    get: u16,
    body: Writer,
    mut take: impl FnMut(&Attributes<'_>) -> Result<Option<T>, Failure>,
) -> Result<Vec<T>, Failure> {
    // Every one of these objects names its table in attribute 1.
    socket.query(&Request::dump(get, body), |message| {
        let ([number, ..], attributes) = message.body.split::<4>()?;
        let ours =
            number == family.number() && attributes.text(at::TABLE_NAME).as_deref() == Some(TABLE);
        if ours { take(&attributes) } else { Ok(None) }
    })
}

fn in_table(family: TableFamily) -> Writer {
    let mut body = Writer::new(&header(family.number(), 0));
    body.text(at::TABLE_NAME, TABLE);
    body
}

fn sets(socket: &mut Socket, family: TableFamily, foreign: &mut bool) -> Result<Vec<Set>, Failure> {
    dump(
        socket,
        family,
        kind::GET_SET,
        in_table(family),
        |attributes| {
            let fields = attributes
                .network(at::SET_KEY_TYPE)
                .and_then(Field::from_type);
            let plain = attributes.network(at::SET_FLAGS).unwrap_or_default() == 0;
            let Some(fields) = fields.filter(|_| plain) else {
                *foreign = true;
                return Ok(None);
            };
            Ok(Some(Set {
                name: attributes.text(at::SET_NAME).ok_or(Failure::Malformed)?,
                fields,
                elements: BTreeSet::new(),
            }))
        },
    )
}

fn elements(
    socket: &mut Socket,
    family: TableFamily,
    set: &str,
) -> Result<BTreeSet<Vec<u8>>, Failure> {
    let mut body = in_table(family);
    body.text(at::ELEMENT_SET, set);
    let lists = dump(socket, family, kind::GET_ELEMENT, body, |attributes| {
        let mut keys = Vec::new();
        if let Some(list) = attributes.nested(at::ELEMENT_LIST)? {
            for (_, element) in list.iter() {
                keys.extend(key(element)?);
            }
        }
        Ok(Some(keys))
    })?;
    Ok(lists.into_iter().flatten().collect())
}

fn key(element: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let data = Attributes::parse(element)?.nested(at::ELEMENT_KEY)?;
    Ok(data.and_then(|data| data.get(at::DATA_VALUE).map(<[u8]>::to_vec)))
}

fn chains(
    socket: &mut Socket,
    family: TableFamily,
    foreign: &mut bool,
) -> Result<Vec<Chain>, Failure> {
    let body = Writer::new(&header(family.number(), 0));
    dump(socket, family, kind::GET_CHAIN, body, |attributes| {
        let chain = chain(family, attributes)?;
        *foreign |= chain.is_none();
        Ok(chain)
    })
}

fn chain(family: TableFamily, attributes: &Attributes<'_>) -> Result<Option<Chain>, Failure> {
    let Some(hook) = attributes.nested(at::CHAIN_HOOK)? else {
        return Ok(None);
    };
    let number = hook.network(at::HOOK_NUMBER);
    let policy = attributes.network(at::CHAIN_POLICY);
    let name = attributes.text(at::CHAIN_NAME);
    let devices = devices(&hook)?;
    Ok((|| {
        Some(Chain {
            name: name?,
            kind: attributes.text(at::CHAIN_TYPE)?,
            hook: Hook::from_number(family, number?)?,
            priority: i32::from_be_bytes(hook.array(at::HOOK_PRIORITY)?),
            policy: Verdict::from_code(policy?)?,
            devices,
            rules: Vec::new(),
        })
    })())
}

/// The interfaces of a hook, sorted; a prefix ends with a star.
fn devices(hook: &Attributes<'_>) -> Result<Vec<String>, Failure> {
    let mut list = Vec::new();
    if let Some(devices) = hook.nested(at::HOOK_DEVS)? {
        for (kind, name) in devices.iter() {
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let mut name = String::from_utf8_lossy(name).into_owned();
            if kind == at::DEVICE_PREFIX {
                name.push('*');
            }
            list.push(name);
        }
    } else if let Some(name) = hook.text(at::HOOK_DEV) {
        list.push(name);
    }
    list.sort_unstable();
    Ok(list)
}

fn rules(socket: &mut Socket, family: TableFamily) -> Result<Vec<(String, Rule)>, Failure> {
    dump(
        socket,
        family,
        kind::GET_RULE,
        in_table(family),
        |attributes| {
            let chain = attributes.text(at::RULE_CHAIN).ok_or(Failure::Malformed)?;
            let mut expressions = Vec::new();
            if let Some(list) = attributes.nested(at::RULE_EXPRESSIONS)? {
                for (_, element) in list.iter() {
                    expressions.push(Expression::decode(element)?);
                }
            }
            let userdata = attributes.get(at::RULE_USERDATA).unwrap_or_default();
            let comment = comment(userdata);
            Ok(Some((
                chain,
                Rule {
                    comment,
                    expressions,
                },
            )))
        },
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
