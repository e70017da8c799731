//! Pickles, good and hostile.

use serde_json::{Map, Value, json};

use super::writer::ends;
use super::{Request, Unreadable, exception, read, value};

/// `pickle.dumps(("echo", ("hi", 3, -1, 1.5, None, True, [1, "a"]), {"k": {"n": 2**40}}), 4)`
/// of CPython 3.12.
const CALL: &[u8] = b"\x80\x04\x95D\x00\x00\x00\x00\x00\x00\x00\x8c\x04echo\x94(\x8c\x02hi\x94K\x03J\xff\xff\xff\xffG?\xf8\x00\x00\x00\x00\x00\x00N\x88]\x94(K\x01\x8c\x01a\x94et\x94}\x94\x8c\x01k\x94}\x94\x8c\x01n\x94\x8a\x06\x00\x00\x00\x00\x00\x01ss\x87\x94.";

/// `class E: __reduce__ = lambda self: (os.system, ("id",))`
const CODE: &[u8] = b"\x80\x04\x95\x1d\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.";

#[test]
fn a_call_of_cpython_is_read() {
    let Ok(Request::Call {
        endpoint,
        args,
        kwargs,
    }) = read(CALL)
    else {
        panic!("{:?}", read(CALL));
    };
    assert_eq!(endpoint, "echo");
    assert_eq!(
        Value::Array(args),
        json!(["hi", 3, -1, 1.5, null, true, [1, "a"]])
    );
    assert_eq!(Value::Object(kwargs), json!({"k": {"n": 1_u64 << 40}}));
    assert_eq!(read(&ends()), Ok(Request::End));
}

#[test]
fn code_is_refused() {
    assert_eq!(read(CODE), Err(Unreadable::Opcode(0x93)));
    for opcode in [b'c', b'i', b'o', b'R', b'b', 0x81, 0x82, 0x92, b'P', b'Q'] {
        assert_eq!(
            read(&[0x80, 4, b'(', opcode, b'.']),
            Err(Unreadable::Opcode(opcode))
        );
    }
}

/// A request whose only argument the instructions leave on the stack.
fn with_argument(argument: &[u8]) -> Vec<u8> {
    [b"\x80\x04\x8c\x01e".as_slice(), argument, b"\x85}\x87."].concat()
}

#[test]
fn bombs_are_defused() {
    let lists = with_argument(&[b"]".repeat(90_000), b"a".repeat(89_999)].concat());
    assert_eq!(read(&lists), Err(Unreadable::TooDeep));
    // Sixty lists, each of the one before, twice: 2^60 values.
    let twice: Vec<u8> = (0..60_u8)
        .flat_map(|n| [b'h', n, b'h', n, 0x86, 0x94, b'0'])
        .collect();
    let billions = with_argument(&[b"]\x940".as_slice(), &twice, b"h\x3c"].concat());
    assert_eq!(read(&billions), Err(Unreadable::TooMany));
    let itself = with_argument(b"]\x94h\x00a");
    assert_eq!(read(&itself), Err(Unreadable::TooDeep));
    let many = with_argument(&[b"(".to_vec(), b"N".repeat(200_000), b"t".to_vec()].concat());
    assert_eq!(read(&many), Err(Unreadable::TooMany));
    let marks = b"(".repeat(200_000);
    assert_eq!(read(&marks), Err(Unreadable::TooMany));
    let announced = with_argument(b"X\xff\xff\xff\xff");
    assert_eq!(read(&announced), Err(Unreadable::Truncated));
    let announced = with_argument(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(read(&announced), Err(Unreadable::Truncated));
    let memo = with_argument(b"Nr\xff\xff\xff\xff");
    assert_eq!(read(&memo), Err(Unreadable::TooMany));
}

#[test]
fn what_json_does_not_have_is_refused() {
    let table: [(&[u8], Unreadable); 4] = [
        (b"G\x7f\xf0\0\0\0\0\0\0", Unreadable::NotFinite),
        (b"\x8a\x0a\0\0\0\0\0\0\0\0\0\x01", Unreadable::Number),
        (b"}K\x01K\x02s", Unreadable::Key),
        (b"\x8c\x01\xff", Unreadable::Text),
    ];
    for (argument, error) in table {
        assert_eq!(read(&with_argument(argument)), Err(error));
    }
}

#[test]
fn what_is_no_request_is_refused() {
    for pickle in [
        b"\x80\x04K\x2a.".as_slice(),
        b"\x80\x04).",
        b"\x80\x04(K\x01K\x02K\x03t.",
    ] {
        assert_eq!(read(pickle), Err(Unreadable::NoRequest));
    }
    assert_eq!(read(b""), Err(Unreadable::Truncated));
    assert_eq!(read(b"."), Err(Unreadable::Malformed));
}

#[test]
fn values_are_written_in_the_form_of_python() {
    assert_eq!(value(&json!({})), b"\x80\x04N.");
    assert_eq!(value(&json!({"one": true})), b"\x80\x04\x88.");
    assert_eq!(
        value(&json!({"n": u64::MAX})),
        b"\x80\x04\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00."
    );
    assert_eq!(
        exception("TypeError", &[json!("x")]),
        b"\x80\x04X\x08\0\0\0builtinsX\x09\0\0\0TypeError\x93(X\x01\0\0\0xtR."
    );
}

#[test]
fn what_is_written_is_read_back() {
    let reply = json!({"a": [1, -5, 1.5, i64::MIN, u64::MAX, null, "ä"], "b": {"c": false}});
    let pickle = value(&reply);
    let body = pickle
        .strip_prefix(b"\x80\x04")
        .unwrap()
        .strip_suffix(b".")
        .unwrap();
    let Ok(Request::Call { args, kwargs, .. }) = read(&with_argument(body)) else {
        panic!("not read");
    };
    assert_eq!(args, [reply]);
    assert_eq!(kwargs, Map::new());
}

#[test]
fn a_million_mutations_are_survived() {
    let seeds = [
        CALL.to_vec(),
        CODE.to_vec(),
        ends(),
        with_argument(b"]\x94h\x00a"),
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = move |sides: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(sides.max(1)).unwrap()).unwrap()
    };
    let mut read_well = 0;
    for round in 0..1_000_000 {
        let mut pickle = seeds[round % seeds.len()].clone();
        for _ in 0..=roll(3) {
            let at = roll(pickle.len());
            let byte = u8::try_from(roll(256)).unwrap();
            match roll(3) {
                0 => pickle.insert(at, byte),
                1 if !pickle.is_empty() => drop(pickle.remove(at)),
                _ => pickle.iter_mut().skip(at).take(1).for_each(|b| *b = byte),
            }
        }
        read_well += usize::from(read(&pickle).is_ok());
    }
    assert!(
        read_well > 1000,
        "mutations that are all refused test little"
    );
}
