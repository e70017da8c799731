//! sing-box as a server.

use crate::cell::{PATH, Protocol, Transport, USER};
use crate::peer::Listener;

/// The configuration that listens everywhere asked for.
pub(crate) fn config(listeners: &[Listener]) -> String {
    let inbounds: Vec<String> = listeners.iter().map(inbound).collect();
    format!(
        r#"{{"log":{{"level":"warn"}},"inbounds":[{}],"outbounds":[{{"type":"direct"}}]}}"#,
        inbounds.join(",")
    )
}

fn inbound(listener: &Listener) -> String {
    let (kind, user) = match listener.cell.protocol {
        Protocol::Vless => ("vless", format!(r#"{{"uuid":"{USER}"}}"#)),
        Protocol::Vmess(_) => ("vmess", format!(r#"{{"uuid":"{USER}","alterId":0}}"#)),
    };
    let mut extra = String::new();
    if let Some((certificate, key)) = &listener.tls {
        let (certificate, key) = (certificate.display(), key.display());
        extra += &format!(
            r#","tls":{{"enabled":true,"certificate_path":"{certificate}","key_path":"{key}"}}"#
        );
    }
    let early = match listener.cell.transport {
        Transport::Tcp | Transport::Ws => "",
        Transport::WsEarlyHeader => {
            r#","max_early_data":2048,"early_data_header_name":"Sec-WebSocket-Protocol""#
        }
        Transport::WsEarlyPath => r#","max_early_data":2048"#,
    };
    if listener.cell.is_ws() {
        let path = match listener.cell.transport {
            Transport::WsEarlyPath => format!("{PATH}/"),
            Transport::Tcp | Transport::Ws | Transport::WsEarlyHeader => PATH.to_owned(),
        };
        extra += &format!(r#","transport":{{"type":"ws","path":"{path}"{early}}}"#);
    }
    let port = listener.port;
    format!(
        r#"{{"type":"{kind}","listen":"127.0.0.1","listen_port":{port},"users":[{user}]{extra}}}"#
    )
}
