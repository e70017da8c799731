//! Messages that change tables. A batch of them takes effect as a whole or not at all.

use std::collections::BTreeSet;

use super::attribute as at;
use super::ruleset::{Chain, Rule, Set, Table, TableFamily};
use super::{header, kind};
use crate::names::{SHADOW_TABLE, TABLE};
use crate::netlink::{Request, Writer};

/// The table belongs to the socket that made it; nobody else can change it.
const TABLE_OWNER: u32 = 0x2;
/// The table stays when its owner is gone, and the next owner can take it over.
const TABLE_PERSIST: u32 = 0x4;
/// Elements in one message; an attribute holds 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 256;
/// The kind of the comment in a rule's user data, as nft writes it.
const USERDATA_COMMENT: u8 = 0;
/// Longest comment user data can hold.
const COMMENT: usize = 128;

/// Who else than the socket that makes a table can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Everybody may; it stays.
    Nobodys,
    /// Nobody, until the socket is closed, with which it goes.
    WhileOpen,
    /// Nobody, until the socket is closed; it stays.
    Persistent,
}

impl Ownership {
    /// Of tables that are to stay.
    pub(crate) fn lasting(owned: bool) -> Self {
        if owned {
            Self::Persistent
        } else {
            Self::Nobodys
        }
    }

    fn flags(self) -> u32 {
        match self {
            Self::Nobodys => 0,
            Self::WhileOpen => TABLE_OWNER,
            Self::Persistent => TABLE_OWNER | TABLE_PERSIST,
        }
    }
}

/// Messages that the kernel carries out together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    table: &'static str,
    ownership: Ownership,
    requests: Vec<Request>,
    sets: u32,
}

impl Batch {
    pub(crate) fn new(ownership: Ownership) -> Self {
        Self::about(TABLE, ownership)
    }

    /// A batch about a table that never comes to exist.
    pub(crate) fn probe(ownership: Ownership) -> Self {
        Self::about("vpnm-probe", ownership)
    }

    /// A batch about the copy that goes with the socket it belongs to.
    pub(crate) fn shadow() -> Self {
        Self::about(SHADOW_TABLE, Ownership::WhileOpen)
    }

    fn about(table: &'static str, ownership: Ownership) -> Self {
        let begin = Writer::new(&header(0, kind::SUBSYSTEM));
        Self {
            table,
            ownership,
            requests: vec![Request::silent(kind::BATCH_BEGIN, begin)],
            sets: 0,
        }
    }

    /// How many messages there are.
    pub(crate) fn len(&self) -> usize {
        self.requests.len()
    }

    /// Ends the batch.
    pub(crate) fn finish(mut self) -> Vec<Request> {
        let end = Writer::new(&header(0, kind::SUBSYSTEM));
        self.requests.push(Request::silent(kind::BATCH_END, end));
        self.requests
    }

    /// Makes sure that the table exists, and is ours where tables can be owned.
    pub(crate) fn claim(&mut self, family: TableFamily) {
        let mut body = self.body(family, at::TABLE_NAME);
        body.network(at::TABLE_FLAGS, self.ownership.flags());
        self.requests.push(Request::set(kind::NEW_TABLE, body));
    }

    /// Removes the table with all it holds, if it exists.
    pub(crate) fn clear(&mut self, family: TableFamily) {
        if self.ownership == Ownership::Persistent {
            // Every kernel that knows ownership knows this message, which unlike the
            // way below also takes a table that was made without an owner.
            let body = self.body(family, at::TABLE_NAME);
            self.requests.push(Request::new(kind::DESTROY_TABLE, body));
        } else {
            self.claim(family);
            self.remove(family);
        }
    }

    /// Removes the table with all it holds; it must exist.
    pub(crate) fn remove(&mut self, family: TableFamily) {
        let body = self.body(family, at::TABLE_NAME);
        self.requests.push(Request::new(kind::DEL_TABLE, body));
    }

    /// Fills a new table.
    pub(crate) fn fill(&mut self, table: &Table) {
        for set in &table.sets {
            self.add_set(table.family, set);
        }
        for chain in &table.chains {
            self.add_chain(table.family, chain);
        }
        self.add_rules(table);
    }

    /// Changes what is in a table, whose chains are the same before and after but for
    /// their interfaces.
    pub(crate) fn renew(&mut self, from: &Table, to: &Table) {
        let family = to.family;
        let chains = || from.chains.iter().zip(&to.chains);
        // The kernel calls a chain for one that is added before the batch takes effect,
        // and for one that is removed until afterwards.
        for (from, to) in chains() {
            self.add_devices(family, to, &to.devices_beyond(from));
        }
        if !from.holds_like(to) {
            self.refill(from, to);
        }
        for (from, to) in chains() {
            self.remove_devices(family, to, &from.devices_beyond(to));
        }
    }

    fn refill(&mut self, from: &Table, to: &Table) {
        // Of all chains; those of one would be named.
        let rules = self.body(from.family, at::RULE_TABLE);
        self.requests.push(Request::new(kind::DEL_RULE, rules));
        for set in &from.sets {
            let mut body = self.body(from.family, at::SET_TABLE);
            body.text(at::SET_NAME, &set.name);
            self.requests.push(Request::new(kind::DEL_SET, body));
        }
        for set in &to.sets {
            self.add_set(to.family, set);
        }
        self.add_rules(to);
    }

    fn add_rules(&mut self, table: &Table) {
        for chain in &table.chains {
            for rule in &chain.rules {
                self.add_rule(table.family, &chain.name, rule);
            }
        }
    }

    /// Adds elements to a set; those it holds already do no harm.
    pub(crate) fn add_elements(
        &mut self,
        family: TableFamily,
        set: &str,
        keys: &BTreeSet<Vec<u8>>,
    ) {
        self.elements(kind::NEW_ELEMENT, family, set, keys);
    }

    /// Removes elements from a set; they must be there.
    pub(crate) fn remove_elements(
        &mut self,
        family: TableFamily,
        set: &str,
        keys: &BTreeSet<Vec<u8>>,
    ) {
        self.elements(kind::DEL_ELEMENT, family, set, keys);
    }

    /// A message's body, up to the name of the table.
    fn body(&self, family: TableFamily, name: u16) -> Writer {
        let mut body = Writer::new(&header(family.number(), 0));
        body.text(name, self.table);
        body
    }

    fn add_set(&mut self, family: TableFamily, set: &Set) {
        self.sets += 1;
        let mut body = self.body(family, at::SET_TABLE);
        body.text(at::SET_NAME, &set.name);
        body.network(at::SET_FLAGS, 0);
        body.network(at::SET_KEY_TYPE, set.key_type());
        body.network(at::SET_KEY_LEN, set.key_length());
        body.network(at::SET_ID, self.sets);
        self.requests.push(Request::create(kind::NEW_SET, body));
        self.elements(kind::NEW_ELEMENT, family, &set.name, &set.elements);
    }

    fn add_chain(&mut self, family: TableFamily, chain: &Chain) {
        let body = self.chain(family, chain, &chain.devices);
        self.requests.push(Request::create(kind::NEW_CHAIN, body));
    }

    /// Has a chain that exists see the frames of more interfaces.
    pub(crate) fn add_devices(&mut self, family: TableFamily, chain: &Chain, devices: &[String]) {
        if !devices.is_empty() {
            let body = self.chain(family, chain, devices);
            self.requests.push(Request::set(kind::NEW_CHAIN, body));
        }
    }

    /// Has a chain no longer see the frames of interfaces. A kernel that cannot do that
    /// removes the chain.
    fn remove_devices(&mut self, family: TableFamily, chain: &Chain, devices: &[String]) {
        if !devices.is_empty() {
            let body = self.chain(family, chain, devices);
            self.requests.push(Request::new(kind::DEL_CHAIN, body));
        }
    }

    fn chain(&self, family: TableFamily, chain: &Chain, devices: &[String]) -> Writer {
        let number = chain.hook.number(family);
        let number = number.expect("invariant: every chain hooks where its family can");
        let mut body = self.body(family, at::CHAIN_TABLE);
        body.text(at::CHAIN_NAME, &chain.name);
        body.nested(at::CHAIN_HOOK, |hook| {
            hook.network(at::HOOK_NUMBER, number);
            hook.bytes(at::HOOK_PRIORITY, &chain.priority.to_be_bytes());
            if !devices.is_empty() {
                hook.nested(at::HOOK_DEVS, |list| name_devices(list, devices));
            }
        });
        body.network(at::CHAIN_POLICY, chain.policy.code());
        body.text(at::CHAIN_TYPE, &chain.kind);
        body
    }

    fn add_rule(&mut self, family: TableFamily, chain: &str, rule: &Rule) {
        let mut body = self.body(family, at::RULE_TABLE);
        body.text(at::RULE_CHAIN, chain);
        body.nested(at::RULE_EXPRESSIONS, |list| {
            for expression in &rule.expressions {
                expression.encode(list);
            }
        });
        body.bytes(at::RULE_USERDATA, &userdata(&rule.comment));
        self.requests.push(Request::append(kind::NEW_RULE, body));
    }

    fn elements(&mut self, kind: u16, family: TableFamily, set: &str, keys: &BTreeSet<Vec<u8>>) {
        let keys: Vec<&Vec<u8>> = keys.iter().collect();
        for keys in keys.chunks(ELEMENTS_PER_MESSAGE) {
            let mut body = self.body(family, at::ELEMENT_TABLE);
            body.text(at::ELEMENT_SET, set);
            body.nested(at::ELEMENT_LIST, |list| {
                for key in keys {
                    list.nested(at::LIST_ELEM, |element| {
                        element.nested(at::ELEMENT_KEY, |data| data.bytes(at::DATA_VALUE, key));
                    });
                }
            });
            self.requests.push(Request::set(kind, body));
        }
    }
}

fn name_devices(list: &mut Writer, devices: &[String]) {
    for device in devices {
        list.link_name(at::DEVICE_NAME, device);
    }
}

/// The comment in the form in which `nft list ruleset` finds it.
fn userdata(comment: &str) -> Vec<u8> {
    let mut text: Vec<u8> = comment.bytes().take(COMMENT - 1).collect();
    text.push(0);
    let length = u8::try_from(text.len()).expect("invariant: a comment has at most 128 bytes");
    let mut data = vec![USERDATA_COMMENT, length];
    data.extend(text);
    data
}

/// The comment in a rule's user data, or nothing.
pub(super) fn comment(userdata: &[u8]) -> String {
    let text = match userdata {
        [USERDATA_COMMENT, _, text @ ..] => text,
        _ => &[],
    };
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
