//! Chains of any table, and what becomes of the packets that come to their end.

use std::collections::BTreeMap;

use super::attribute as at;
use super::expression::Verdict;
use super::{header, kind};
use crate::netlink::{Attributes, Failure, Message, Request, Socket, Writer};

/// A chain that the kernel calls at a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignChain {
    /// The kernel's number of the family.
    pub(crate) family: u8,
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// The family's number of the hook.
    pub(crate) hook: u32,
    /// Whether it drops or refuses what none of its rules names.
    pub(crate) drops: bool,
}

/// A chain by the number of its family, its table and its name.
type Place = (u8, String, String);

/// What the last rule of a chain does with whatever comes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// It drops or refuses it.
    Drops,
    /// It sends it on to the chain.
    GoesTo(String),
    /// That depends on the packet, or is nothing that ends its way.
    Open,
}

/// Verdicts that lead to another chain (`NFT_JUMP`, `NFT_GOTO`).
const TO_CHAIN: [u32; 2] = [0xffff_fffd, 0xffff_fffc];
const VERDICT_CHAIN: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const TARGET_NAME: u16 = 1;
/// Chains that one chain leads through, at most; the kernel allows 16.
const DEPTH: usize = 16;

impl ForeignChain {
    /// Every chain with a hook, of every table.
    pub(crate) fn list(socket: &mut Socket) -> Result<Vec<Self>, Failure> {
        let body = || Writer::new(&header(0, 0));
        let mut chains = socket.query(&Request::dump(kind::GET_CHAIN, body()), Self::decode)?;
        // Rules come in the order of their chain: the last of each stays.
        let rules = socket.query(&Request::dump(kind::GET_RULE, body()), decode_end)?;
        let ends: BTreeMap<Place, End> = rules.into_iter().collect();
        for chain in &mut chains {
            let place = (chain.family, chain.table.clone(), chain.name.clone());
            chain.drops |= drops_at_its_end(place, &ends);
        }
        Ok(chains)
    }

    fn decode(message: &Message<'_>) -> Result<Option<Self>, Failure> {
        let ([family, ..], attributes) = message.body.split::<4>()?;
        let Some(hook) = attributes.nested(at::CHAIN_HOOK)? else {
            return Ok(None);
        };
        let policy = attributes.network(at::CHAIN_POLICY);
        Ok(Some(Self {
            family,
            table: attributes.text(at::CHAIN_TABLE).ok_or(Failure::Malformed)?,
            name: attributes.text(at::CHAIN_NAME).ok_or(Failure::Malformed)?,
            kind: attributes.text(at::CHAIN_TYPE).unwrap_or_default(),
            hook: hook.network(at::HOOK_NUMBER).ok_or(Failure::Malformed)?,
            drops: policy == Some(Verdict::Drop.code()),
        }))
    }
}

/// Whether all that comes to the end of a chain is dropped there, or in the chains that
/// it leads to.
fn drops_at_its_end((family, table, mut name): Place, ends: &BTreeMap<Place, End>) -> bool {
    for _ in 0..DEPTH {
        match ends.get(&(family, table.clone(), name)) {
            Some(End::Drops) => return true,
            Some(End::GoesTo(next)) => name = next.clone(),
            Some(End::Open) | None => return false,
        }
    }
    false
}

fn decode_end(message: &Message<'_>) -> Result<Option<(Place, End)>, Failure> {
    let ([family, ..], attributes) = message.body.split::<4>()?;
    let text = |number| attributes.text(number).ok_or(Failure::Malformed);
    let place = (family, text(at::RULE_TABLE)?, text(at::RULE_CHAIN)?);
    let mut end = End::Open;
    if let Some(list) = attributes.nested(at::RULE_EXPRESSIONS)? {
        for (_, expression) in list.iter() {
            let Some(next) = step(&Attributes::parse(expression)?)? else {
                return Ok(Some((place, End::Open)));
            };
            end = next;
        }
    }
    Ok(Some((place, end)))
}

/// What an expression does with every packet; nothing if that depends on the packet.
fn step(expression: &Attributes<'_>) -> Result<Option<End>, Failure> {
    let data = expression.nested(at::EXPR_DATA)?;
    let end = match (expression.text(at::EXPR_NAME).as_deref(), data) {
        (Some("counter" | "log"), _) => End::Open,
        (Some("reject"), _) => End::Drops,
        // What iptables has no words of nf_tables for.
        (Some("target"), Some(data)) => match data.text(TARGET_NAME).as_deref() {
            Some("REJECT") => End::Drops,
            _ => return Ok(None),
        },
        (Some("immediate"), Some(data)) => verdict(&data)?,
        _ => return Ok(None),
    };
    Ok(Some(end))
}

fn verdict(immediate: &Attributes<'_>) -> Result<End, Failure> {
    let data = immediate.nested(IMMEDIATE_DATA)?;
    let verdict = data.map(|data| data.nested(at::DATA_VERDICT)).transpose()?;
    let Some(verdict) = verdict.flatten() else {
        return Ok(End::Open);
    };
    let code = verdict.network(at::VERDICT_CODE);
    let chain = verdict.text(VERDICT_CHAIN);
    Ok(match (code, chain) {
        (Some(code), _) if code == Verdict::Drop.code() => End::Drops,
        (Some(code), Some(chain)) if TO_CHAIN.contains(&code) => End::GoesTo(chain),
        _ => End::Open,
    })
}
