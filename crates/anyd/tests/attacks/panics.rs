//! A service that breaks wherever it can, and what its clients notice.

use std::panic;

use anyd::{Caller, Daemon, Decision, Events, Fault, Peer, Type, service};
use serde::{Deserialize, Serialize, Serializer};

use crate::arena::{Arena, brisk, call, runtime};

/// What breaks when it is read.
#[derive(Debug, Serialize, Type)]
pub(crate) struct Unreadable(String);

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("as the test asks")
    }
}

/// What breaks when it is written.
#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Unwritable {
    text: Breaks,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Breaks;

impl Type for Breaks {
    fn idl(types: &mut anyd::idl::Types) -> String {
        String::idl(types)
    }
}

impl Serialize for Breaks {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as the test asks")
    }
}

/// What may break when its first half has been written.
#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Perhaps {
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    more: Option<Breaks>,
}

#[derive(Debug, Serialize, Deserialize, Type)]
pub(crate) struct Number {
    n: u32,
}

#[derive(Debug, Fault)]
#[fault(interface = "org.example.Broken")]
pub(crate) enum BrokenError {
    Never,
}

#[service(interface = "org.example.Broken")]
pub(crate) trait Broken {
    #[access(anyone)]
    async fn read(&self, caller: &Caller, value: Unreadable) -> Result<(), BrokenError>;
    #[access(anyone)]
    async fn write(&self, caller: &Caller) -> Result<Unwritable, BrokenError>;
    #[access(anyone)]
    async fn count(&self, caller: &Caller, out: Events<Number>) -> Result<(), BrokenError>;
    #[access(anyone)]
    async fn send(&self, caller: &Caller, out: Events<Unwritable>) -> Result<(), BrokenError>;
    #[access(anyone)]
    async fn half(&self, caller: &Caller, out: Events<Perhaps>) -> Result<(), BrokenError>;
    #[access(anyone)]
    #[exclusive]
    async fn alone(&self, caller: &Caller) -> Result<(), BrokenError>;
    #[access(any(owner, root))]
    async fn owned(&self, caller: &Caller) -> Result<(), BrokenError>;
    #[access(anyone)]
    async fn fine(&self, caller: &Caller) -> Result<Number, BrokenError>;
}

struct Cursed;

impl Broken for Cursed {
    fn owner(&self) -> Option<u32> {
        panic!("as the test asks")
    }

    async fn read(&self, _: &Caller, _: Unreadable) -> Result<(), BrokenError> {
        Ok(())
    }

    async fn write(&self, _: &Caller) -> Result<Unwritable, BrokenError> {
        Ok(Unwritable { text: Breaks })
    }

    async fn count(&self, _: &Caller, mut out: Events<Number>) -> Result<(), BrokenError> {
        for n in 0..3 {
            let _gone = out.send(Number { n }).await;
        }
        panic!("as the test asks")
    }

    async fn send(&self, _: &Caller, mut out: Events<Unwritable>) -> Result<(), BrokenError> {
        let _never = out.send(Unwritable { text: Breaks }).await;
        Ok(())
    }

    async fn half(&self, _: &Caller, mut out: Events<Perhaps>) -> Result<(), BrokenError> {
        for more in [None, Some(Breaks)] {
            let text = "whole".to_owned();
            let _gone = out.send(Perhaps { text, more }).await;
        }
        Ok(())
    }

    async fn alone(&self, _: &Caller) -> Result<(), BrokenError> {
        panic!("as the test asks")
    }

    async fn owned(&self, _: &Caller) -> Result<(), BrokenError> {
        Ok(())
    }

    async fn fine(&self, _: &Caller) -> Result<Number, BrokenError> {
        Ok(Number { n: 7 })
    }
}

fn arena() -> Arena {
    Arena::with(brisk(), |daemon| daemon.serve(BrokenService(Cursed)))
}

fn broken(method: &str, more: bool) -> String {
    let text = call(method, "{}").replace("Target", "Broken");
    match more {
        true => text.replacen('{', r#"{"more":true,"#, 1),
        false => text,
    }
}

#[test]
fn whatever_breaks_is_an_error_of_its_call_only() {
    let arena = arena();
    let mut raw = arena.attacker();
    for (method, more) in [
        ("Read", false),
        ("Write", false),
        ("Send", true),
        ("Alone", false),
        ("Alone", false),
    ] {
        let given = if method == "Read" {
            r#"{"value":1}"#
        } else {
            "{}"
        };
        let (name, _) = raw.ask_error(&broken(method, more).replace("{}", given));
        assert_eq!(name, "anyd.InternalError", "{method}");
        assert_eq!(raw.ask(&broken("Fine", false))["parameters"]["n"], 7);
    }
    arena.assert_alive();
}

#[test]
fn a_stream_that_breaks_delivers_what_was_sent_and_then_the_error() {
    let arena = arena();
    let mut raw = arena.attacker();
    raw.send(&broken("Count", true));
    for n in 0..3 {
        assert_eq!(raw.receive().unwrap()["parameters"]["n"], n);
    }
    assert_eq!(raw.receive().unwrap()["error"], "anyd.InternalError");
    assert_eq!(raw.ask(&broken("Fine", false))["parameters"]["n"], 7);
}

#[test]
fn an_event_that_breaks_while_it_is_written_leaves_no_half_of_itself() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let daemon = Daemon::new(anyd::product!())
        .serve(BrokenService(Cursed))
        .serve_stream_as(theirs, Peer::uid(1000));
    let daemon = std::thread::spawn(move || runtime().block_on(daemon.run(std::future::pending())));
    let mut raw = crate::arena::Raw::of(ours);
    raw.send(&broken("Half", true));
    assert_eq!(raw.receive().unwrap()["parameters"]["text"], "whole");
    assert_eq!(raw.receive().unwrap()["error"], "anyd.InternalError");
    drop(raw);
    daemon.join().unwrap().unwrap();
}

#[test]
fn a_rule_that_breaks_lets_nobody_in() {
    let arena = arena();
    let mut raw = arena.attacker();
    raw.send(&broken("Owned", false));
    assert_eq!(raw.receive(), None);
    arena.assert_alive();
    let arena = Arena::with(brisk(), |daemon| {
        daemon.narrow(|_, method| match method.name {
            "Whoami" => panic::panic_any("as the test asks"),
            _ => Decision::Allow,
        })
    });
    let mut raw = arena.attacker();
    raw.send(&call("Whoami", "{}"));
    assert_eq!(raw.receive(), None);
    arena.assert_alive();
}
