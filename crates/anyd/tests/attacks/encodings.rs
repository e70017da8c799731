//! JSON at its limits: what two readers could understand differently.

use crate::arena::{Arena, brisk, call};

const MALFORMED: &str = "anyd.MalformedMessage";
const INVALID: &str = "org.varlink.service.InvalidParameter";

/// The daemon's word on each message, which then either goes on or closes.
fn assert_answers(messages: &[(&[u8], &str)]) {
    let arena = Arena::new(brisk());
    for (message, expected) in messages {
        let shown = message.get(..200).unwrap_or(message).escape_ascii();
        let mut raw = arena.attacker();
        raw.send_bytes(&[message, &b"\0"[..]].concat());
        let answer = raw.receive().expect("an answer");
        assert_eq!(answer["error"], *expected, "{shown}");
        if *expected == MALFORMED {
            assert_eq!(raw.receive(), None, "{shown}");
        } else {
            let after = raw.ask(&call("Echo", r#"{"arg":"after"}"#));
            assert_eq!(after["parameters"]["arg"], "after", "{shown}");
        }
    }
    arena.assert_alive();
}

#[test]
fn an_envelope_is_read_in_one_way_or_not_at_all() {
    assert_answers(&[
        (
            br#"{"method":"org.example.Target.Echo","method":"org.example.Target.Guarded"}"#,
            MALFORMED,
        ),
        (
            br#"{"method":"org.example.Target.Whoami","parameters":{},"parameters":{}}"#,
            MALFORMED,
        ),
        (
            br#"{"method":"org.example.Target.Whoami","more":false,"more":true}"#,
            MALFORMED,
        ),
        (
            br#"{"method":"org.example.Target.Whoami","oneway":"true"}"#,
            MALFORMED,
        ),
        (
            br#"{"method":"org.example.Target.Watch","oneway":true,"more":true}"#,
            MALFORMED,
        ),
        (
            br#"{"method":"org.example.Target.Whoami","oneway":true,"upgrade":true}"#,
            MALFORMED,
        ),
        (br#"{"method":null}"#, MALFORMED),
        (br#"{"method":["org.example.Target.Whoami"]}"#, MALFORMED),
        (br#"{'method':'org.example.Target.Whoami'}"#, MALFORMED),
        (br#"{"method":"org.example.Target.Whoami",}"#, MALFORMED),
        (
            br#"{"method":"org.example.Target.Whoami"}{"method":"a.b"}"#,
            MALFORMED,
        ),
        (br#"{"method":"org.example.Target.Whoami"/**/}"#, MALFORMED),
    ]);
}

#[test]
fn bytes_that_are_no_text_are_refused_wherever_they_are() {
    assert_answers(&[
        (b"{\"method\":\"org.example.Target.Wh\xffoami\"}", MALFORMED),
        (
            b"{\"method\":\"org.example.Target.Echo\",\"parameters\":{\"arg\":\"\xc0\xaf\"}}",
            MALFORMED,
        ),
        (
            b"{\"method\":\"org.example.Target.Echo\",\"parameters\":{\"arg\":\"\xed\xa0\x80\"}}",
            MALFORMED,
        ),
        (
            b"{\"method\":\"org.example.Target.Echo\",\"parameters\":{\"\xfe\":1}}",
            MALFORMED,
        ),
        (
            b"{\"method\":\"org.example.Target.Echo\",\"parameters\":{\"arg\":\"a\nb\"}}",
            MALFORMED,
        ),
        (
            b"{\"method\":\"org.example.Target.Wh\\ud800oami\"}",
            MALFORMED,
        ),
        (call("Echo", r#"{"arg":"\ud800"}"#).as_bytes(), INVALID),
        (
            call("Echo", r#"{"arg":"\udc00\ud800"}"#).as_bytes(),
            INVALID,
        ),
        (call("Echo", r#"{"arg":"\u0000"}"#).as_bytes(), INVALID),
        (
            call("Echo", r#"{"arg":"\u202e\u0007"}"#).as_bytes(),
            INVALID,
        ),
    ]);
}

#[test]
fn numbers_of_any_size_are_a_wrong_type_at_worst() {
    let digits = "9".repeat(900_000);
    let zeros = format!("1{}", "0".repeat(400));
    for number in [digits.as_str(), &zeros, "-0", "1e308", "1e-400", "-1.5e3"] {
        let call = call("Echo", &format!(r#"{{"arg":{number}}}"#));
        assert_answers(&[(call.as_bytes(), INVALID)]);
    }
    for number in ["NaN", "Infinity", "0x10", "01", "+1", "1.", ".5", "1e"] {
        let call = call("Echo", &format!(r#"{{"arg":{number}}}"#));
        assert_answers(&[(call.as_bytes(), MALFORMED)]);
    }
}

#[test]
fn names_of_any_length_and_kind_find_nothing() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let long = "x".repeat(1_000_000);
    let (name, found) = raw.ask_error(&format!(r#"{{"method":"org.example.Target.{long}"}}"#));
    assert_eq!(name, "org.varlink.service.MethodNotFound");
    let named = found["method"].as_str().unwrap().len();
    assert_eq!(named, long.len() + "org.example.Target.".len());
    let odd = [
        ".",
        "..",
        "org.example.Target.",
        "org.example.Target",
        ".Echo",
        "org.example.Target.echo",
        "org.example.target.Echo",
        "org.example.Target.Echo ",
        r"org.example.Target.Echo\u0000",
        r"..\/..\/etc\/passwd",
        "org.example.Target.Echo.Echo",
        "%s%n",
    ];
    for method in odd {
        let (name, _) = raw.ask_error(&format!(r#"{{"method":"{method}"}}"#));
        let not_found = name.ends_with(".MethodNotFound") || name.ends_with(".InterfaceNotFound");
        assert!(not_found, "{method}: {name}");
    }
    // An escaped name is the same name, and subject to the same rule.
    let escaped = r#"{"method":"org.example.Target.\u0057hoami"}"#;
    assert!(raw.ask(escaped)["error"].is_null());
    let (name, found) = raw.ask_error(&call("Echo", &format!(r#"{{"{long}":1}}"#)));
    assert_eq!(name, INVALID);
    let named = found["parameter"].as_str().unwrap();
    assert!(named.len() < 1000, "{} bytes are said back", named.len());
}

#[test]
fn a_parameter_given_twice_is_refused_however_it_is_written() {
    assert_answers(&[
        (
            call("Echo", r#"{"arg":"a","\u0061rg":"b"}"#).as_bytes(),
            INVALID,
        ),
        (
            call("Echo", r#"{"arg":null,"arg":"b"}"#).as_bytes(),
            INVALID,
        ),
        (
            call("Unlock", r#"{"name":"a","password":"b","name":"c"}"#).as_bytes(),
            INVALID,
        ),
    ]);
}
