//! A vault of secrets: each is given to the user who put it there, as a sealed
//! file's descriptor or as a value that no log ever shows.
//!
//! ```text
//! cargo run --example vault -- serve /run/vault/vault.sock            # as root
//! echo hunter2 | cargo run --example vault -- put /run/vault/vault.sock mail
//! cargo run --example vault -- get /run/vault/vault.sock mail
//! cargo run --example vault -- open /run/vault/vault.sock mail
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod terminal;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Mutex;

use anyd::types::{Secret, Text};
use anyd::{Caller, Daemon, Fault, Socket, Trust, Type, WithFds, service};
use serde::{Deserialize, Serialize};

/// The name of a secret.
type Name = Text<1, 64>;

/// A secret, on its way to its owner.
#[derive(Serialize, Deserialize, Type)]
struct Told {
    value: Secret<String>,
}

#[derive(Serialize, Deserialize, Type)]
struct Names {
    names: Vec<String>,
}

#[derive(Serialize, Deserialize, Type)]
struct Opened {
    /// How many bytes can be read.
    size: u64,
}

#[derive(Debug, Fault)]
#[fault(interface = "org.example.Vault")]
enum VaultError {
    #[fault("you have no secret {name}")]
    NoSuchSecret { name: String },
    #[fault("the secret cannot be handed over: {reason}")]
    Unavailable { reason: String },
}

/// Keeps secrets, each for the user who put it there.
#[service(interface = "org.example.Vault")]
trait Vault {
    /// The names of the caller's secrets.
    #[access(anyone)]
    async fn list(&self, caller: &Caller) -> Result<Names, VaultError>;

    /// Keeps a secret.
    #[access(anyone)]
    #[audit(fields(name, value))]
    async fn put(
        &self,
        caller: &Caller,
        name: Name,
        value: Secret<String>,
    ) -> Result<(), VaultError>;

    /// Tells a secret.
    #[access(anyone)]
    #[audit(fields(name))]
    #[rate(10, per = "1s")]
    async fn get(&self, caller: &Caller, name: Name) -> Result<Told, VaultError>;

    /// Hands over a descriptor to read a secret from, which can be passed on to
    /// a program that must not know more.
    #[access(anyone)]
    #[audit(fields(name))]
    #[fds(out = 1)]
    async fn open(&self, caller: &Caller, name: Name) -> Result<WithFds<Opened>, VaultError>;
}

/// User and name → value.
type Kept = BTreeMap<(u32, String), Secret<String>>;

#[derive(Default)]
struct Safe {
    kept: Mutex<Kept>,
}

impl Safe {
    /// The secrets of one user are out of reach for every other, root included.
    fn with<T>(&self, action: impl FnOnce(&mut Kept) -> T) -> T {
        action(
            &mut self
                .kept
                .lock()
                .unwrap_or_else(|broken| broken.into_inner()),
        )
    }

    fn find(&self, caller: &Caller, name: Name) -> Result<Secret<String>, VaultError> {
        let key = (caller.uid(), name.into());
        let found = self.with(|kept| kept.get(&key).cloned());
        found.ok_or(VaultError::NoSuchSecret { name: key.1 })
    }
}

/// A pipe with the value in it: read once, in no file system.
fn piped(value: &str) -> io::Result<OwnedFd> {
    let (reads, mut writes) = io::pipe()?;
    // A value that fits into a pipe is taken without a reader.
    writes.write_all(value.as_bytes())?;
    Ok(reads.into())
}

/// What fits into every pipe.
const LONGEST: usize = 4096;

impl Vault for Safe {
    async fn list(&self, caller: &Caller) -> Result<Names, VaultError> {
        let names = self.with(|kept| {
            let mine = kept.keys().filter(|(uid, _)| *uid == caller.uid());
            mine.map(|(_, name)| name.clone()).collect()
        });
        Ok(Names { names })
    }

    async fn put(
        &self,
        caller: &Caller,
        name: Name,
        value: Secret<String>,
    ) -> Result<(), VaultError> {
        if value.expose().len() > LONGEST {
            return Err(VaultError::Unavailable {
                reason: format!("longer than {LONGEST} bytes"),
            });
        }
        let key = (caller.uid(), name.into());
        self.with(|kept| kept.insert(key, value));
        Ok(())
    }

    async fn get(&self, caller: &Caller, name: Name) -> Result<Told, VaultError> {
        Ok(Told {
            value: self.find(caller, name)?,
        })
    }

    async fn open(&self, caller: &Caller, name: Name) -> Result<WithFds<Opened>, VaultError> {
        let value = self.find(caller, name)?.into_exposed();
        let fd = piped(&value).map_err(|error| VaultError::Unavailable {
            reason: error.to_string(),
        })?;
        let size = u64::try_from(value.len()).unwrap_or(u64::MAX);
        Ok(WithFds {
            reply: Opened { size },
            fds: vec![fd],
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(path: &str) -> anyd::Result<()> {
    Daemon::new(anyd::product!())
        .serve(VaultService(Safe::default()))
        .listen(Socket::path(path).mode(0o666))
        .audit(|record| eprintln!("{record}"))
        .run(anyd::signals())
        .await
}

fn client(path: &str) -> io::Result<VaultBlocking> {
    Ok(anyd::blocking::Client::open_trusting(path, Trust::RootOrSelf)?.into())
}

fn main() -> ExitCode {
    terminal::main(run)
}

fn run(words: &[&str]) -> terminal::Outcome {
    match words {
        ["serve", path] => serve(path)?,
        ["list", path] => println!("{}", client(path)?.list()?.names.join("\n")),
        ["put", path, name] => {
            let mut value = String::new();
            io::stdin().read_to_string(&mut value)?;
            client(path)?.put(name.parse()?, Secret::new(value.trim_end().to_owned()))?;
        }
        ["get", path, name] => println!("{}", client(path)?.get(name.parse()?)?.value.expose()),
        ["open", path, name] => {
            let opened = client(path)?.open(name.parse()?)?;
            for fd in opened.fds {
                io::copy(&mut File::from(fd), &mut io::stdout())?;
            }
        }
        _ => return Err("usage: vault serve|list PATH | put|get|open PATH NAME".into()),
    }
    Ok(())
}
