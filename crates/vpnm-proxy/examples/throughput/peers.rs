//! The configurations of v2ray, as the server and as the client beside ours.

use std::net::SocketAddr;
use std::path::Path;

use crate::place::Cell;

pub(crate) const USER: &str = "7d3f1c62-8d5e-4b1a-9c0f-2b6a5e4d3c21";
pub(crate) const PATH: &str = "/tunnel";
pub(crate) const NAME: &str = "node.test";

pub(crate) fn server((scheme, transport, tls): Cell, port: u16, directory: &Path) -> String {
    let directory = directory.display();
    let settings = match scheme {
        "vless" => format!(r#"{{"clients":[{{"id":"{USER}"}}],"decryption":"none"}}"#),
        _ => format!(r#"{{"clients":[{{"id":"{USER}","alterId":0}}]}}"#),
    };
    let certificate =
        format!(r#"{{"certificateFile":"{directory}/leaf.pem","keyFile":"{directory}/leaf.key"}}"#);
    let stream = stream(transport, tls, &certificate);
    format!(
        r#"{{"log":{{"loglevel":"none"}},"inbounds":[{{"listen":"127.0.0.1","port":{port},"protocol":"{scheme}","settings":{settings},"streamSettings":{stream}}}],"outbounds":[{{"protocol":"freedom"}}]}}"#
    )
}

pub(crate) fn client(
    (scheme, transport, tls): Cell,
    listen: u16,
    port: u16,
    target: SocketAddr,
    directory: &Path,
) -> String {
    let directory = directory.display();
    let user = match scheme {
        "vless" => format!(r#"{{"id":"{USER}","encryption":"none"}}"#),
        _ => format!(r#"{{"id":"{USER}","alterId":0,"security":"aes-128-gcm"}}"#),
    };
    let root = format!(r#"{{"usage":"verify","certificateFile":"{directory}/root.pem"}}"#);
    let stream = stream(transport, tls, &root);
    let (ip, target) = (target.ip(), target.port());
    format!(
        r#"{{"log":{{"loglevel":"none"}},"inbounds":[{{"listen":"127.0.0.1","port":{listen},"protocol":"dokodemo-door","settings":{{"address":"{ip}","port":{target},"network":"tcp"}}}}],"outbounds":[{{"protocol":"{scheme}","settings":{{"vnext":[{{"address":"127.0.0.1","port":{port},"users":[{user}]}}]}},"streamSettings":{stream}}}]}}"#
    )
}

fn stream(transport: &str, tls: bool, certificate: &str) -> String {
    let security = if tls { "tls" } else { "none" };
    format!(
        r#"{{"network":"{transport}","wsSettings":{{"path":"{PATH}"}},"security":"{security}","tlsSettings":{{"serverName":"{NAME}","certificates":[{certificate}]}}}}"#
    )
}
