//! mihomo as a server.

use crate::cell::{PATH, Protocol, USER};
use crate::peer::Listener;

/// The configuration that listens everywhere asked for.
pub(crate) fn config(listeners: &[Listener]) -> String {
    let mut text = String::from(
        "mode: direct\nlog-level: warning\nipv6: true\ngeo-auto-update: false\nlisteners:\n",
    );
    for (index, listener) in listeners.iter().enumerate() {
        text += &entry(index, listener);
    }
    text
}

fn entry(index: usize, listener: &Listener) -> String {
    let (kind, user) = match listener.cell.protocol {
        Protocol::Vless => ("vless", format!("{{username: u, uuid: {USER}}}")),
        Protocol::Vmess(_) => (
            "vmess",
            format!("{{username: u, uuid: {USER}, alterId: 0}}"),
        ),
    };
    let port = listener.port;
    let mut text = format!(
        "- {{name: l{index}, type: {kind}, listen: 127.0.0.1, port: {port}, users: [{user}]"
    );
    if listener.cell.is_ws() {
        text += &format!(", ws-path: \"{PATH}\"");
    }
    if let Some((certificate, key)) = &listener.tls {
        let (certificate, key) = (certificate.display(), key.display());
        text += &format!(", certificate: \"{certificate}\", private-key: \"{key}\"");
    }
    text + "}\n"
}
