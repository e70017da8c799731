//! The workspace as cargo sees it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::run;

/// What is linked on other platforms is not looked at.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The workspace this task belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

/// What `cargo metadata` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    target_directory: PathBuf,
}

/// A crate of ours.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    id: String,
    pub(crate) name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` for what is linked, else "dev" or "build".
    kind: Option<String>,
    req: String,
}

impl Workspace {
    /// The workspace that contains this crate.
    pub(crate) fn find() -> Result<Self> {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = own
            .parent()
            .context("xtask lies in the root of its workspace")?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The directory of the workspace's manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// `cargo`, the one that runs this task, in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(program);
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// The files that git knows or would add, relative to the root, in order.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut git = Command::new("git");
        git.current_dir(&self.root).args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ]);
        let mut files: Vec<PathBuf> = run::read(&mut git)?
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(PathBuf::from)
            .filter(|name| self.root.join(name).is_file())
            .collect();
        files.sort();
        Ok(files)
    }

    /// Everything that is linked into `package` or runs while it is built, the
    /// package itself included.
    pub(crate) fn linked_into(&self, package: &str) -> Result<Vec<Linked>> {
        let text = run::read(&mut self.cargo(&[
            "tree",
            "--package",
            package,
            "--edges",
            "normal,build",
            "--target",
            PLATFORM,
            "--prefix",
            "none",
            "--format",
            "{p}\t{l}",
            "--locked",
        ]))?;
        let lines: BTreeSet<&str> = text
            .lines()
            .map(|line| line.strip_suffix(" (*)").unwrap_or(line))
            .collect();
        lines.into_iter().map(Linked::parse).collect()
    }

    /// Asks cargo about our own crates.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let text = run::read(&mut self.cargo(&[
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--no-deps",
        ]))?;
        serde_json::from_str(&text).context("the output of cargo metadata has another form")
    }
}

/// A crate that takes part in a binary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Linked {
    /// Name and version.
    pub(crate) name: String,
    pub(crate) version: String,
    /// The licence expression; may be empty.
    pub(crate) license: String,
    /// Where it comes from, if not from crates.io: a directory or a repository.
    pub(crate) place: Option<String>,
}

impl Linked {
    /// Reads `NAME vVERSION [(PLACE)] [(proc-macro)]<TAB>LICENCE`.
    fn parse(line: &str) -> Result<Self> {
        let (package, license) = line.split_once('\t').context("a line of cargo tree")?;
        let mut words = package.splitn(3, ' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            bail!("cargo tree named no version: {line}");
        };
        let place = words
            .next()
            .into_iter()
            .flat_map(|rest| rest.split(['(', ')']))
            .map(str::trim)
            .find(|part| !part.is_empty() && *part != "proc-macro");
        Ok(Self {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            license: license.to_owned(),
            place: place.map(str::to_owned),
        })
    }
}

impl Metadata {
    /// Our own crates.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Where cargo builds.
    pub(crate) fn target_directory(&self) -> &Path {
        &self.target_directory
    }
}

impl Package {
    /// The directory of its manifest.
    pub(crate) fn directory(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }

    /// The crates it is linked with.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none())
            .map(|dependency| dependency.name.as_str())
    }

    /// The crates it takes in any version at all, other than our own.
    pub(crate) fn wildcards(&self) -> impl Iterator<Item = &str> {
        self.dependencies
            .iter()
            .filter(|dependency| dependency.req == "*")
            .map(|dependency| dependency.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Linked;

    #[test]
    fn a_line_of_cargo_tree() {
        let found = Linked::parse("serde_derive v1.0.2 (proc-macro)\tMIT OR Apache-2.0").unwrap();
        assert_eq!(
            (found.name.as_str(), found.version.as_str()),
            ("serde_derive", "1.0.2")
        );
        assert_eq!(
            (found.license.as_str(), found.place),
            ("MIT OR Apache-2.0", None)
        );
        let own = Linked::parse("anyd v0.1.0 (/src/anyd) (proc-macro)\tMIT").unwrap();
        assert_eq!(own.place.as_deref(), Some("/src/anyd"));
        let git = Linked::parse("x v1.0.0 (https://example.org/x#abc)\t").unwrap();
        assert_eq!(git.place.as_deref(), Some("https://example.org/x#abc"));
        assert!(Linked::parse("nonsense").is_err());
    }
}
