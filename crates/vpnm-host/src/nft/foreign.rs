//! Chains of any table, as far as they can be told without their rules.

use super::attribute as at;
use super::expression::Verdict;
use super::{header, kind};
use crate::netlink::{Failure, Message, Request, Socket, Writer};

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
    /// Whether it drops what no rule decides about.
    pub(crate) drops: bool,
}

impl ForeignChain {
    /// Every chain with a hook, of every table.
    pub(crate) fn list(socket: &mut Socket) -> Result<Vec<Self>, Failure> {
        let body = Writer::new(&header(0, 0));
        socket.query(&Request::dump(kind::GET_CHAIN, body), Self::decode)
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
