//! The client's handshake: greeting, authentication, request, reply.

use std::fmt;

use vpnm_wire::Target;

use super::address;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_METHOD: u8 = 0xff;
/// Version of the sub-negotiation of RFC 1929.
const AUTHENTICATION_VERSION: u8 = 1;
/// `version | reply | reserved | kind | first byte of the address`.
const REPLY_HEAD: usize = 5;

/// What the proxy is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Connect to the target; the stream becomes the connection.
    Connect,
    /// Relay datagrams for as long as the stream stays open; the reply names the relay.
    UdpAssociate,
    /// Nothing: RFC 1928 assigns it to no command. Who reads it answers that it is unknown.
    Unassigned,
}

/// A user name and a password of 1 to 255 bytes each; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

/// A user name or password that SOCKS cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} must have 1 to 255 bytes")]
pub struct CredentialsError(&'static str);

/// Why the proxy did not do as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// What answers does not speak SOCKS 5.
    #[error("the answer is not SOCKS 5")]
    Version,
    /// The proxy wants an authentication that was not offered.
    #[error("the proxy accepts none of the offered authentication methods")]
    Method,
    /// The user name or the password is wrong.
    #[error("the proxy refused the user name or the password")]
    Credentials,
    /// The proxy failed without saying how (reply 1).
    #[error("the proxy failed")]
    General,
    /// The proxy's rules forbid the connection (reply 2).
    #[error("the proxy's rules forbid this connection")]
    Forbidden,
    /// The proxy has no route to the network (reply 3).
    #[error("the proxy has no route to the target's network")]
    NetworkUnreachable,
    /// The target does not answer (reply 4 and 6).
    #[error("the proxy cannot reach the target")]
    HostUnreachable,
    /// The target refused (reply 5).
    #[error("the target refused the connection")]
    Refused,
    /// The proxy does not know the command (reply 7).
    #[error("the proxy does not support this command")]
    Command,
    /// The proxy does not know the kind of address (reply 8).
    #[error("the proxy does not support this kind of address")]
    AddressKind,
    /// A reply that RFC 1928 does not name.
    #[error("the proxy answered with the unknown reply {0}")]
    Unknown(u8),
    /// The reply's address is of no known form.
    #[error("the proxy's reply is malformed")]
    Malformed,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send these bytes, then go on.
    Send(Vec<u8>),
    /// Read exactly this many bytes and hand them to [`Handshake::handle_input`].
    Read(usize),
    /// Done; the proxy's own address for the connection or the relay.
    Done(Target),
}

/// One handshake. Call [`Self::poll`] until it is done; after [`Step::Read`] hand in
/// exactly as many bytes.
#[derive(Debug)]
pub struct Handshake {
    command: Command,
    target: Target,
    credentials: Option<Credentials>,
    /// Whether the request goes with the greeting.
    ahead: bool,
    state: State,
    reply: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Greet,
    AwaitMethod,
    Authenticate,
    AwaitVerdict,
    Request,
    AwaitReply,
    AwaitAddress(usize),
    Done(Target),
}

impl Credentials {
    /// Checks the lengths that the protocol allows.
    ///
    /// # Errors
    /// [`CredentialsError`] names the one that is empty or too long.
    pub fn new(user: &str, password: &str) -> Result<Self, CredentialsError> {
        let fits = |text: &str| (1..=255).contains(&text.len());
        if !fits(user) {
            return Err(CredentialsError("user name"));
        }
        if !fits(password) {
            return Err(CredentialsError("password"));
        }
        Ok(Self {
            user: user.into(),
            password: password.into(),
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![AUTHENTICATION_VERSION];
        for text in [&self.user, &self.password] {
            out.push(u8::try_from(text.len()).expect("invariant: checked by new"));
            out.extend(text.as_bytes());
        }
        out
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Handshake {
    /// A handshake that has not begun. For [`Command::UdpAssociate`] the target is the
    /// address datagrams will come from; unspecified if unknown.
    #[must_use]
    pub fn new(command: Command, target: Target, credentials: Option<Credentials>) -> Self {
        Self {
            command,
            target,
            credentials,
            ahead: false,
            state: State::Greet,
            reply: Vec::new(),
        }
    }

    /// The same with the request sent together with the greeting, which saves a round trip.
    /// Without credentials only: then one method is offered, and what is chosen is known.
    ///
    /// Not every proxy reads a request that comes this early: some take all that a first read
    /// yields for the greeting, and the request is lost.
    #[must_use]
    pub fn ahead(mut self) -> Self {
        self.ahead = self.credentials.is_none();
        self
    }

    /// What to do next.
    pub fn poll(&mut self) -> Step {
        match &self.state {
            State::Greet => {
                self.state = State::AwaitMethod;
                let mut bytes = self.greeting();
                if self.ahead {
                    bytes.extend(self.request());
                }
                Step::Send(bytes)
            }
            State::Authenticate => {
                self.state = State::AwaitVerdict;
                Step::Send(
                    self.credentials
                        .as_ref()
                        .map(Credentials::encode)
                        .unwrap_or_default(),
                )
            }
            State::Request => {
                self.state = State::AwaitReply;
                Step::Send(self.request())
            }
            State::AwaitMethod | State::AwaitVerdict => Step::Read(2),
            State::AwaitReply => Step::Read(REPLY_HEAD),
            State::AwaitAddress(missing) => Step::Read(*missing),
            State::Done(bound) => Step::Done(bound.clone()),
        }
    }

    /// Takes the bytes that [`Step::Read`] asked for.
    ///
    /// # Errors
    /// [`SocksError`]; the connection is of no more use.
    pub fn handle_input(&mut self, bytes: &[u8]) -> Result<(), SocksError> {
        self.state = match self.state {
            State::AwaitMethod => self.on_method(bytes)?,
            State::AwaitVerdict => on_verdict(bytes)?,
            State::AwaitReply => self.on_reply(bytes)?,
            State::AwaitAddress(_) => self.on_address(bytes)?,
            State::Greet | State::Authenticate | State::Request | State::Done(_) => {
                return Err(SocksError::Malformed);
            }
        };
        Ok(())
    }

    fn greeting(&self) -> Vec<u8> {
        match self.credentials {
            None => vec![VERSION, 1, NO_AUTHENTICATION],
            Some(_) => vec![VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        }
    }

    fn request(&self) -> Vec<u8> {
        let command = match self.command {
            Command::Connect => 1,
            Command::UdpAssociate => 3,
            Command::Unassigned => 0,
        };
        let mut out = vec![VERSION, command, 0];
        address::encode(&self.target, &mut out);
        out
    }

    fn on_method(&self, bytes: &[u8]) -> Result<State, SocksError> {
        match *bytes {
            [VERSION, NO_AUTHENTICATION] if self.ahead => Ok(State::AwaitReply),
            [VERSION, NO_AUTHENTICATION] => Ok(State::Request),
            [VERSION, USER_AND_PASSWORD] if self.credentials.is_some() => Ok(State::Authenticate),
            [VERSION, NO_METHOD] => Err(SocksError::Method),
            [VERSION, _] => Err(SocksError::Method),
            _ => Err(SocksError::Version),
        }
    }

    fn on_reply(&mut self, bytes: &[u8]) -> Result<State, SocksError> {
        let &[version, reply, _, kind, first] = bytes else {
            return Err(SocksError::Malformed);
        };
        if version != VERSION {
            return Err(SocksError::Version);
        }
        judge(reply)?;
        self.reply = vec![kind, first];
        address::length_after(kind, first)
            .map(State::AwaitAddress)
            .ok_or(SocksError::Malformed)
    }

    fn on_address(&mut self, bytes: &[u8]) -> Result<State, SocksError> {
        self.reply.extend(bytes);
        match address::decode(&self.reply) {
            Some((bound, [])) => Ok(State::Done(bound)),
            _ => Err(SocksError::Malformed),
        }
    }
}

fn on_verdict(bytes: &[u8]) -> Result<State, SocksError> {
    match *bytes {
        [AUTHENTICATION_VERSION, 0] => Ok(State::Request),
        [AUTHENTICATION_VERSION, _] => Err(SocksError::Credentials),
        _ => Err(SocksError::Version),
    }
}

fn judge(reply: u8) -> Result<(), SocksError> {
    Err(match reply {
        0 => return Ok(()),
        1 => SocksError::General,
        2 => SocksError::Forbidden,
        3 => SocksError::NetworkUnreachable,
        4 | 6 => SocksError::HostUnreachable,
        5 => SocksError::Refused,
        7 => SocksError::Command,
        8 => SocksError::AddressKind,
        other => SocksError::Unknown(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a server that answers with `replies`, each read in the pieces asked for.
    fn play(
        mut handshake: Handshake,
        replies: &[u8],
    ) -> Result<(Vec<u8>, Target, usize), SocksError> {
        let mut sent = Vec::new();
        let mut read = 0;
        for _ in 0..16 {
            match handshake.poll() {
                Step::Send(bytes) => sent.extend(bytes),
                Step::Read(count) => {
                    handshake.handle_input(replies.get(read..read + count).unwrap_or_default())?;
                    read += count;
                }
                Step::Done(bound) => return Ok((sent, bound, read)),
            }
        }
        panic!("the handshake does not end");
    }

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn a_connection_without_authentication_takes_only_the_reply() {
        let handshake = Handshake::new(Command::Connect, target("example.com:80"), None);
        let replies =
            b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90and the target speaks first";
        let (sent, bound, read) = play(handshake, replies).unwrap();
        assert_eq!(sent, b"\x05\x01\x00\x05\x01\x00\x03\x0bexample.com\x00\x50");
        assert_eq!(bound, target("127.0.0.1:8080"));
        assert_eq!(&replies[read..], b"and the target speaks first");
    }

    #[test]
    fn a_request_goes_with_the_greeting_where_nothing_has_to_be_chosen() {
        let ahead = |credentials| {
            let target = target("192.0.2.1:80");
            let mut handshake = Handshake::new(Command::Connect, target, credentials).ahead();
            handshake.poll()
        };
        let both = b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50";
        assert_eq!(ahead(None), Step::Send(both.to_vec()));
        let credentials = Credentials::new("me", "secret").unwrap();
        assert_eq!(
            ahead(Some(credentials)),
            Step::Send(b"\x05\x02\x00\x02".to_vec())
        );
        let handshake = Handshake::new(Command::Connect, target("192.0.2.1:80"), None).ahead();
        let replies = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90";
        let (sent, bound, _) = play(handshake, replies).unwrap();
        assert_eq!((sent, bound), (both.to_vec(), target("127.0.0.1:8080")));
    }

    #[test]
    fn credentials_are_sent_when_they_are_asked_for() {
        let credentials = Credentials::new("me", "secret").unwrap();
        let handshake = Handshake::new(Command::UdpAssociate, target("[::1]:9"), Some(credentials));
        let replies = b"\x05\x02\x01\x00\x05\x00\x00\x03\x01a\x00\x35";
        let (sent, bound, _) = play(handshake, replies).unwrap();
        assert!(sent.starts_with(b"\x05\x02\x00\x02\x01\x02me\x06secret\x05\x03\x00\x04"));
        assert_eq!(bound, target("a:53"));
    }

    #[test]
    fn every_refusal_has_its_own_error() {
        let cases: [(&[u8], SocksError); 6] = [
            (b"\x05\xff", SocksError::Method),
            (b"\x05\x02", SocksError::Method),
            (b"HT", SocksError::Version),
            (b"\x05\x00\x05\x05\x00\x01\x00", SocksError::Refused),
            (b"\x05\x00\x05\x09\x00\x01\x00", SocksError::Unknown(9)),
            (b"\x05\x00\x05\x00\x00\x02\x00", SocksError::Malformed),
        ];
        for (replies, why) in cases {
            let handshake = Handshake::new(Command::Connect, target("192.0.2.1:1"), None);
            assert_eq!(play(handshake, replies), Err(why), "{replies:?}");
        }
    }

    #[test]
    fn arbitrary_replies_never_panic() {
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            let mut bytes = [0_u8; 300];
            for byte in &mut bytes {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = seed.to_be_bytes()[0] % 8;
            }
            bytes[0] = 5;
            let handshake = Handshake::new(Command::Connect, target("192.0.2.1:1"), None);
            drop(play(handshake, &bytes));
        }
    }

    #[test]
    fn credentials_are_never_printed_and_never_too_long() {
        let credentials = Credentials::new("me", "secret").unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(..)");
        assert!(Credentials::new("", "x").is_err());
        assert!(Credentials::new("x", &"y".repeat(256)).is_err());
    }
}
