//! From a profile to its link.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use vpnm_wire::Target;

use super::url::encode;
use crate::{EarlyDataPlace, Profile, Protocol, Security, Tls, Transport, Vless, Vmess, WebSocket};

/// Writes the link that reads back as `profile`.
pub(crate) fn write(profile: &Profile) -> String {
    match &profile.protocol {
        Protocol::Vless(vless) => write_vless(profile, vless),
        Protocol::Vmess(vmess) => write_vmess(profile, vmess),
    }
}

fn write_vless(profile: &Profile, vless: &Vless) -> String {
    let mut query = String::from("encryption=none");
    let mut add = |key: &str, value: &str| {
        query.extend(["&", key, "=", &encode(value, "/,:[]")]);
    };
    match &profile.security {
        Security::None => add("security", "none"),
        Security::Tls(tls) => {
            add("security", "tls");
            if let Some(name) = &tls.server_name {
                add("sni", &name.to_string());
            }
            if !tls.alpn.is_empty() {
                add("alpn", &alpn(tls));
            }
        }
    }
    match &profile.transport {
        Transport::Tcp => add("type", "tcp"),
        Transport::WebSocket(ws) => {
            add("type", "ws");
            if let Some(host) = &ws.host {
                add("host", &host.to_string());
            }
            add("path", &path(ws));
        }
    }
    let (id, server) = (vless.id.reveal(), &profile.server);
    let name = encode(&profile.name, "");
    let hash = if name.is_empty() { "" } else { "#" };
    format!("vless://{id}@{server}?{query}{hash}{name}")
}

fn write_vmess(profile: &Profile, vmess: &Vmess) -> String {
    let Target { host, port } = &profile.server;
    let (security, server_name, alpn) = match &profile.security {
        Security::None => ("", String::new(), String::new()),
        Security::Tls(tls) => {
            let name = tls.server_name.as_ref().map(ToString::to_string);
            ("tls", name.unwrap_or_default(), alpn(tls))
        }
    };
    let (net, host_header, path) = match &profile.transport {
        Transport::Tcp => ("tcp", String::new(), String::new()),
        Transport::WebSocket(ws) => {
            let host = ws.host.as_ref().map(ToString::to_string);
            ("ws", host.unwrap_or_default(), path(ws))
        }
    };
    let object = json!({
        "v": "2", "ps": profile.name, "add": host.to_string(), "port": port.to_string(),
        "id": vmess.id.reveal(), "aid": "0", "scy": vmess.cipher.name(), "net": net,
        "type": "none", "host": host_header, "path": path, "tls": security,
        "sni": server_name, "alpn": alpn,
    });
    format!("vmess://{}", STANDARD.encode(object.to_string()))
}

fn alpn(tls: &Tls) -> String {
    let names: Vec<&str> = tls.alpn.iter().map(crate::Alpn::as_str).collect();
    names.join(",")
}

/// The path with the early data as the parameters `ed` and `eh`.
fn path(ws: &WebSocket) -> String {
    let mut path = ws.path.as_str().to_owned();
    if let Some(early) = ws.early_data {
        let separator = if path.contains('?') { '&' } else { '?' };
        path.push_str(&format!("{separator}ed={}", early.limit));
        if early.place == EarlyDataPlace::Path {
            path.push_str("&eh=");
        }
    }
    path
}
