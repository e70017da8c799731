//! From the keys of a link to a profile.

use std::num::NonZeroU16;

use vpnm_wire::{Host, Target};

use super::Link;
use super::error::{LinkError, Reason};
use super::fields::{Dialect, Fields, Parts};
use crate::{
    EarlyData, EarlyDataPlace, Path, Profile, Protocol, Security, Tls, Transport, Uuid, Vless,
    Vmess, VmessCipher, WebSocket,
};

const TRANSPORTS: &str = "tcp, ws";
const SECURITIES: &str = "none, tls";
const CIPHERS: &str = "auto, aes-128-gcm, chacha20-poly1305, none, zero";
const NO_TLS: &str = "not used without TLS";
const NOT_HERE: &str = "not used by this transport";
const VERIFIED: &str = "certificates are always verified";
const MATERIAL: &str = "a certificate checked against the system's roots";

/// Reads a VLESS link.
pub(super) fn vless(mut parts: Parts, keys: &Dialect) -> Result<Link, LinkError> {
    let encryption = parts.fields.take_word(keys.cipher)?;
    if !matches!(encryption.as_str(), "" | "none") {
        return Err(LinkError::unsupported(keys.cipher, &encryption, "none"));
    }
    parts.fields.refuse("flow", "none")?;
    let id = id(&parts.id, keys)?;
    finish(parts, keys, Protocol::Vless(Vless { id }))
}

/// Reads a VMess link of either form.
pub(super) fn vmess(mut parts: Parts, keys: &Dialect) -> Result<Link, LinkError> {
    let fields = &mut parts.fields;
    fields.take("v")?;
    if fields.take("aid")?.is_some_and(|aid| aid.trim() != "0") {
        fields.note(
            "aid",
            "always the AEAD form, which every server since 2021 takes",
        );
    }
    let mut cipher = fields.take_word(keys.cipher)?;
    if cipher.is_empty() && keys.security != "security" {
        cipher = fields.take_word("security")?;
    }
    let cipher = match cipher.as_str() {
        "" | "auto" => VmessCipher::Auto,
        "aes-128-gcm" => VmessCipher::Aes128Gcm,
        "chacha20-poly1305" | "chacha20-ietf-poly1305" => VmessCipher::ChaCha20Poly1305,
        "none" => VmessCipher::None,
        "zero" => VmessCipher::Zero,
        other => return Err(LinkError::unsupported(keys.cipher, other, CIPHERS)),
    };
    let id = id(&parts.id, keys)?;
    finish(parts, keys, Protocol::Vmess(Vmess { id, cipher }))
}

fn id(text: &str, keys: &Dialect) -> Result<Uuid, LinkError> {
    text.parse().map_err(|why| LinkError::invalid(keys.id, why))
}

fn finish(mut parts: Parts, keys: &Dialect, protocol: Protocol) -> Result<Link, LinkError> {
    let server = server(&parts, keys)?;
    let fields = &mut parts.fields;
    let transport = transport(fields, keys)?;
    let security = security(fields, keys, &transport)?;
    fields.skip("packetEncoding", "UDP goes one session per destination");
    Ok(Link {
        profile: Profile {
            name: name(&parts.name),
            server,
            protocol,
            transport,
            security,
        },
        ignored: parts.fields.into_ignored(),
    })
}

fn name(text: &str) -> String {
    let visible: String = text.chars().filter(|c| !c.is_control()).collect();
    visible.trim().to_owned()
}

fn server(parts: &Parts, keys: &Dialect) -> Result<Target, LinkError> {
    if parts.host.is_empty() {
        return Err(LinkError::Missing { key: keys.host });
    }
    if parts.port.is_empty() {
        return Err(LinkError::Missing { key: keys.port });
    }
    let host = host(keys.host, &parts.host)?;
    let port = parts.port.parse().ok().filter(|port| *port != 0);
    let port = port.ok_or_else(|| LinkError::invalid(keys.port, Reason::Port))?;
    Ok(Target { host, port })
}

fn host(key: &'static str, text: &str) -> Result<Host, LinkError> {
    text.trim()
        .parse()
        .map_err(|why| LinkError::invalid(key, Reason::Host(why)))
}

fn transport(fields: &mut Fields, keys: &Dialect) -> Result<Transport, LinkError> {
    match fields.take_word(keys.transport)?.as_str() {
        "" | "tcp" | "raw" => {
            let header = fields.take_word(keys.header)?;
            if !matches!(header.as_str(), "" | "none" | "auto" | "tcp") {
                return Err(LinkError::unsupported(keys.header, &header, "none"));
            }
            for key in ["host", "path", "ed", "eh"] {
                fields.skip(key, NOT_HERE);
            }
            Ok(Transport::Tcp)
        }
        "ws" | "websocket" => {
            fields.take(keys.header)?;
            websocket(fields).map(Transport::WebSocket)
        }
        other => Err(LinkError::unsupported(keys.transport, other, TRANSPORTS)),
    }
}

fn websocket(fields: &mut Fields) -> Result<WebSocket, LinkError> {
    let text = fields.take("path")?.unwrap_or_default();
    let (path, query) = text.split_once('?').unzip();
    let path = path.unwrap_or(&text);
    let mut limit = fields.take("ed")?;
    let mut place = fields.take("eh")?;
    let mut kept = Vec::new();
    for parameter in query.into_iter().flat_map(|query| query.split('&')) {
        match parameter.split_once('=') {
            Some(("ed", value)) => limit = Some(value.to_owned()),
            Some(("eh", value)) => place = Some(value.to_owned()),
            _ => kept.push(parameter),
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    let path: Path = format!("{path}{mark}{}", kept.join("&"))
        .parse()
        .map_err(|why| LinkError::invalid("path", Reason::Path(why)))?;
    let early_data = early_data(fields, limit, place)?;
    let host = match fields.take("host")? {
        Some(hosts) => Some(host("host", hosts.split(',').next().unwrap_or_default())?),
        None => None,
    };
    Ok(WebSocket {
        path,
        host,
        early_data,
    })
}

/// `ed` is the limit in bytes; `eh` the header, and where it is there and empty, the path.
fn early_data(
    fields: &mut Fields,
    limit: Option<String>,
    place: Option<String>,
) -> Result<Option<EarlyData>, LinkError> {
    let limit = limit.unwrap_or_default();
    let digits = limit.bytes().take_while(u8::is_ascii_digit).count();
    let (number, junk) = limit.split_at(digits);
    if !junk.is_empty() {
        fields.note("ed", "only its leading digits are read");
    }
    let number = number.parse::<u64>().unwrap_or(0);
    let Some(limit) = NonZeroU16::new(u16::try_from(number).unwrap_or(u16::MAX)) else {
        return Ok(None);
    };
    let place = match place.as_deref() {
        None => EarlyDataPlace::Header,
        Some("") => EarlyDataPlace::Path,
        Some(header) if header.eq_ignore_ascii_case("Sec-WebSocket-Protocol") => {
            EarlyDataPlace::Header
        }
        Some(other) => {
            let accepted = "Sec-WebSocket-Protocol, or nothing for the path";
            return Err(LinkError::unsupported("eh", other, accepted));
        }
    };
    Ok(Some(EarlyData { limit, place }))
}

fn security(
    fields: &mut Fields,
    keys: &Dialect,
    transport: &Transport,
) -> Result<Security, LinkError> {
    let security = fields.take_word(keys.security)?;
    match security.as_str() {
        "" | "none" => {
            for key in [
                "sni", "alpn", "fp", "pbk", "sid", "spx", "pqv", "ech", "pcs", "vcn",
            ] {
                fields.skip(key, NO_TLS);
            }
            for key in [
                "allowInsecure",
                "insecure",
                "skip-cert-verify",
                "verify_cert",
            ] {
                fields.skip(key, NO_TLS);
            }
            Ok(Security::None)
        }
        "tls" => tls(fields, transport).map(Security::Tls),
        other => Err(LinkError::unsupported(keys.security, other, SECURITIES)),
    }
}

fn tls(fields: &mut Fields, transport: &Transport) -> Result<Tls, LinkError> {
    for key in ["pcs", "vcn", "pinSHA256", "ech"] {
        fields.refuse(key, MATERIAL)?;
    }
    for key in [
        "allowInsecure",
        "insecure",
        "skip-cert-verify",
        "verify_cert",
    ] {
        fields.skip(key, VERIFIED);
    }
    fields.skip("fp", "browser fingerprints are not imitated");
    for key in ["pbk", "sid", "spx", "pqv"] {
        fields.skip(key, "not used without REALITY");
    }
    let server_name = match fields.take("sni")? {
        Some(name) => Some(host("sni", &name)?),
        None => None,
    };
    if matches!(transport, Transport::WebSocket(_)) {
        let only = fields.take("alpn")?.is_none_or(|alpn| alpn == "http/1.1");
        if !only {
            fields.note("alpn", "a WebSocket always offers http/1.1");
        }
        return Ok(Tls {
            server_name,
            alpn: Vec::new(),
        });
    }
    let alpn = fields.take("alpn")?.unwrap_or_default();
    let names = alpn
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let alpn: Result<_, _> = names.map(str::parse).collect();
    let alpn = alpn.map_err(|why| LinkError::invalid("alpn", Reason::Alpn(why)))?;
    Ok(Tls { server_name, alpn })
}
