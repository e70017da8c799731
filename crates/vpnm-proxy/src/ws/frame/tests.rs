//! Frames against the examples of RFC 6455 section 5.7, in pieces, and broken.

use super::*;

/// Everything that a receiver makes of `input`, offered in pieces of `piece` bytes.
fn receive(role: Role, input: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<Event>), FrameError> {
    let mut receiver = Receiver::new(role);
    let (mut waiting, mut data, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        waiting.extend_from_slice(piece);
        loop {
            let (used, event) = receiver.handle(&mut waiting, 5)?;
            match event {
                Some(Event::Data(range)) => data.extend_from_slice(&waiting[range]),
                Some(event) => events.push(event),
                None if used == 0 => break,
                None => {}
            }
            waiting.drain(..used);
        }
    }
    Ok((data, events))
}

#[test]
fn the_examples_of_the_rfc_are_understood() {
    let unmasked = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    let masked = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    let fragments = [0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f];
    let ping = [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f];
    for piece in [1, 2, 3, 100] {
        let hello = Ok((b"Hello".to_vec(), Vec::new()));
        assert_eq!(receive(Role::Client, &unmasked, piece), hello);
        assert_eq!(receive(Role::Server, &masked, piece), hello);
        assert_eq!(receive(Role::Client, &fragments, piece), hello);
        let pinged = Ok((Vec::new(), vec![Event::Ping(b"Hello".to_vec())]));
        assert_eq!(receive(Role::Client, &ping, piece), pinged);
    }
    let mut pong = Vec::new();
    encode_pong(b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]), &mut pong);
    assert_eq!(pong[..6], [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d]);
    assert_eq!(pong[6..], [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
}

#[test]
fn a_message_of_any_length_is_read_back_as_written() {
    for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
        let payload: Vec<u8> = (0..length)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect();
        for (role, mask) in [(Role::Client, None), (Role::Server, Some([1, 2, 3, 4]))] {
            let mut bytes = Vec::new();
            encode_message(&payload, mask, &mut bytes);
            let (header, _) = Header::decode(&bytes).unwrap().unwrap();
            assert_eq!(header.length, length);
            let (data, events) = receive(role, &bytes, 1009).unwrap();
            assert_eq!((data == payload, events), (true, Vec::new()), "{length}");
        }
    }
}

#[test]
fn a_control_frame_may_stand_between_fragments() {
    let bytes = [
        0x02, 0x01, b'a', 0x89, 0x00, 0x00, 0x01, b'b', 0x80, 0x00, 0x88, 0x02, 3, 0xe8,
    ];
    let events = vec![Event::Ping(Vec::new()), Event::Close(Some(1000))];
    assert_eq!(
        receive(Role::Client, &bytes, 2),
        Ok((b"ab".to_vec(), events))
    );
}

#[test]
fn what_may_not_stand_there_is_refused() {
    let cases: [(&[u8], FrameError); 9] = [
        (&[0xc2, 0x00], FrameError::Reserved),
        (&[0x83, 0x00], FrameError::Opcode(3)),
        (&[0x82, 126, 0, 125], FrameError::Length),
        (&[0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], FrameError::Length),
        (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], FrameError::Length),
        (&[0x89, 126, 0, 200], FrameError::Control),
        (&[0x09, 0x00], FrameError::Control),
        (&[0x80, 0x00], FrameError::Order),
        (&[0x02, 0x00, 0x82, 0x00], FrameError::Order),
    ];
    for (bytes, expected) in cases {
        assert_eq!(
            receive(Role::Client, bytes, 100),
            Err(expected),
            "{bytes:?}"
        );
    }
    assert_eq!(
        receive(Role::Client, &[0x82, 0x80, 1, 2, 3, 4], 9),
        Err(FrameError::Mask)
    );
    assert_eq!(
        receive(Role::Server, &[0x82, 0x00], 9),
        Err(FrameError::Mask)
    );
}

#[test]
fn masking_in_pieces_is_masking_at_once() {
    let mask = [0xa1, 0xb2, 0xc3, 0xd4];
    let plain: Vec<u8> = (0..100).collect();
    let naive: Vec<u8> = plain
        .iter()
        .zip(mask.iter().cycle())
        .map(|(b, m)| b ^ m)
        .collect();
    for cut in 0..plain.len() {
        let mut bytes = plain.clone();
        let (one, other) = bytes.split_at_mut(cut);
        apply_mask(mask, 0, one);
        apply_mask(mask, u64::try_from(cut).unwrap(), other);
        assert_eq!(bytes, naive, "cut at {cut}");
    }
}

#[test]
fn no_bytes_make_the_receiver_panic() {
    crate::corpus::replay("ws-frames", |bytes| {
        for role in [Role::Client, Role::Server] {
            drop(receive(role, bytes, 7));
        }
    });
}
