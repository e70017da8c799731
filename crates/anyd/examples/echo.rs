//! The smallest daemon, and its client.
//!
//! ```text
//! cargo run --example echo -- serve /run/echo/echo.sock     # as root
//! cargo run --example echo -- say /run/echo/echo.sock hello # as anybody
//! cargo run --example echo -- repeat /run/echo/echo.sock hello 3
//! ```
//!
//! The same without this crate:
//!
//! ```text
//! varlinkctl introspect /run/echo/echo.sock org.example.Echo
//! varlinkctl call /run/echo/echo.sock org.example.Echo.Echo '{"arg":"hello"}'
//! printf '{"method":"org.example.Echo.Echo","parameters":{"arg":"hello"}}\0' | nc -U /run/echo/echo.sock
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod terminal;

use std::process::ExitCode;

use anyd::types::Text;
use anyd::{Caller, Daemon, Events, Fault, Socket, Trust, Type, service};
use serde::{Deserialize, Serialize};

/// What was said.
#[derive(Serialize, Deserialize, Type)]
struct Echoed {
    arg: String,
}

#[derive(Debug, Fault)]
#[fault(interface = "org.example.Echo")]
enum EchoError {
    /// Nothing was said.
    #[fault("nothing was said")]
    Silence,
}

/// Says again what was said.
#[service(interface = "org.example.Echo")]
trait Echo {
    /// Returns its argument.
    #[access(anyone)]
    async fn echo(&self, caller: &Caller, arg: Text<0, 4096>) -> Result<Echoed, EchoError>;

    /// Returns its argument `n` times.
    #[access(anyone)]
    async fn repeat(
        &self,
        caller: &Caller,
        arg: Text<1, 64>,
        n: u32,
        out: Events<Echoed>,
    ) -> Result<(), EchoError>;
}

struct Wall;

impl Echo for Wall {
    async fn echo(&self, _: &Caller, arg: Text<0, 4096>) -> Result<Echoed, EchoError> {
        if arg.is_empty() {
            return Err(EchoError::Silence);
        }
        Ok(Echoed { arg: arg.into() })
    }

    async fn repeat(
        &self,
        _: &Caller,
        arg: Text<1, 64>,
        n: u32,
        mut out: Events<Echoed>,
    ) -> Result<(), EchoError> {
        for _ in 0..n {
            let arg = arg.to_string();
            if out.send(Echoed { arg }).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(path: &str) -> anyd::Result<()> {
    Daemon::new(anyd::product!())
        .serve(EchoService(Wall))
        .listen(Socket::path(path).mode(0o666))
        .run(anyd::signals())
        .await
}

/// The client needs no runtime.
fn client(path: &str) -> std::io::Result<EchoBlocking> {
    Ok(anyd::blocking::Client::open_trusting(path, Trust::RootOrSelf)?.into())
}

fn main() -> ExitCode {
    terminal::main(run)
}

fn run(words: &[&str]) -> terminal::Outcome {
    match words {
        ["serve", path] => serve(path)?,
        ["say", path, text] => println!("{}", client(path)?.echo(text.parse()?)?.arg),
        ["repeat", path, text, times] => {
            for event in client(path)?.repeat(text.parse()?, times.parse()?)? {
                println!("{}", event?.arg);
            }
        }
        _ => return Err("usage: echo serve PATH | say PATH TEXT | repeat PATH TEXT TIMES".into()),
    }
    Ok(())
}
