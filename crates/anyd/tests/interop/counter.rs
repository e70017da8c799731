//! One interface, written once for this crate and once for zlink.

use anyd::{Caller, Events, Fault, Type, service};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Sum {
    pub(crate) sum: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Tick {
    pub(crate) n: i64,
}

/// Values of every kind, one inside of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) weight: Option<i64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct Described {
    pub(crate) item: Item,
}

#[derive(Debug, PartialEq, Eq, Fault)]
#[fault(interface = "org.example.Counter")]
pub(crate) enum CounterError {
    Overflow { a: i64, b: i64 },
    Nothing,
}

#[service(interface = "org.example.Counter")]
pub(crate) trait Counter {
    /// Adds two numbers.
    #[access(anyone)]
    async fn add(&self, caller: &Caller, a: i64, b: i64) -> Result<Sum, CounterError>;
    /// Returns what it is given.
    #[access(anyone)]
    async fn describe(&self, caller: &Caller, item: Item) -> Result<Described, CounterError>;
    /// Fails.
    #[access(anyone)]
    async fn fail(&self, caller: &Caller) -> Result<(), CounterError>;
    /// Counts up to a number.
    #[access(anyone)]
    async fn count(&self, caller: &Caller, to: i64, out: Events<Tick>) -> Result<(), CounterError>;
    /// For one user, who is not here.
    #[access(uid = 4242)]
    async fn guarded(&self, caller: &Caller) -> Result<(), CounterError>;
}

#[derive(Debug)]
pub(crate) struct Here;

impl Counter for Here {
    async fn add(&self, _: &Caller, a: i64, b: i64) -> Result<Sum, CounterError> {
        let sum = a.checked_add(b).ok_or(CounterError::Overflow { a, b })?;
        Ok(Sum { sum })
    }

    async fn describe(&self, _: &Caller, item: Item) -> Result<Described, CounterError> {
        Ok(Described { item })
    }

    async fn fail(&self, _: &Caller) -> Result<(), CounterError> {
        Err(CounterError::Nothing)
    }

    async fn count(&self, _: &Caller, to: i64, mut out: Events<Tick>) -> Result<(), CounterError> {
        for n in 1..to {
            if out.send(Tick { n }).await.is_err() {
                return Ok(());
            }
        }
        // Said to be the last, so that clients need no empty reply after it.
        let _gone = out.last(Tick { n: to }).await;
        Ok(())
    }

    async fn guarded(&self, _: &Caller) -> Result<(), CounterError> {
        Ok(())
    }
}

pub(crate) fn item() -> Item {
    Item {
        name: "a \"name\" \u{1f600}\n".to_owned(),
        tags: vec!["one".to_owned(), String::new()],
        weight: Some(-7),
    }
}
