//! The exchange of challenges, the daemon's first.

use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};

use super::challenge::{self, RANDOM};
use super::frames::{self, Frame};
use crate::server::line::{Closed, Flow, Line};

const CHALLENGE: &[u8] = b"#CHALLENGE#";
const WELCOME: &[u8] = b"#WELCOME#";
const FAILURE: &[u8] = b"#FAILURE#";

/// The longest message of the handshake.
const LONGEST: usize = 256;

/// The caller has a deadline for the whole.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets in who knows the key, and shows that the daemon knows it too.
pub(super) async fn shake(line: &mut Line, key: &[u8]) -> Flow {
    let mut random = [0; RANDOM];
    let filled = getrandom(&mut random, GetRandomFlags::empty());
    if filled != Ok(RANDOM) {
        return Err(Closed::Broken);
    }
    let asked = challenge::challenge(&random);
    say(line, &[CHALLENGE, &asked].concat()).await?;
    let answer = hear(line).await?;
    if !challenge::proves(key, &asked, &answer) {
        say(line, FAILURE).await?;
        return Err(Closed::Unproven);
    }
    say(line, WELCOME).await?;
    let theirs = hear(line).await?;
    let theirs = theirs.strip_prefix(CHALLENGE).ok_or(Closed::Malformed)?;
    let answer = challenge::answer(key, theirs).ok_or(Closed::Unproven)?;
    say(line, &answer).await?;
    match hear(line).await?.as_slice() {
        WELCOME => Ok(()),
        _ => Err(Closed::Unproven),
    }
}

async fn say(line: &Line, message: &[u8]) -> Flow {
    line.write(&frames::framed(message)).await
}

async fn hear(line: &mut Line) -> Result<Vec<u8>, Closed> {
    match frames::next(line, PATIENCE, PATIENCE).await? {
        Frame::Whole(message) if message.len() <= LONGEST => Ok(message),
        Frame::Whole(_) | Frame::TooLong => Err(Closed::Malformed),
    }
}
