//! Acknowledgements that wait for an answer to carry them.

use std::time::Duration;

use vpnm_wire::TcpFlags;

use super::script::{Script, THEIRS};
use crate::event::Taken;
use crate::wake::Wake;

const ACK: TcpFlags = TcpFlags::ACK;
/// Answers in a row that must come in time.
const STREAK: u32 = 4;
/// How long one is waited for.
const PROMPT: Duration = Duration::from_millis(5);

/// An application that asks a byte at a time, and a server that answers with one.
struct Talk {
    script: Script,
    said: u32,
    heard: u32,
}

impl Talk {
    fn new() -> Self {
        Self {
            script: Script::open(),
            said: 1,
            heard: 1,
        }
    }

    /// One whose answers were prompt.
    fn prompt() -> Self {
        let mut talk = Self::new();
        for _ in 0..STREAK {
            assert_eq!(talk.ask(), 1);
            talk.answer();
        }
        talk
    }

    /// How many acknowledgements a request is answered with at once.
    fn ask(&mut self) -> usize {
        let answers = self.script.send(ACK, THEIRS + self.said, self.heard, b"?");
        self.said += 1;
        if !answers.is_empty() {
            self.script.expect_ack(&answers, THEIRS + self.said);
        }
        let id = self.script.id();
        while let Taken::Data(chunk) = self.script.stack.tcp_take(id) {
            self.script.stack.tcp_release(id, chunk.len());
        }
        answers.len()
    }

    /// The server answers; that acknowledges everything.
    fn answer(&mut self) {
        let id = self.script.id();
        self.script.stack.tcp_send(id, b"!", self.script.now);
        self.heard += 1;
        let answers = self.script.answers();
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].ack.0, THEIRS + self.said);
        let silence = self
            .script
            .send(ACK, THEIRS + self.said, self.heard, b"")
            .len();
        assert_eq!(silence, 0);
    }

    /// Lets time pass; how many acknowledgements leave meanwhile.
    fn wait(&mut self, time: Duration) -> usize {
        self.script.now += time;
        self.script.stack.handle_timeout(self.script.now);
        self.script.answers().len()
    }
}

#[test]
fn a_prompt_answer_carries_the_acknowledgement() {
    let mut talk = Talk::prompt();
    for _ in 0..10 {
        assert_eq!(talk.ask(), 0);
        let due = talk.script.stack.poll_timeout();
        assert_eq!(due, Some((talk.script.now + PROMPT, Wake::Acknowledge)));
        assert_eq!(talk.wait(PROMPT / 2), 0);
        talk.answer();
        let next = talk.script.stack.poll_timeout().map(|(_, why)| why);
        assert_ne!(next, Some(Wake::Acknowledge), "nothing waits any more");
    }
}

#[test]
fn an_answer_that_does_not_come_costs_a_moment_once() {
    let mut talk = Talk::prompt();
    assert_eq!(talk.ask(), 0);
    assert_eq!(talk.wait(PROMPT), 1);
    talk.answer();
    assert_eq!(talk.ask(), 1, "nothing is expected any more");
}

#[test]
fn a_request_in_two_pieces_is_acknowledged_at_once() {
    let mut talk = Talk::prompt();
    assert_eq!(talk.ask(), 0);
    assert_eq!(talk.ask(), 1);
    talk.answer();
    assert_eq!(talk.ask(), 1);
}

#[test]
fn the_end_of_the_stream_is_acknowledged_at_once() {
    let mut talk = Talk::prompt();
    assert_eq!(talk.ask(), 0);
    let fin = ACK | TcpFlags::FIN;
    let answers = talk.script.send(fin, THEIRS + talk.said, talk.heard, b"");
    talk.script.expect_ack(&answers, THEIRS + talk.said + 1);
}

#[test]
fn an_end_that_comes_twice_is_reported_as_by_linux() {
    let fin = ACK | TcpFlags::FIN;
    let mut script = Script::new();
    script.sack = true;
    script.shake_hands(THEIRS);
    let place = |range: &(u32, u32)| (range.0 - THEIRS, range.1 - THEIRS);
    let mut told = |flags, at, payload: &[u8], ack| {
        let answers = script.send(flags, THEIRS + at, 1, payload);
        script.expect_ack(&answers, THEIRS + ack);
        script.reported.iter().map(place).collect::<Vec<_>>()
    };
    // What Linux 6.18 reports of the same segments: first beyond a hole, then in order.
    assert_eq!(told(fin, 21, b"", 1), [(21, 22)]);
    assert_eq!(told(fin, 21, b"", 1), [(21, 22), (21, 22)]);
    assert_eq!(told(fin, 11, &[7; 10], 1), [(21, 22), (11, 22)]);
    assert_eq!(told(fin, 11, &[7; 10], 1), [(11, 22), (11, 22)]);
    assert_eq!(told(fin, 21, b"", 1), [(21, 22), (11, 22)]);
    assert_eq!(told(ACK, 1, &[7; 10], 22), []);
    assert_eq!(told(fin, 21, b"", 22), [(21, 22)]);
    assert_eq!(told(fin, 11, &[7; 10], 22), [(11, 22)]);
    assert_eq!(told(ACK, 11, &[7; 10], 22), [(11, 21)]);
    assert_eq!(told(fin, 16, &[7; 5], 22), [(16, 22)]);
}

#[test]
fn slow_answers_are_never_waited_for() {
    let mut talk = Talk::new();
    for _ in 0..10 {
        assert_eq!(talk.ask(), 1);
        assert_eq!(talk.wait(PROMPT), 0);
        talk.answer();
    }
}
