//! `org.varlink.certification`, the interface by which implementations of
//! Varlink are held against each other.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use anyd::types::StringSet;
use anyd::{CallError, Caller, Events, Fault, Type, args, service};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Fault)]
#[fault(interface = "org.varlink.certification")]
pub(crate) enum CertificationFault {
    ClientIdError,
    CertificationError { wants: Value, got: Value },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub(crate) struct Four {
    bool: bool,
    int: i64,
    float: f64,
    string: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Number {
    One,
    Two,
    Three,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    Foo,
    Bar,
    Baz,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Pair {
    first: i64,
    second: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Flags {
    foo: bool,
    bar: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Interface {
    foo: Option<Vec<Option<BTreeMap<String, Word>>>>,
    anon: Flags,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub(crate) struct MyType {
    object: Value,
    r#enum: Number,
    r#struct: Pair,
    array: Vec<String>,
    dictionary: BTreeMap<String, String>,
    stringset: StringSet,
    nullable: Option<String>,
    nullable_array_struct: Option<Vec<Pair>>,
    interface: Interface,
}

macro_rules! replies {
    ($($name:ident { $($field:ident: $ty:ty),* })*) => {
        $(#[derive(Debug, Serialize, Deserialize, Type)]
        pub(crate) struct $name { $(pub(crate) $field: $ty),* })*
    };
}

replies! {
    Started { client_id: String }
    Bool { bool: bool }
    Int { int: i64 }
    Float { float: f64 }
    Text { string: String }
    Struct { r#struct: Four }
    Map { map: BTreeMap<String, String> }
    Set { set: StringSet }
    Mine { mytype: MyType }
    Ended { all_ok: bool }
}

type Outcome<T> = Result<T, CertificationFault>;

#[service(interface = "org.varlink.certification")]
pub(crate) trait Certification {
    #[access(anyone)]
    async fn start(&self, caller: &Caller) -> Result<Started, CertificationFault>;
    #[access(anyone)]
    async fn test01(&self, caller: &Caller, client_id: String) -> Result<Bool, CertificationFault>;
    #[access(anyone)]
    async fn test02(
        &self,
        caller: &Caller,
        client_id: String,
        bool: bool,
    ) -> Result<Int, CertificationFault>;
    #[access(anyone)]
    async fn test03(
        &self,
        caller: &Caller,
        client_id: String,
        int: i64,
    ) -> Result<Float, CertificationFault>;
    #[access(anyone)]
    async fn test04(
        &self,
        caller: &Caller,
        client_id: String,
        float: f64,
    ) -> Result<Text, CertificationFault>;
    #[access(anyone)]
    async fn test05(
        &self,
        caller: &Caller,
        client_id: String,
        string: String,
    ) -> Result<Four, CertificationFault>;
    #[access(anyone)]
    async fn test06(
        &self,
        caller: &Caller,
        client_id: String,
        bool: bool,
        int: i64,
        float: f64,
        string: String,
    ) -> Result<Struct, CertificationFault>;
    #[access(anyone)]
    async fn test07(
        &self,
        caller: &Caller,
        client_id: String,
        r#struct: Four,
    ) -> Result<Map, CertificationFault>;
    #[access(anyone)]
    async fn test08(
        &self,
        caller: &Caller,
        client_id: String,
        map: BTreeMap<String, String>,
    ) -> Result<Set, CertificationFault>;
    #[access(anyone)]
    async fn test09(
        &self,
        caller: &Caller,
        client_id: String,
        set: StringSet,
    ) -> Result<Mine, CertificationFault>;
    #[access(anyone)]
    async fn test10(
        &self,
        caller: &Caller,
        client_id: String,
        mytype: MyType,
        out: Events<Text>,
    ) -> Result<(), CertificationFault>;
    #[access(anyone)]
    #[oneway]
    async fn test11(
        &self,
        caller: &Caller,
        client_id: String,
        last_more_replies: Vec<String>,
    ) -> Result<(), CertificationFault>;
    #[access(anyone)]
    async fn end(&self, caller: &Caller, client_id: String) -> Result<Ended, CertificationFault>;
}

/// Examines clients: each test is called in its turn, with what the one before
/// has returned.
#[derive(Debug, Default)]
pub(crate) struct Examiner {
    /// The number of the next test of each client.
    next: Mutex<BTreeMap<String, u32>>,
}

impl Examiner {
    fn clients(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.next.lock().unwrap()
    }

    fn turn(&self, client: &str, test: u32) -> Outcome<()> {
        let mut clients = self.clients();
        let next = clients
            .get_mut(client)
            .ok_or(CertificationFault::ClientIdError)?;
        if *next != test {
            return Err(CertificationFault::CertificationError {
                wants: json!(*next),
                got: json!(test),
            });
        }
        *next += 1;
        Ok(())
    }

    fn check<T: PartialEq + Serialize>(&self, client: &str, wants: &T, got: &T) -> Outcome<()> {
        if wants == got {
            return Ok(());
        }
        self.clients().remove(client);
        Err(CertificationFault::CertificationError {
            wants: json!(wants),
            got: json!(got),
        })
    }
}

fn four() -> Four {
    Four {
        bool: false,
        int: 2,
        float: std::f64::consts::PI,
        string: "a lot of string".to_owned(),
    }
}

fn map() -> BTreeMap<String, String> {
    [("foo", "Foo"), ("bar", "Bar")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn set() -> StringSet {
    ["one", "two", "three"].into_iter().collect()
}

fn words<const N: usize>(pairs: [(&str, Word); N]) -> BTreeMap<String, Word> {
    pairs.map(|(key, word)| (key.to_owned(), word)).into()
}

fn mine() -> MyType {
    MyType {
        object: json!({
            "method": "org.varlink.certification.Test09",
            "parameters": {"map": map()},
        }),
        r#enum: Number::Two,
        r#struct: Pair {
            first: 1,
            second: "2".to_owned(),
        },
        array: ["one", "two", "three"].map(str::to_owned).into(),
        dictionary: map(),
        stringset: set(),
        nullable: None,
        nullable_array_struct: None,
        interface: Interface {
            foo: Some(vec![
                None,
                Some(words([("foo", Word::Foo), ("bar", Word::Bar)])),
                None,
                Some(words([("one", Word::Foo), ("two", Word::Bar)])),
            ]),
            anon: Flags {
                foo: true,
                bar: false,
            },
        },
    }
}

fn numbered(number: u32) -> String {
    format!("Reply number {number}")
}

impl Certification for Examiner {
    async fn start(&self, caller: &Caller) -> Outcome<Started> {
        let client_id = caller.id().to_string();
        self.clients().insert(client_id.clone(), 1);
        Ok(Started { client_id })
    }

    async fn test01(&self, _: &Caller, client_id: String) -> Outcome<Bool> {
        self.turn(&client_id, 1)?;
        Ok(Bool { bool: true })
    }

    async fn test02(&self, _: &Caller, client_id: String, bool: bool) -> Outcome<Int> {
        self.turn(&client_id, 2)?;
        self.check(&client_id, &true, &bool)?;
        Ok(Int { int: 1 })
    }

    async fn test03(&self, _: &Caller, client_id: String, int: i64) -> Outcome<Float> {
        self.turn(&client_id, 3)?;
        self.check(&client_id, &1, &int)?;
        Ok(Float { float: 1.0 })
    }

    async fn test04(&self, _: &Caller, client_id: String, float: f64) -> Outcome<Text> {
        self.turn(&client_id, 4)?;
        self.check(&client_id, &1.0, &float)?;
        Ok(Text {
            string: "ping".to_owned(),
        })
    }

    async fn test05(&self, _: &Caller, client_id: String, string: String) -> Outcome<Four> {
        self.turn(&client_id, 5)?;
        self.check(&client_id, &"ping", &string.as_str())?;
        Ok(four())
    }

    async fn test06(
        &self,
        _: &Caller,
        client_id: String,
        bool: bool,
        int: i64,
        float: f64,
        string: String,
    ) -> Outcome<Struct> {
        self.turn(&client_id, 6)?;
        let got = Four {
            bool,
            int,
            float,
            string,
        };
        self.check(&client_id, &four(), &got)?;
        Ok(Struct { r#struct: four() })
    }

    async fn test07(&self, _: &Caller, client_id: String, r#struct: Four) -> Outcome<Map> {
        self.turn(&client_id, 7)?;
        self.check(&client_id, &four(), &r#struct)?;
        Ok(Map { map: map() })
    }

    async fn test08(
        &self,
        _: &Caller,
        client_id: String,
        map: BTreeMap<String, String>,
    ) -> Outcome<Set> {
        self.turn(&client_id, 8)?;
        self.check(&client_id, &self::map(), &map)?;
        Ok(Set { set: set() })
    }

    async fn test09(&self, _: &Caller, client_id: String, set: StringSet) -> Outcome<Mine> {
        self.turn(&client_id, 9)?;
        self.check(&client_id, &self::set(), &set)?;
        Ok(Mine { mytype: mine() })
    }

    async fn test10(
        &self,
        _: &Caller,
        client_id: String,
        mytype: MyType,
        mut out: Events<Text>,
    ) -> Outcome<()> {
        self.turn(&client_id, 10)?;
        self.check(&client_id, &mine(), &mytype)?;
        for number in 1..10 {
            let string = numbered(number);
            if out.send(Text { string }).await.is_err() {
                return Ok(());
            }
        }
        let string = numbered(10);
        let _gone = out.last(Text { string }).await;
        Ok(())
    }

    async fn test11(
        &self,
        _: &Caller,
        client_id: String,
        last_more_replies: Vec<String>,
    ) -> Outcome<()> {
        self.turn(&client_id, 11)?;
        let wants: Vec<String> = (1..=10).map(numbered).collect();
        self.check(&client_id, &wants, &last_more_replies)
    }

    async fn end(&self, _: &Caller, client_id: String) -> Outcome<Ended> {
        self.turn(&client_id, 12)?;
        self.clients().remove(&client_id);
        Ok(Ended { all_ok: true })
    }
}

/// Takes the examination as a client.
pub(crate) fn examined(
    client: &mut CertificationBlocking,
) -> Result<(), CallError<CertificationFault>> {
    let client_id = client.start()?.client_id;
    let id = || client_id.clone();
    let bool = client.test01(id())?.bool;
    let int = client.test02(id(), bool)?.int;
    let float = client.test03(id(), int)?.float;
    let string = client.test04(id(), float)?.string;
    let four = client.test05(id(), string)?;
    let four = client.test06(id(), four.bool, four.int, four.float, four.string)?;
    let map = client.test07(id(), four.r#struct)?.map;
    let set = client.test08(id(), map)?.set;
    let mine = client.test09(id(), set)?.mytype;
    let replies: Result<Vec<Text>, _> = client.test10(id(), mine)?.collect();
    let replies = replies?.into_iter().map(|reply| reply.string).collect();
    client.test11(id(), replies)?;
    assert!(client.end(id())?.all_ok);
    // Out of turn, and without a client's id.
    assert!(client.test05(id(), String::new()).is_err());
    let by_name = client
        .as_mut()
        .commit("test01", args! { client_id: "nobody" });
    assert!(by_name.is_err());
    Ok(())
}
