//! A daemon that restarts services for those who may: root all of them, the
//! members of a group those of the group.
//!
//! ```text
//! cargo run --example restart -- serve /run/restart/restart.sock        # as root
//! cargo run --example restart -- list /run/restart/restart.sock        # as anybody
//! cargo run --example restart -- restart /run/restart/restart.sock web # in group www-data
//! ```
//!
//! It shows: rights by group in the signature and by the thing acted on where
//! the action happens, one restart at a time, a pace, an audit, a watchable
//! state. To restart is only noted here; a real one would ask the service
//! manager.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod terminal;

use std::process::ExitCode;
use std::time::Duration;

use anyd::types::Text;
use anyd::{Caller, Daemon, Events, Fault, Socket, Trust, Type, service};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// The name of a service, as a parameter.
type Name = Text<1, 64>;

/// A service and its state.
#[derive(Clone, Debug, Serialize, Deserialize, Type)]
struct Unit {
    name: String,
    state: State,
    /// How often it has been restarted.
    restarts: u64,
    /// Whose members may restart it, beside root.
    group: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
enum State {
    Running,
    Restarting,
}

#[derive(Clone, Debug, Serialize, Deserialize, Type)]
struct Units {
    units: Vec<Unit>,
}

#[derive(Debug, Fault)]
#[fault(interface = "org.example.Restart")]
enum RestartError {
    #[fault("there is no service {name}")]
    NoSuchService { name: String },
    #[fault("only root and members of {group} may restart {name}")]
    NotYours { name: String, group: String },
}

/// Restarts services.
#[service(interface = "org.example.Restart")]
trait Restart {
    /// All services.
    #[access(anyone)]
    async fn list(&self, caller: &Caller) -> Result<Units, RestartError>;

    /// All services, again after every change.
    #[access(anyone)]
    async fn watch(&self, caller: &Caller, out: Events<Units>) -> Result<(), RestartError>;

    /// Restarts a service.
    #[access(any(root, group = "www-data", group = "operator"))]
    #[exclusive]
    #[timeout("30s")]
    #[rate(5, per = "1min")]
    #[audit(fields(name))]
    async fn restart(&self, caller: &Caller, name: Name) -> Result<Unit, RestartError>;
}

struct Machine {
    units: watch::Sender<Units>,
}

impl Machine {
    fn new() -> Self {
        let unit = |name: &str, group: &str| Unit {
            name: name.to_owned(),
            state: State::Running,
            restarts: 0,
            group: group.to_owned(),
        };
        let units = vec![unit("web", "www-data"), unit("backup", "operator")];
        Self {
            units: watch::Sender::new(Units { units }),
        }
    }

    fn find(&self, name: &str) -> Result<Unit, RestartError> {
        let units = self.units.borrow();
        let found = units.units.iter().find(|unit| unit.name == name);
        found.cloned().ok_or_else(|| RestartError::NoSuchService {
            name: name.to_owned(),
        })
    }

    fn set(&self, changed: &Unit) {
        self.units.send_modify(|units| {
            for unit in &mut units.units {
                if unit.name == changed.name {
                    unit.clone_from(changed);
                }
            }
        });
    }
}

impl Restart for Machine {
    async fn list(&self, _: &Caller) -> Result<Units, RestartError> {
        Ok(self.units.borrow().clone())
    }

    async fn watch(&self, _: &Caller, mut out: Events<Units>) -> Result<(), RestartError> {
        let mut units = self.units.subscribe();
        loop {
            let now = units.borrow_and_update().clone();
            // Of states only the latest matters: none waits for a slow reader.
            if out.offer(now).is_err() || units.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn restart(&self, caller: &Caller, name: Name) -> Result<Unit, RestartError> {
        let mut unit = self.find(&name)?;
        // The signature lets both groups in: which service is whose is known here.
        if !caller.is_root() && !caller.in_group(&unit.group) {
            return Err(RestartError::NotYours {
                name: unit.name,
                group: unit.group,
            });
        }
        unit.state = State::Restarting;
        self.set(&unit);
        tokio::time::sleep(Duration::from_millis(100)).await;
        unit.state = State::Running;
        unit.restarts += 1;
        self.set(&unit);
        Ok(unit)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(path: &str) -> anyd::Result<()> {
    Daemon::new(anyd::product!())
        .serve(RestartService(Machine::new()))
        .listen(Socket::path(path).mode(0o666))
        .audit(|record| eprintln!("{record}"))
        .run(anyd::signals())
        .await
}

fn client(path: &str) -> std::io::Result<RestartBlocking> {
    Ok(anyd::blocking::Client::open_trusting(path, Trust::RootOrSelf)?.into())
}

fn show(units: &Units) {
    for unit in &units.units {
        println!(
            "{:10} {:?}, {} restarts, of {}",
            unit.name, unit.state, unit.restarts, unit.group
        );
    }
}

fn main() -> ExitCode {
    terminal::main(run)
}

fn run(words: &[&str]) -> terminal::Outcome {
    match words {
        ["serve", path] => serve(path)?,
        ["list", path] => show(&client(path)?.list()?),
        ["watch", path] => {
            for units in client(path)?.watch()? {
                show(&units?);
            }
        }
        ["restart", path, name] => {
            let unit = client(path)?.restart(name.parse()?)?;
            println!("{} restarted {} times", unit.name, unit.restarts);
        }
        _ => return Err("usage: restart serve|list|watch PATH | restart PATH NAME".into()),
    }
    Ok(())
}
