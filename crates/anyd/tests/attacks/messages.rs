//! Messages that are not what they should be.

use serde_json::json;

use crate::arena::{Arena, brisk, call};

#[test]
fn what_is_not_served_is_named() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    for parameters in ["{}", r#"{"a":1}"#] {
        assert_eq!(
            raw.ask_error(&call("Nothing", parameters)),
            (
                "org.varlink.service.MethodNotFound".to_owned(),
                json!({"method": "org.example.Target.Nothing"})
            )
        );
    }
    assert_eq!(
        raw.ask_error(r#"{"method":"com.other.Thing.Do"}"#),
        (
            "org.varlink.service.InterfaceNotFound".to_owned(),
            json!({"interface": "com.other.Thing"})
        )
    );
    let (name, _) = raw.ask_error(r#"{"method":""}"#);
    assert_eq!(name, "org.varlink.service.InterfaceNotFound");
    let (name, _) = raw.ask_error(r#"{"method":"org.example.Target.Echo","upgrade":true}"#);
    assert_eq!(name, "org.varlink.service.MethodNotImplemented");
}

#[test]
fn a_wrong_parameter_is_named_and_the_reason_given() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let table = [
        ("{}", "arg", "missing"),
        (
            r#"{"arg":7}"#,
            "arg",
            "invalid type: integer `7`, expected a string",
        ),
        (r#"{"arg":"a\u0000b"}"#, "arg", "has a control character"),
        (
            r#"{"arg":"x","more":1}"#,
            "more",
            "not known: this method takes arg",
        ),
        (r#"{"arg":"x","arg":"y"}"#, "arg", "given twice"),
        (
            "[]",
            "parameters",
            "invalid type: sequence, expected an object",
        ),
        (
            "\"x\"",
            "parameters",
            "invalid type: string \"x\", expected an object",
        ),
    ];
    for (parameters, parameter, reason) in table {
        let (name, found) = raw.ask_error(&call("Echo", parameters));
        assert_eq!(name, "org.varlink.service.InvalidParameter", "{parameters}");
        assert_eq!(found, json!({"parameter": parameter, "reason": reason}));
    }
    assert_eq!(
        raw.ask(&call("Echo", r#"{"arg":"x"}"#))["parameters"]["arg"],
        "x"
    );
}

#[test]
fn a_stranger_learns_nothing_from_parameters_of_what_they_may_not_call() {
    let arena = Arena::new(brisk());
    if !crate::arena::is_root() && crate::arena::skip("needs root and another user") {
        return;
    }
    let mut raw = arena.attacker();
    let (name, found) = raw.ask_error(&call("Guarded", r#"{"a":[[[[1]]]]}"#));
    assert_eq!(name, "org.varlink.service.PermissionDenied");
    assert_eq!(found["reason"], "only root may call it");
}

#[test]
fn what_is_no_message_is_answered_and_the_connection_closed() {
    let arena = Arena::new(brisk());
    for text in ["{", "{}", "{\"method\":1}", "{]", "{\"method\":\"a\"}x"] {
        let mut raw = arena.attacker();
        let (name, _) = raw.ask_error(text);
        assert_eq!(name, "anyd.MalformedMessage", "{text}");
        assert_eq!(raw.receive(), None, "{text}");
    }
    arena.assert_alive();
}

#[test]
fn another_protocol_is_closed_at_once() {
    let arena = Arena::new(brisk());
    let greetings: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x00\x00\x00\x07\x80\x04K*.\x00\x00",
        b"\n{}\0",
        b"\0",
    ];
    for greeting in greetings {
        let mut raw = arena.attacker();
        raw.send_bytes(greeting);
        assert_eq!(raw.receive(), None, "{}", greeting.escape_ascii());
    }
    arena.assert_alive();
}

#[test]
fn depth_overflows_nothing() {
    let arena = Arena::new(brisk());
    let deep = 200_000;
    let nested = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    let mut raw = arena.attacker();
    let (name, found) = raw.ask_error(&call("Echo", &format!("{{\"arg\":{nested}}}")));
    assert_eq!(name, "org.varlink.service.InvalidParameter");
    assert_eq!(found["parameter"], "arg");
    let (name, _) = raw.ask_error(&call("Echo", &nested));
    assert_eq!(name, "org.varlink.service.InvalidParameter");
    let objects = format!("{}1{}", "{\"arg\":".repeat(100_000), "}".repeat(100_000));
    let (name, _) = raw.ask_error(&call("Echo", &objects));
    assert_eq!(name, "org.varlink.service.InvalidParameter");
    arena.assert_alive();
}

#[test]
fn a_message_without_end_is_cut_off_at_the_limit() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let megabyte = vec![b'x'; 1 << 20];
    raw.send_bytes(b"{\"method\":\"");
    let mut sent = 0;
    for _ in 0..110 {
        let write = std::io::Write::write_all(&mut raw.stream, &megabyte);
        if write.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 10, "{sent} MiB were taken");
    if let Some(answer) = raw.receive() {
        assert_eq!(answer["error"], "anyd.MalformedMessage");
        assert_eq!(raw.receive(), None);
    }
    arena.assert_alive();
}

#[test]
fn calls_on_one_connection_are_answered_in_order() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let calls: Vec<String> = (0..500)
        .map(|n| call("Echo", &format!("{{\"arg\":\"{n}\"}}")) + "\0")
        .collect();
    raw.send_bytes(calls.concat().as_bytes());
    for n in 0..500 {
        assert_eq!(raw.receive().unwrap()["parameters"]["arg"], n.to_string());
    }
}

#[test]
fn a_call_that_wants_no_answer_gets_none() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    for (method, parameters) in [("Echo", r#"{"arg":"x"}"#), ("Echo", "{}"), ("Boom", "{}")] {
        raw.send(&format!(
            r#"{{"method":"org.example.Target.{method}","parameters":{parameters},"oneway":true}}"#
        ));
    }
    assert_eq!(
        raw.ask(&call("Echo", r#"{"arg":"y"}"#))["parameters"]["arg"],
        "y"
    );
}

#[test]
fn a_panic_harms_its_call_only() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let (name, found) = raw.ask_error(&call("Boom", "{}"));
    assert_eq!(name, "anyd.InternalError");
    let id = found["id"].as_u64().unwrap();
    assert_eq!(
        raw.ask(&call("Echo", r#"{"arg":"y"}"#))["parameters"]["arg"],
        "y"
    );
    let records = arena.records.lock().unwrap();
    let broken = format!("call={id} ");
    assert!(
        records
            .iter()
            .any(|line| line.starts_with(&broken) && line.contains("broken"))
    );
}

/// A generator of numbers, for mutations that are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }
}

#[test]
fn twenty_thousand_mutated_calls_harm_nothing() {
    let arena = Arena::new(brisk());
    let seeds = [
        call("Echo", r#"{"arg":"hello"}"#),
        call("Unlock", r#"{"name":"me","password":"right"}"#),
        call("Guarded", "{}"),
        r#"{"method":"org.varlink.service.GetInfo"}"#.to_owned(),
        r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"org.example.Target"}}"#.to_owned(),
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut raw = arena.attacker();
    let mut reconnects = 0;
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone().into_bytes();
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(bytes.len().max(1));
            match dice.roll(4) {
                _ if bytes.len() < 2 => break,
                0 => bytes[at] = u8::try_from(dice.roll(255) + 1).unwrap(),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}[]\",:\\0e-"[dice.roll(11)]),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes.splice(..1.min(bytes.len()), *b"{");
        bytes.push(0);
        raw.send_bytes(&bytes);
        if raw
            .receive()
            .is_none_or(|answer| answer["error"] == "anyd.MalformedMessage")
        {
            raw = arena.attacker();
            reconnects += 1;
        }
    }
    assert!(reconnects > 1000, "the mutations are not hostile");
    arena.assert_alive();
}
