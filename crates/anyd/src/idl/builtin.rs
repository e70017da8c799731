//! The standard library's types, as serde writes them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{Fields, Reply, Type, Types};

macro_rules! plain {
    ($idl:literal: $($ty:ty),* $(,)?) => {
        $(impl Type for $ty {
            fn idl(_: &mut Types) -> String { $idl.to_owned() }
        })*
    };
}

plain!("bool": bool);
plain!("int": i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);
plain!("int": NonZero<u8>, NonZero<u16>, NonZero<u32>, NonZero<u64>, NonZero<usize>);
plain!("float": f32, f64);
plain!("string": str, String, char, PathBuf);
plain!("string": IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6);
plain!("object": serde_json::Value, serde_json::Map<String, serde_json::Value>);
plain!("[]int": CString);
plain!("(secs: int, nanos: int)": Duration);
plain!("()": ());

impl Reply for () {
    fn fields(_: &mut Types) -> Fields {
        Fields::new()
    }
}

macro_rules! inside {
    ($($wrapper:ident),*) => {
        $(impl<T: Type + ?Sized> Type for $wrapper<T> {
            const SECRET: bool = T::SECRET;
            fn idl(types: &mut Types) -> String { T::idl(types) }
        }
        impl<T: Reply + ?Sized> Reply for $wrapper<T> {
            fn fields(types: &mut Types) -> Fields { T::fields(types) }
        })*
    };
}

inside!(Arc, Box, Rc);

impl<T: Type + ?Sized> Type for &T {
    const SECRET: bool = T::SECRET;
    fn idl(types: &mut Types) -> String {
        T::idl(types)
    }
}

impl<T: Type + ToOwned + ?Sized> Type for Cow<'_, T> {
    const SECRET: bool = T::SECRET;
    fn idl(types: &mut Types) -> String {
        T::idl(types)
    }
}

impl<T: Type> Type for Option<T> {
    const SECRET: bool = T::SECRET;
    fn idl(types: &mut Types) -> String {
        let inner = T::idl(types);
        if inner.starts_with('?') {
            return inner;
        }
        format!("?{inner}")
    }
}

macro_rules! list {
    ($([$($generic:tt)*] $ty:ty),* $(,)?) => {
        $(impl<$($generic)*> Type for $ty {
            const SECRET: bool = T::SECRET;
            fn idl(types: &mut Types) -> String { format!("[]{}", T::idl(types)) }
        })*
    };
}

list!(
    [T: Type] Vec<T>,
    [T: Type] VecDeque<T>,
    [T: Type] BTreeSet<T>,
    [T: Type, S] HashSet<T, S>,
    [T: Type] [T],
    [T: Type, const N: usize] [T; N],
);

impl<K, T: Type> Type for BTreeMap<K, T> {
    const SECRET: bool = T::SECRET;
    fn idl(types: &mut Types) -> String {
        format!("[string]{}", T::idl(types))
    }
}

impl<K, T: Type, S> Type for HashMap<K, T, S> {
    const SECRET: bool = T::SECRET;
    fn idl(types: &mut Types) -> String {
        format!("[string]{}", T::idl(types))
    }
}
