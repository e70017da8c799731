//! nf_tables: rule sets as typed values, and their messages
//! (include/uapi/linux/netfilter/nf_tables.h).

mod decode;
mod expression;
mod foreign;
mod read;
mod ruleset;
mod write;

pub(crate) use expression::{
    Comparison, ConntrackKey, Expression, MetaKey, PayloadBase, Register, RejectWith, Verdict,
};
pub(crate) use foreign::ForeignChain;
pub(crate) use read::{Place, Read, decode_table_name};
pub(crate) use ruleset::{Chain, Field, Hook, Rule, Set, Table, TableFamily};
pub(crate) use write::{Batch, Ownership};

/// Message kinds of nf_tables.
pub(crate) mod kind {
    /// Which part of nfnetlink nf_tables is.
    pub(crate) const SUBSYSTEM: u16 = 10;
    const BASE: u16 = SUBSYSTEM << 8;
    pub(crate) const BATCH_BEGIN: u16 = 16;
    pub(crate) const BATCH_END: u16 = 17;
    pub(crate) const NEW_TABLE: u16 = BASE;
    pub(crate) const GET_TABLE: u16 = BASE | 1;
    pub(crate) const DEL_TABLE: u16 = BASE | 2;
    pub(crate) const NEW_CHAIN: u16 = BASE | 3;
    pub(crate) const GET_CHAIN: u16 = BASE | 4;
    pub(crate) const DEL_CHAIN: u16 = BASE | 5;
    pub(crate) const NEW_RULE: u16 = BASE | 6;
    pub(crate) const GET_RULE: u16 = BASE | 7;
    pub(crate) const DEL_RULE: u16 = BASE | 8;
    pub(crate) const NEW_SET: u16 = BASE | 9;
    pub(crate) const GET_SET: u16 = BASE | 10;
    pub(crate) const DEL_SET: u16 = BASE | 11;
    pub(crate) const NEW_ELEMENT: u16 = BASE | 12;
    pub(crate) const GET_ELEMENT: u16 = BASE | 13;
    pub(crate) const DEL_ELEMENT: u16 = BASE | 14;
    pub(crate) const NEW_GENERATION: u16 = BASE | 15;
    pub(crate) const DESTROY_TABLE: u16 = BASE | 26;
    pub(crate) const GET_GENERATION: u16 = BASE | 16;
}

/// Attribute numbers.
pub(crate) mod attribute {
    pub(crate) const LIST_ELEM: u16 = 1;
    pub(crate) const DATA_VALUE: u16 = 1;
    pub(crate) const DATA_VERDICT: u16 = 2;
    pub(crate) const VERDICT_CODE: u16 = 1;
    pub(crate) const EXPR_NAME: u16 = 1;
    pub(crate) const EXPR_DATA: u16 = 2;
    pub(crate) const TABLE_NAME: u16 = 1;
    pub(crate) const TABLE_FLAGS: u16 = 2;
    pub(crate) const TABLE_OWNER: u16 = 7;
    pub(crate) const CHAIN_TABLE: u16 = 1;
    pub(crate) const CHAIN_NAME: u16 = 3;
    pub(crate) const CHAIN_HOOK: u16 = 4;
    pub(crate) const CHAIN_POLICY: u16 = 5;
    pub(crate) const CHAIN_TYPE: u16 = 7;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
    pub(crate) const HOOK_DEV: u16 = 3;
    pub(crate) const HOOK_DEVS: u16 = 4;
    pub(crate) const DEVICE_NAME: u16 = 1;
    pub(crate) const DEVICE_PREFIX: u16 = 2;
    pub(crate) const RULE_TABLE: u16 = 1;
    pub(crate) const RULE_CHAIN: u16 = 2;
    pub(crate) const RULE_EXPRESSIONS: u16 = 4;
    pub(crate) const RULE_USERDATA: u16 = 7;
    pub(crate) const SET_TABLE: u16 = 1;
    pub(crate) const SET_NAME: u16 = 2;
    pub(crate) const SET_FLAGS: u16 = 3;
    pub(crate) const SET_KEY_TYPE: u16 = 4;
    pub(crate) const SET_KEY_LEN: u16 = 5;
    pub(crate) const SET_ID: u16 = 10;
    pub(crate) const ELEMENT_TABLE: u16 = 1;
    pub(crate) const ELEMENT_SET: u16 = 2;
    pub(crate) const ELEMENT_LIST: u16 = 3;
    pub(crate) const ELEMENT_KEY: u16 = 1;
    pub(crate) const GENERATION_ID: u16 = 1;
}

/// The header of every nf_tables message: family, version, resource.
pub(crate) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}
