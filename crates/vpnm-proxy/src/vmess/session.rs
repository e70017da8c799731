//! A user at a server: makes the codec of each flow.

use std::time::{SystemTime, UNIX_EPOCH};

use vpnm_profile::Vmess;
use vpnm_wire::Target;

use super::auth::CmdKey;
use super::body::{Opener, Sealer};
use super::cipher::Cipher;
use super::header::{Command, Request, Response, Secrets};
use crate::random::random;

/// The payload of the first chunk at most: some servers lose what is beyond 4 KiB of it.
const FIRST_CHUNK: usize = 1900;
/// The payload of any other chunk at most: every server takes 16 KiB, some reset on 64.
const CHUNK: usize = 16 * 1024 - 128;

/// What makes the flows of one user.
pub(crate) struct Session {
    key: CmdKey,
    cipher: Cipher,
}

/// Both directions of one flow.
pub(crate) struct Codec {
    sealer: Sealer,
    pub(super) opener: Opener,
    pub(super) response: Response,
    limit: usize,
}

impl Session {
    pub(crate) fn new(settings: &Vmess) -> Self {
        Self {
            key: CmdKey::new(&settings.id),
            cipher: Cipher::resolve(settings.cipher),
        }
    }

    /// Begins a TCP flow: its header and first bytes go to `head`.
    pub(crate) fn open_tcp(&self, target: &Target, first: &[u8], head: &mut Vec<u8>) -> Codec {
        let mut codec = self.open(Command::Tcp, self.cipher, target, head);
        codec.seal(first, head);
        codec
    }

    /// Begins a flow of datagrams: its header goes to `head`.
    pub(crate) fn open_udp(&self, target: &Target, head: &mut Vec<u8>) -> Codec {
        self.open(Command::Udp, self.cipher.for_datagrams(), target, head)
    }

    fn open(&self, command: Command, cipher: Cipher, target: &Target, head: &mut Vec<u8>) -> Codec {
        let [check] = random();
        let secrets = Secrets {
            body_key: random(),
            body_iv: random(),
            check,
            auth: random(),
            nonce: random(),
            padding: random(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let request = Request {
            key: &self.key,
            time: now.unwrap_or_default().as_secs(),
            cipher,
            command,
            target,
        };
        request.seal(&secrets, head);
        let response = Response::new(&secrets);
        let (key, iv) = response.body_secrets();
        Codec {
            sealer: Sealer::new(cipher, &secrets.body_key, secrets.body_iv),
            opener: Opener::new(cipher, &key, iv),
            response,
            limit: FIRST_CHUNK,
        }
    }
}

impl Codec {
    /// Appends all of `bytes` in chunks.
    pub(super) fn seal(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let chunk = bytes.get(..self.limit).unwrap_or(bytes);
            let count = self.sealer.seal(chunk, &random(), out);
            self.limit = CHUNK;
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }

    /// Whether the end of the flow can be sealed.
    pub(super) fn marks_the_end(&self) -> bool {
        self.sealer.marks_the_end()
    }

    /// Appends one datagram, or with nothing in it the end of the flow.
    pub(super) fn seal_one(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.sealer.seal(bytes, &random(), out);
    }
}
