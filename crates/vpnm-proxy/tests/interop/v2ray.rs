//! v2ray 4 as a server.

use std::path::PathBuf;

use crate::cell::{PATH, Protocol, USER};
use crate::peer::Listener;

/// Where the program is, if it is installed.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join("v2ray"))
        .find(|program| program.is_file())
}

/// The configuration that listens everywhere asked for.
pub(crate) fn config(listeners: &[Listener]) -> String {
    let inbounds: Vec<String> = listeners.iter().map(inbound).collect();
    format!(
        r#"{{"log":{{"loglevel":"warning"}},"inbounds":[{}],"outbounds":[{{"protocol":"freedom"}}]}}"#,
        inbounds.join(",")
    )
}

fn inbound(listener: &Listener) -> String {
    let (protocol, settings) = match listener.cell.protocol {
        Protocol::Vless => (
            "vless",
            format!(r#"{{"clients":[{{"id":"{USER}"}}],"decryption":"none"}}"#),
        ),
        Protocol::Vmess(_) => (
            "vmess",
            format!(r#"{{"clients":[{{"id":"{USER}","alterId":0}}]}}"#),
        ),
    };
    let network = if listener.cell.is_ws() { "ws" } else { "tcp" };
    let mut stream = format!(r#""network":"{network}","wsSettings":{{"path":"{PATH}"}}"#);
    if let Some((certificate, key)) = &listener.tls {
        let (certificate, key) = (certificate.display(), key.display());
        stream += &format!(
            r#","security":"tls","tlsSettings":{{"certificates":[{{"certificateFile":"{certificate}","keyFile":"{key}"}}]}}"#
        );
    }
    let port = listener.port;
    format!(
        r#"{{"listen":"127.0.0.1","port":{port},"protocol":"{protocol}","settings":{settings},"streamSettings":{{{stream}}}}}"#
    )
}
