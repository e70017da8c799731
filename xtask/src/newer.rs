//! Programs that the machine's release of Debian has in too old a version:
//! taken from the next one, unpacked into a tree and run from there by its own
//! loader. Nothing is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::output;
use crate::run::{check, is_installed, is_root, read};
use crate::unpack::{TREES, replace, unpack};

/// The release that has them: `varlinkctl` came with systemd 255, and CPython
/// 3.12 changed the handshake of `multiprocessing`.
const RELEASE: &str = "trixie";

/// Who signs it.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Programs of the tree, and what they need to be told.
const PROGRAMS: &[(&str, &str)] = &[
    ("varlinkctl", ""),
    ("python3.13", "export PYTHONHOME=$tree/usr;"),
];

/// The packages that have them, with all the libraries that they load.
const PACKAGES: &[&str] = &[
    "libacl1",
    "libaudit1",
    "libblkid1",
    "libbz2-1.0",
    "libc6",
    "libcap-ng0",
    "libcap2",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "liblzma5",
    "libmount1",
    "libpam0g",
    "libpcre2-8-0",
    "libpython3.13-minimal",
    "libpython3.13-stdlib",
    "libseccomp2",
    "libselinux1",
    "libssl3t64",
    "libsystemd-shared",
    "libzstd1",
    "python3.13-minimal",
    "systemd",
    "zlib1g",
];

/// Fetches the tree if it is not there and may be. Where it cannot be had, the
/// reason is left for the tests to say.
pub(crate) fn run() -> Result<()> {
    let tree = Path::new(TREES).join("newer");
    let stamp = format!("{RELEASE}\n{}", PACKAGES.join("\n"));
    let is_there = fs::read_to_string(tree.join("packages")).is_ok_and(|found| found == stamp);
    if is_there || is_installed("varlinkctl") || !is_root() || !is_installed("apt-get") {
        return Ok(());
    }
    output::line(&format!(
        "unpacking programs of Debian {RELEASE} for the tests"
    ));
    let new = Path::new(TREES).join(format!("newer.{}", std::process::id()));
    let made = make(&new, &tree);
    if made.is_ok() {
        fs::write(new.join("packages"), stamp)?;
        replace(&new, &tree)?;
    }
    fs::remove_dir_all(&new).ok();
    let reason = Path::new(TREES).join("newer.unavailable");
    match made {
        Ok(()) => fs::remove_file(reason).ok(),
        Err(error) => {
            let text = format!("Debian {RELEASE} cannot be had: {error:#}");
            output::line(&format!("some tests will be skipped: {text}"));
            fs::create_dir_all(TREES)?;
            Some(fs::write(reason, text)?)
        }
    };
    Ok(())
}

/// Fills `new`, which will be moved to `tree`.
fn make(new: &Path, tree: &Path) -> Result<()> {
    let place = new.join("apt");
    for directory in ["lists/partial", "archives/partial"] {
        fs::create_dir_all(place.join(directory))?;
    }
    let source = format!("deb [signed-by={KEYS}] {} {RELEASE} main\n", mirror()?);
    fs::write(place.join("sources"), source)?;
    fs::write(place.join("status"), "")?;
    check(apt(&place).arg("update"))?;
    check(
        apt(&place)
            .arg("download")
            .args(PACKAGES)
            .current_dir(&place),
    )?;
    for entry in fs::read_dir(&place)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack(&path, new)?;
        }
    }
    fs::create_dir_all(new.join("run"))?;
    let libraries = libraries(new)?;
    for (name, variables) in PROGRAMS {
        let script = script(&libraries, tree, name, variables);
        let path = new.join("run").join(name);
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(fs::remove_dir_all(place)?)
}

/// Where the machine itself gets Debian from.
fn mirror() -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args(["indextargets", "--format", "$(REPO_URI)"]);
    targets.args(["Created-By: Packages", "Origin: Debian", "Component: main"]);
    let text = read(&mut targets)?;
    text.lines()
        .find(|line| !line.contains("security"))
        .map(str::to_owned)
        .context("no mirror of Debian is known here")
}

/// apt with lists of its own, so that the machine's know nothing of it.
fn apt(place: &Path) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "APT::Sandbox::User=root"]);
    let own = [
        ("Etc::SourceList", "sources"),
        ("Etc::SourceParts", "none"),
        ("State::Lists", "lists"),
        ("State::status", "status"),
        ("Cache", ""),
    ];
    for (option, name) in own {
        let setting = format!("Dir::{option}={}", place.join(name).display());
        command.arg("-o").arg(setting);
    }
    command
}

/// The directory of the tree's libraries, and the name of their loader.
fn libraries(tree: &Path) -> Result<(PathBuf, String)> {
    for directory in fs::read_dir(tree.join("usr/lib"))? {
        let directory = directory?.path();
        for file in fs::read_dir(&directory).into_iter().flatten() {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name.starts_with("ld-linux") {
                let below = directory.strip_prefix(tree)?;
                return Ok((below.to_owned(), name));
            }
        }
    }
    anyhow::bail!("libc6 has no loader")
}

/// A program that runs another of the tree with the tree's libraries.
fn script(
    (libraries, loader): &(PathBuf, String),
    tree: &Path,
    name: &str,
    variables: &str,
) -> String {
    let (tree, libraries) = (tree.display(), libraries.display());
    format!(
        "#!/bin/sh\ntree={tree}\nlibraries=$tree/{libraries}\n\
         {variables} exec \"$libraries/{loader}\" \
         --library-path \"$libraries:$libraries/systemd\" \
         --argv0 {name} \"$tree/usr/bin/{name}\" \"$@\"\n"
    )
}
