//! A server of others, run on this machine.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::authority::{Authority, Leaf};
use crate::cell::{Cell, Protocol, Transport};
use crate::{mihomo, sing_box, v2ray};

/// The peers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    V2ray,
    SingBox,
    Mihomo,
}

/// One place where a peer listens.
pub(crate) struct Listener {
    pub(crate) cell: Cell,
    pub(crate) port: u16,
    /// The files of its certificate and key, if it speaks TLS.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
}

pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) authority: Authority,
    pub(crate) listeners: Vec<Listener>,
    /// VLESS over TLS with certificates that must not be accepted.
    pub(crate) expired: u16,
    pub(crate) other_name: u16,
    pub(crate) stranger: u16,
    pub(crate) self_signed: u16,
    process: Child,
    directory: PathBuf,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V2ray => "v2ray",
            Self::SingBox => "sing-box",
            Self::Mihomo => "mihomo",
        }
    }

    /// Whether the peer can serve a cell.
    pub(crate) fn serves(self, cell: &Cell) -> bool {
        match self {
            // 4.34 has neither form of early data.
            Self::V2ray => matches!(cell.transport, Transport::Tcp | Transport::Ws),
            Self::SingBox => true,
            Self::Mihomo => {
                let plain_vless = cell.protocol == Protocol::Vless && !cell.tls;
                !plain_vless && cell.transport != Transport::WsEarlyPath
            }
        }
    }
}

impl Peer {
    pub(crate) async fn start(kind: Kind, program: &Path, cells: &[Cell]) -> Self {
        let authority = Authority::new();
        let name = format!("vpnm-interop-{}-{}", kind.name(), std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let tls_vless = Cell {
            protocol: Protocol::Vless,
            transport: Transport::Tcp,
            tls: true,
        };
        let mut listeners = Vec::new();
        for cell in cells {
            let tls = cell.tls.then(|| store(&directory, "good", &authority.good));
            listeners.push(listener(*cell, tls));
        }
        let mut bad = Vec::new();
        let leaves = [
            ("expired", &authority.expired),
            ("other", &authority.other_name),
            ("stranger", &authority.stranger),
            ("self-signed", &authority.self_signed),
        ];
        for (name, leaf) in leaves {
            let one = listener(tls_vless, Some(store(&directory, name, leaf)));
            bad.push(one.port);
            listeners.push(one);
        }
        let process = launch(kind, program, &directory, &listeners);
        let peer = Self {
            kind,
            authority,
            expired: bad[0],
            other_name: bad[1],
            stranger: bad[2],
            self_signed: bad[3],
            listeners,
            process,
            directory,
        };
        for listener in &peer.listeners {
            wait_for(listener.port).await;
        }
        peer
    }

    pub(crate) fn port(&self, cell: &Cell) -> u16 {
        self.listeners
            .iter()
            .find(|listener| listener.cell == *cell)
            .unwrap()
            .port
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
        if std::thread::panicking() {
            eprintln!(
                "the files of {} stay in {}",
                self.kind.name(),
                self.directory.display()
            );
        } else {
            let _removed = fs::remove_dir_all(&self.directory);
        }
    }
}

fn launch(kind: Kind, program: &Path, directory: &Path, listeners: &[Listener]) -> Child {
    let (file, config) = match kind {
        Kind::V2ray => ("config.json", v2ray::config(listeners)),
        Kind::SingBox => ("config.json", sing_box::config(listeners)),
        Kind::Mihomo => ("config.yaml", mihomo::config(listeners)),
    };
    let file = directory.join(file);
    fs::write(&file, config).unwrap();
    let log = fs::File::create(directory.join("log")).unwrap();
    let mut command = Command::new(program);
    match kind {
        Kind::V2ray => command.arg("-config").arg(&file),
        Kind::SingBox => command.arg("run").arg("-c").arg(&file),
        // Its loop detector takes a source port used again for a loop: all is on loopback here.
        Kind::Mihomo => command
            .env("DISABLE_LOOPBACK_DETECTOR", "true")
            .arg("-d")
            .arg(directory)
            .arg("-f")
            .arg(&file),
    };
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap()
}

fn listener(cell: Cell, tls: Option<(PathBuf, PathBuf)>) -> Listener {
    let port = free_port();
    Listener { cell, port, tls }
}

/// A port that nothing listened on a moment ago, and that nobody was given before: v2ray
/// lets two of its listeners share one.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

fn store(directory: &Path, name: &str, leaf: &Leaf) -> (PathBuf, PathBuf) {
    let certificate = directory.join(format!("{name}.pem"));
    let key = directory.join(format!("{name}.key"));
    fs::write(&certificate, &leaf.certificate).unwrap();
    fs::write(&key, &leaf.key).unwrap();
    (certificate, key)
}

async fn wait_for(port: u16) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    for _ in 0..200 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the peer does not listen on {port}");
}
