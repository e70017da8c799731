//! The servers and clients of all cells, started once.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use crate::load;
use crate::peers::{self, NAME, PATH, USER};

/// A cell: the scheme, the transport, whether there is TLS.
pub(crate) type Cell = (&'static str, &'static str, bool);

/// A client process that listens for the load.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) listen: SocketAddr,
    pub(crate) process: u32,
}

pub(crate) struct Place {
    origin: SocketAddr,
    processes: Vec<Child>,
    directory: PathBuf,
    clients: Vec<((String, String, bool), Client, Client)>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = env::temp_dir().join(format!("vpnm-throughput-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        certify(&directory);
        let mut place = Self {
            origin: load::origin(),
            processes: Vec::new(),
            directory,
            clients: Vec::new(),
        };
        for cell in crate::CELLS {
            place.add(cell);
        }
        place
    }

    pub(crate) fn ours(&self, cell: (&str, &str, bool)) -> Client {
        self.find(cell).0
    }

    pub(crate) fn theirs(&self, cell: (&str, &str, bool)) -> Client {
        self.find(cell).1
    }

    fn find(&self, (scheme, transport, tls): (&str, &str, bool)) -> (Client, Client) {
        let mut clients = self.clients.iter();
        let found = clients.find(|((s, t, l), _, _)| s == scheme && t == transport && *l == tls);
        let (_, ours, theirs) = found.unwrap();
        (*ours, *theirs)
    }

    fn add(&mut self, cell: Cell) {
        let (scheme, transport, tls) = cell;
        let server = free();
        self.v2ray(&peers::server(cell, server.port(), &self.directory), server);
        let listen = free();
        let config = peers::client(
            cell,
            listen.port(),
            server.port(),
            self.origin,
            &self.directory,
        );
        let process = self.v2ray(&config, listen);
        let theirs = Client { listen, process };
        let listen = free();
        let security = if tls {
            format!("tls&sni={NAME}")
        } else {
            "none".into()
        };
        let cipher = if scheme == "vmess" {
            "aes-128-gcm"
        } else {
            "none"
        };
        let link = format!(
            "{scheme}://{USER}@{server}?encryption={cipher}&type={transport}&path={PATH}&security={security}"
        );
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .arg("client")
            .arg(listen.to_string())
            .arg(self.origin.to_string());
        command.arg(self.directory.join("root.pem")).arg(link);
        let process = self.start(command, listen);
        let ours = Client { listen, process };
        self.clients
            .push(((scheme.into(), transport.into(), tls), ours, theirs));
    }

    fn v2ray(&mut self, config: &str, listen: SocketAddr) -> u32 {
        let file = self.directory.join(format!("{}.json", listen.port()));
        fs::write(&file, config).unwrap();
        let mut command = Command::new("v2ray");
        command.arg("-config").arg(file);
        self.start(command, listen)
    }

    fn start(&mut self, mut command: Command, listen: SocketAddr) -> u32 {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("v2ray is needed: apt-get install v2ray");
        let process = child.id();
        self.processes.push(child);
        for _ in 0..200 {
            if TcpStream::connect(listen).is_ok() {
                return process;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("nothing listens on {listen}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _gone = process.kill();
            let _reaped = process.wait();
        }
        let _removed = fs::remove_dir_all(&self.directory);
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Writes a root and a certificate for the server.
fn certify(directory: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "throughput");
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &root).unwrap();
    fs::write(directory.join("root.pem"), root.pem()).unwrap();
    fs::write(directory.join("leaf.pem"), leaf.pem()).unwrap();
    fs::write(directory.join("leaf.key"), key.serialize_pem()).unwrap();
}
