//! The rounds: servers and clients, started in turn.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyd_bench::frameworks::python;
use anyd_bench::load::Figures;
use anyhow::{Context as _, Result, bail};

/// A framework and all that was measured of it.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Figures>,
    /// The server's program, in bytes.
    pub(crate) size: Option<u64>,
    /// Why nothing was measured.
    pub(crate) absent: Option<String>,
}

impl Measured {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            rounds: Vec::new(),
            size: None,
            absent: None,
        }
    }
}

/// The frameworks in Rust; the first is ours.
const RUST: [&str; 3] = ["anyd", "zlink", "tonic"];

/// Lets each framework have its turn in each round.
pub(crate) fn run(rounds: usize, progress: impl Fn(&str)) -> Result<Vec<Measured>> {
    let place = Place::new()?;
    let mut measured: Vec<Measured> = RUST.map(Measured::new).into();
    for one in &mut measured {
        one.size = Some(std::fs::metadata(program(one.name)?)?.len());
    }
    let mut python = Measured::new("python anyd");
    let package = python::install();
    for round in 1..=rounds {
        progress(&format!("round {round} of {rounds}"));
        for one in &mut measured {
            let figures = turn(one.name, &place).with_context(|| one.name)?;
            one.rounds.push(figures);
        }
        if let Ok(package) = &package {
            let figures = python::measure(package, &place.socket("python"))?;
            python.rounds.push(figures);
        }
    }
    python.absent = package.err().map(|error| error.to_string());
    measured.push(python);
    Ok(measured)
}

/// One framework's part of a round.
fn turn(name: &str, place: &Place) -> Result<Figures> {
    let socket = place.socket(name);
    let server = Command::new(program(name)?)
        .arg(&socket)
        .stdin(Stdio::null())
        .spawn()?;
    let server = Server(server);
    let output = Command::new(std::env::current_exe()?)
        .args(["load", name])
        .arg(&socket)
        .output()?;
    drop(server);
    // Not every framework removes its socket, and no other file is there.
    let _gone_already = std::fs::remove_file(&socket);
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The server's program, beside this one.
fn program(framework: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("serve-{framework}")))
}

/// A server's process.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// A directory for sockets that goes with the program.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("anyd-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn socket(&self, name: &str) -> PathBuf {
        Path::new(&self.0).join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is in the directory for temporary files.
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}
