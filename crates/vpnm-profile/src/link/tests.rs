//! Links of both forms, well and badly written.

use std::num::NonZeroU16;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vpnm_wire::Target;

use super::*;
use crate::{
    EarlyData, EarlyDataPlace, Path, Protocol, Security, Tls, Transport, Uuid, Vless, Vmess,
    VmessCipher, WebSocket,
};

const ID: &str = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9";

fn read(text: &str) -> Link {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    text.parse::<Link>().expect_err(text).to_string()
}

fn vless(rest: &str) -> String {
    format!("vless://{ID}@example.com:443{rest}")
}

fn vmess(json: &str) -> String {
    format!("vmess://{}", STANDARD.encode(json))
}

fn ignored(link: &Link) -> Vec<&str> {
    link.ignored.iter().map(|one| one.key.as_str()).collect()
}

#[test]
fn a_vless_link_says_everything_about_a_websocket() {
    let link = read(&vless(
        "?encryption=none&security=tls&sni=sni.test&alpn=h2%2Chttp%2F1.1&fp=chrome\
         &type=ws&host=host.test&path=%2Fa%3Fed%3D2048#My%20server%20%F0%9F%87%AB%F0%9F%87%B7",
    ));
    let expected = Profile {
        name: "My server \u{1f1eb}\u{1f1f7}".into(),
        server: "example.com:443".parse().unwrap(),
        protocol: Protocol::Vless(Vless {
            id: ID.parse().unwrap(),
        }),
        transport: Transport::WebSocket(WebSocket {
            path: "/a".parse().unwrap(),
            host: Some("host.test".parse().unwrap()),
            early_data: Some(EarlyData {
                limit: NonZeroU16::new(2048).unwrap(),
                place: EarlyDataPlace::Header,
            }),
        }),
        security: Security::Tls(Tls {
            server_name: Some("sni.test".parse().unwrap()),
            alpn: Vec::new(),
        }),
    };
    assert_eq!(link.profile, expected);
    assert_eq!(ignored(&link), ["fp", "alpn"]);
}

#[test]
fn what_a_link_leaves_out_has_a_default() {
    let link = read(&vless(""));
    assert_eq!(link.profile.name, "");
    assert_eq!(link.profile.transport, Transport::Tcp);
    assert_eq!(link.profile.security, Security::None);
    assert!(!link.profile.is_confidential());
    assert!(link.ignored.is_empty());
}

#[test]
fn a_vmess_link_is_json_in_base64() {
    let link = read(&vmess(&format!(
        r#"{{"v":"2","ps":"x","add":"192.0.2.7","port":8443,"id":"{ID}","aid":"0","scy":"none",
        "net":"ws","type":"none","host":"a.test,b.test","path":"ws?x=1&ed=10","tls":"tls",
        "sni":"","alpn":"","fp":"chrome","allowInsecure":true}}"#
    )));
    let Transport::WebSocket(ws) = &link.profile.transport else {
        panic!("{:?}", link.profile.transport);
    };
    assert_eq!(link.profile.server.to_string(), "192.0.2.7:8443");
    assert_eq!(ws.path.as_str(), "/ws?x=1");
    assert_eq!(ws.host, Some("a.test".parse().unwrap()));
    assert_eq!(ws.early_data.unwrap().limit.get(), 10);
    assert_eq!(ignored(&link), ["allowInsecure", "fp"]);
    assert!(link.profile.is_confidential());
}

#[test]
fn a_vmess_link_may_be_a_url() {
    let link = read(&format!("vmess://{ID}@[2001:db8::1]:80?encryption=zero#n"));
    let id: Uuid = ID.parse().unwrap();
    let cipher = VmessCipher::Zero;
    assert_eq!(link.profile.protocol, Protocol::Vmess(Vmess { id, cipher }));
    assert_eq!(link.profile.server.to_string(), "[2001:db8::1]:80");
}

#[test]
fn links_in_the_wild_are_dirty() {
    let padded = vmess(&format!(
        r#"{{"add":"a.test","port":"1","id":"{ID}","aid":64}}"#
    ));
    let clean = read(&padded);
    assert_eq!(ignored(&clean), ["aid"]);
    let unpadded = padded.trim_end_matches('=');
    let broken = format!(" {}\r\n{} ", &unpadded[..40], &unpadded[40..]);
    assert_eq!(read(&broken), clean);

    let glued = read(&vless("/?type=Tcp&amp;security=none=@channel"));
    assert_eq!(glued.profile.security, Security::None);
    assert_eq!(ignored(&glued), ["security"]);

    let unescaped = read(&vless("?type=ws&path=/a/?b=@c/&host=h.test.#a#b"));
    let Transport::WebSocket(ws) = &unescaped.profile.transport else {
        panic!("{:?}", unescaped.profile.transport);
    };
    assert_eq!(ws.path.as_str(), "/a/?b=@c/");
    assert_eq!(unescaped.profile.name, "a#b");
}

#[test]
fn what_changes_who_reads_the_traffic_is_refused() {
    let cases = [
        ("?security=reality&pbk=x", "security=reality"),
        ("?security=xtls", "security=xtls"),
        (
            "?security=tls&flow=xtls-rprx-vision",
            "flow=xtls-rprx-vision",
        ),
        ("?type=grpc", "type=grpc"),
        ("?type=xhttp", "type=xhttp"),
        ("?headerType=http", "headerType=http"),
        (
            "?encryption=mlkem768x25519plus.native.0rtt.key",
            "encryption=mlkem768x25519plus",
        ),
        ("?security=tls&pcs=abc", "pcs=abc"),
        ("?security=tls&ech=abc", "ech=abc"),
        ("?type=ws&path=/?ed=1%26eh=X-Early", "eh=X-Early"),
    ];
    for (rest, expected) in cases {
        let why = refused(&vless(rest));
        assert!(
            why.contains("not supported yet") && why.contains(expected),
            "{why}"
        );
        assert!(why.contains("; accepted: "), "{why}");
    }
    let why = refused(&format!("vmess://{ID}@a.test:1?encryption=aes-128-cfb"));
    assert!(
        why.contains("aes-128-cfb") && why.contains("aes-128-gcm"),
        "{why}"
    );
    let why = refused("trojan://secret@a.test:1");
    assert!(why.contains("trojan") && !why.contains("secret"), "{why}");
}

#[test]
fn what_is_malformed_names_the_key_and_the_reason() {
    let cases = [
        ("nonsense".to_owned(), "no share link"),
        ("vless://a.test:1".into(), "no '@'"),
        (format!("vless://{ID}@a.test"), "the port is missing"),
        (format!("vless://{ID}@:1"), "the server is missing"),
        (format!("vless://{ID}@a.test:0"), "the port is wrong"),
        (format!("vless://{ID}@a.test:65536"), "the port is wrong"),
        (format!("vless://{ID}@a b:1"), "the server is wrong"),
        ("vless://@a.test:1".into(), "it is empty"),
        (format!("vless://{ID}x@a.test:1"), "neither a UUID"),
        (
            vless("?security=tls&security=none"),
            "security is wrong: it is there twice",
        ),
        (vless("?security=tls&sni=a%20b"), "sni is wrong"),
        (vless("?security=tls&alpn=a%20b"), "alpn is wrong"),
        (vless("?type=ws&path=%FF"), "percent-encoding"),
        ("vmess://%%%".into(), "neither base64"),
        (vmess("[1]"), "JSON object"),
        (
            vmess(r#"{"add":"a.test","port":1}"#),
            "id is wrong: it is empty",
        ),
        (
            vmess(r#"{"add":["a.test"]}"#),
            "neither a text nor a number",
        ),
        ("x".repeat(MAX_LINK + 1), "longer than"),
    ];
    for (text, expected) in cases {
        let why = refused(&text);
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn no_message_repeats_the_secret() {
    let secret = "5ec4e700-5ec4-5ec4-5ec4-5ec4e7005ec4";
    let texts = [
        format!("vless://{secret}zz@a.test:1"),
        format!("vless://{secret}@a.test:1?type=grpc"),
        format!("vless://{secret}@a.test:0"),
        vmess(&format!(r#"{{"add":"a.test","port":1,"id":"{secret}zz"}}"#)),
    ];
    for text in texts {
        let error = text.parse::<Link>().unwrap_err();
        let all = format!("{error} {error:?}");
        assert!(!all.contains("5ec4e7"), "{all}");
    }
    let link = read(&format!("vless://{secret}@a.test:1"));
    assert!(!format!("{link:?}").contains("5ec4e7"));
}

#[test]
fn control_characters_do_not_come_through() {
    let link = read(&vless("?%1b[2J=1#a%1b]0;x%07b"));
    assert_eq!(link.profile.name, "a]0;xb");
    assert_eq!(ignored(&link), ["[2J"]);
}

#[test]
fn a_profile_is_read_back_as_written() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..5000 {
        let profile = any_profile(&mut random);
        let link = profile.to_link();
        assert_eq!(link.parse(), Ok(profile.clone()), "{link}");
        let json = serde_json::to_string(&profile).unwrap();
        assert_eq!(
            serde_json::from_str::<Profile>(&json).unwrap(),
            profile,
            "{json}"
        );
    }
}

#[test]
fn a_mutated_link_is_read_or_refused() {
    let seeds = [
        vless("?security=tls&sni=a.test&type=ws&path=%2Fa%3Fed%3D9&alpn=h2&fp=x&flow=#n%20m"),
        vmess(&format!(
            r#"{{"add":"a.test","port":1,"id":"{ID}","net":"ws","path":"/?ed=1"}}"#
        )),
        format!("vmess://{ID}@[::1]:1/?encryption=auto&host=h&amp;path=x"),
    ];
    let mut random = fastrand::Rng::with_seed(2);
    let mut read = 0;
    for _ in 0..30_000 {
        let mut bytes = random.choice(&seeds).unwrap().clone().into_bytes();
        for _ in 0..random.usize(1..4) {
            mutate(&mut bytes, &mut random);
        }
        let Ok(link) = String::from_utf8_lossy(&bytes).parse::<Link>() else {
            continue;
        };
        read += 1;
        assert_eq!(link.profile.to_link().parse(), Ok(link.profile));
    }
    assert!(read > 1000, "only {read} were read");
}

fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let at = random.usize(..bytes.len().max(1)).min(bytes.len());
    match random.u8(..4) {
        0 if at < bytes.len() => bytes[at] = random.u8(..),
        1 => bytes.insert(at, *random.choice(b"%&=?#@:/[]+-\0 \xff").unwrap()),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        _ => bytes.truncate(at.max(8)),
    }
}

fn any_profile(random: &mut fastrand::Rng) -> Profile {
    let id = Uuid::from_bytes(std::array::from_fn(|_| random.u8(..)));
    let ciphers = [
        VmessCipher::Auto,
        VmessCipher::Aes128Gcm,
        VmessCipher::ChaCha20Poly1305,
        VmessCipher::None,
        VmessCipher::Zero,
    ];
    let protocol = if random.bool() {
        Protocol::Vless(Vless { id })
    } else {
        let cipher = *random.choice(&ciphers).unwrap();
        Protocol::Vmess(Vmess { id, cipher })
    };
    let is_ws = random.bool();
    let transport = if is_ws {
        any_websocket(random)
    } else {
        Transport::Tcp
    };
    let alpn = ["h2", "http/1.1"];
    let alpn = alpn.iter().take(if is_ws { 0 } else { random.usize(..3) });
    let security = if random.bool() {
        Security::None
    } else {
        Security::Tls(Tls {
            server_name: random.bool().then(|| any_host(random)),
            alpn: alpn.map(|name| name.parse().unwrap()).collect(),
        })
    };
    let name: String = (0..random.usize(..9))
        .map(|_| random.char('!'..='\u{1f600}'))
        .collect();
    Profile {
        name: name
            .chars()
            .filter(|c| !c.is_control())
            .collect::<String>()
            .trim()
            .into(),
        server: Target {
            host: any_host(random),
            port: random.u16(1..),
        },
        protocol,
        transport,
        security,
    }
}

fn any_host(random: &mut fastrand::Rng) -> vpnm_wire::Host {
    let hosts = [
        "a.test",
        "192.0.2.1",
        "2001:db8::1",
        "xn--e1afmkfd.test",
        "_x.y-z",
    ];
    random.choice(hosts).unwrap().parse().unwrap()
}

fn any_websocket(random: &mut fastrand::Rng) -> Transport {
    let text: String = (0..random.usize(..12))
        .map(|_| random.char(' '..='\u{ff}'))
        .collect();
    let place = if random.bool() {
        EarlyDataPlace::Header
    } else {
        EarlyDataPlace::Path
    };
    let limit = NonZeroU16::new(random.u16(..));
    Transport::WebSocket(WebSocket {
        path: text.parse().unwrap_or_else(|_| Path::root()),
        host: random.bool().then(|| any_host(random)),
        early_data: limit
            .filter(|_| random.bool())
            .map(|limit| EarlyData { limit, place }),
    })
}

#[test]
fn the_corpus_of_the_fuzz_target_is_read_or_refused() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/proxy/corpus/links");
    let mut files = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if let Ok(link) = String::from_utf8_lossy(&bytes).parse::<Link>() {
            assert_eq!(link.profile.to_link().parse(), Ok(link.profile));
        }
        files += 1;
    }
    assert!(files >= 6, "the corpus is there");
}
