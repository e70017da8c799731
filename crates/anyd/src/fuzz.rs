//! What the fuzz targets feed: each function takes any bytes and panics only
//! when something is wrong.

use serde_json::Value;

use crate::parameters::Parameters;
use crate::types::{HostName, Text};
use crate::wire::{CallHead, Inbox};

/// However the bytes are cut, the same messages come out. The first byte is
/// the size of the pieces.
///
/// # Panics
///
/// When they do not.
pub fn frames(data: &[u8]) {
    const LIMIT: usize = 4096;
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let mut inbox = Inbox::new(LIMIT);
    let mut expected = stream.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    for piece in stream.chunks(usize::from(*size).max(1)) {
        let Ok(()) = put(&mut inbox, piece) else {
            return;
        };
        while let Some(message) = inbox.next() {
            let bytes = inbox.bytes(message).to_vec();
            assert!(bytes.len() <= LIMIT, "longer than the limit");
            assert_eq!(Some(bytes), expected.next());
        }
    }
    assert_eq!(Some(inbox.begun().to_vec()), expected.next());
}

/// Puts bytes into the inbox as a connection does.
fn put(inbox: &mut Inbox, mut bytes: &[u8]) -> Result<(), ()> {
    while !bytes.is_empty() {
        let room = inbox.room().map_err(|_| ())?;
        let count = room.len().min(bytes.len());
        let (now, later) = bytes.split_at(count);
        room.iter_mut()
            .zip(now)
            .for_each(|(place, byte)| *place = *byte);
        inbox.arrived(count);
        bytes = later;
    }
    Ok(())
}

/// A call's envelope and its parameters.
pub fn call(data: &[u8]) {
    let Ok(head) = CallHead::parse(data) else {
        return;
    };
    let Some(Ok(mut parameters)) = head.parameters.map(Parameters::of_text) else {
        return;
    };
    for name in ["arg", "server", ""] {
        // Any outcome is right but a panic.
        let _shown = parameters.shown(name);
        let _text = parameters.named::<Text<1, 64>>(name);
        let _host = parameters.named::<HostName>(name);
        let _number = parameters.named::<u16>(name);
        let _any = parameters.take::<Option<Value>>(name);
    }
}

/// A request of the Python package; what is read well is small.
///
/// # Panics
///
/// When a value that JSON cannot carry is read.
#[cfg(feature = "python")]
pub fn pickle(data: &[u8]) {
    if let Ok(crate::pickle::Request::Call { args, kwargs, .. }) = crate::pickle::read(data) {
        let fields = Value::Object(kwargs);
        let answer = crate::pickle::value(&fields);
        assert!(answer.ends_with(b"."));
        let text = serde_json::to_string(&args).expect("invariant: JSON's values can be written");
        assert!(text.starts_with('['));
    }
}
