use super::*;

const HELLO: Call<'_> = Call {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "Hello",
};

/// An answer as the bus writes it: the header's fields in any order.
fn answer(kind: u8, fields: impl FnOnce(&mut Writer), body: &Writer) -> Vec<u8> {
    let mut writer = Writer {
        bytes: vec![b'l', kind, 1, VERSION],
    };
    writer.u32(length(body.bytes.len()));
    writer.u32(77);
    writer.array(8, fields);
    writer.align(8);
    writer.bytes.extend_from_slice(&body.bytes);
    writer.bytes
}

/// A signal of the bus's, or what claims to be one: `name` came or went.
pub(in super::super) fn owner_changed(sender: &str, interface: &str, name: &str) -> Vec<u8> {
    let mut body = Writer::default();
    for text in [name, "", ":1.9"] {
        body.text(text);
    }
    let fields = |writer: &mut Writer| {
        let texts = [
            (field::INTERFACE, interface),
            (field::MEMBER, "NameOwnerChanged"),
            (field::SENDER, sender),
        ];
        for (code, text) in texts {
            field(writer, code, "s");
            writer.text(text);
        }
        field(writer, field::SIGNATURE, "g");
        writer.signature("sss");
    };
    answer(SIGNAL, fields, &body)
}

/// An empty reply to a call.
pub(in super::super) fn reply(sender: &str, to: u32) -> Vec<u8> {
    let fields = |writer: &mut Writer| {
        field(writer, field::REPLY_SERIAL, "u");
        writer.u32(to);
        field(writer, field::SENDER, "s");
        writer.text(sender);
    };
    answer(REPLY, fields, &Writer::default())
}

fn field(writer: &mut Writer, code: u8, signature: &str) {
    writer.align(8);
    writer.bytes.push(code);
    writer.signature(signature);
}

fn error() -> Vec<u8> {
    let mut body = Writer::default();
    body.text("Link 9 not known");
    let fields = |writer: &mut Writer| {
        field(writer, field::ERROR_NAME, "s");
        writer.text("org.freedesktop.resolve1.NoSuchLink");
        field(writer, field::REPLY_SERIAL, "u");
        writer.u32(5);
        field(writer, field::SIGNATURE, "g");
        writer.signature("s");
        field(writer, 7, "s");
        writer.text(":1.3");
    };
    answer(ERROR, fields, &body)
}

#[test]
fn hello_is_what_the_specification_says() {
    let bytes = encode_call(1, &HELLO, &Arguments::default());
    let expected = b"l\x01\x02\x01\0\0\0\0\x01\0\0\0\x6e\0\0\0\
        \x01\x01o\0\x15\0\0\0/org/freedesktop/DBus\0\0\0\
        \x02\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\
        \x03\x01s\0\x05\0\0\0Hello\0\0\0\
        \x06\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0";
    let length = usize::from(bytes[12]);
    assert_eq!(bytes.len(), (PREFIX + length).next_multiple_of(8));
    assert_eq!(bytes[16..16 + length], expected[16..16 + length]);
    assert_eq!(bytes[..12], expected[..12]);
}

#[test]
fn a_refusal_says_to_what_and_why() {
    let bytes = error();
    let prefix = bytes[..PREFIX].try_into().unwrap();
    assert_eq!(message_length(prefix), Ok(bytes.len()));
    let message = Message::decode(&bytes).unwrap();
    let name = "org.freedesktop.resolve1.NoSuchLink".to_owned();
    assert_eq!(message.kind, Kind::Error(5, name));
    assert_eq!(message.leading_text().as_deref(), Some("Link 9 not known"));
    assert!(message.body("b").is_none());
}

#[test]
fn arrays_of_structures_come_back_as_they_were_written() {
    let mut body = Writer::default();
    body.signature("a(sb)");
    body.array(8, |body| {
        for (name, routing) in [("lan", false), (".", true)] {
            body.align(8);
            body.text(name);
            body.flag(routing);
        }
    });
    let fields = |writer: &mut Writer| {
        field(writer, field::REPLY_SERIAL, "u");
        writer.u32(9);
        field(writer, field::SIGNATURE, "g");
        writer.signature("v");
    };
    let message = Message::decode(&answer(REPLY, fields, &body)).unwrap();
    assert_eq!(message.kind, Kind::Reply(9));
    let mut reader = message.body("v").unwrap();
    assert_eq!(reader.signature().unwrap(), "a(sb)");
    let mut found = Vec::new();
    let read = reader.array(8, |reader| {
        reader.align(8)?;
        found.push((reader.text()?, reader.flag()?));
        Ok(())
    });
    assert_eq!(read, Ok(()));
    assert_eq!(found, [("lan".to_owned(), false), (".".to_owned(), true)]);
}

#[test]
fn whatever_comes_is_read_or_refused() {
    let whole = error();
    for cut in 0..whole.len() {
        assert_eq!(
            Message::decode(&whole[..cut]),
            Err(Malformed),
            "{cut} bytes"
        );
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] = value;
            // Any outcome but a panic will do.
            if let Ok(message) = Message::decode(&changed) {
                drop(message.leading_text());
            }
        }
    }
}

#[test]
fn what_claims_to_be_endless_is_refused() {
    let mut prefix: [u8; PREFIX] = error()[..PREFIX].try_into().unwrap();
    prefix[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(message_length(&prefix), Err(Malformed));
    prefix[0] = b'x';
    assert_eq!(message_length(&prefix), Err(Malformed));
}
