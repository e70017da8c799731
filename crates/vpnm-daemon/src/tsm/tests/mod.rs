//! The machine driven against a model of the world.

mod golden;
mod random;
mod stories;
mod world;

use vpnm_api::ShareLink;

use super::{Command, CommandId, Event};

/// The server `a` is known by address, `b` by name.
fn server(name: &str) -> ShareLink {
    let host = match name {
        "a" => "192.0.2.1:443",
        "b" => "b.example:443",
        other => other,
    };
    let link = format!("vless://0a1b2c3d-0000-4000-8000-000000000001@{host}?security=tls#{name}");
    link.parse().expect("a link of the test's own")
}

fn connect(id: u64, name: &str) -> Event {
    Event::Command(CommandId(id), Command::Connect(Some(server(name))))
}

fn disconnect(id: u64) -> Event {
    Event::Command(CommandId(id), Command::Disconnect)
}
