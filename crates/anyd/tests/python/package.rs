//! The package itself, as a client.

use std::path::PathBuf;
use std::process::Command;

use crate::daemon::Served;

const VERSIONS: [&str; 7] = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];

/// Where `cargo xtask prepare` puts programs of a newer Debian.
const NEWER: &str = "/var/cache/vpnm-lab/newer";

/// The CPythons that are here, of the versions that the package is for.
fn pythons() -> Vec<PathBuf> {
    let managed = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv/versions"));
    let managed = managed.and_then(|place| std::fs::read_dir(place).ok());
    let managed = managed.into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = managed
        .map(|version| version.path().join("bin/python3"))
        .collect();
    found.extend(VERSIONS.map(|version| PathBuf::from(format!("python{version}"))));
    found.push(PathBuf::from(NEWER).join("run/python3.13"));
    found.retain(|python| {
        let asked = Command::new(python)
            .args(["-c", "import sys; assert sys.version_info >= (3, 8)"])
            .output();
        asked.is_ok_and(|output| output.status.success())
    });
    found.sort();
    found
}

/// The package from PyPI; `None`, said loudly, where it cannot be had.
fn package() -> Option<PathBuf> {
    let target = std::env::temp_dir().join("anyd-pip-anyd");
    let installed = Command::new("python3")
        .args("-m pip install --quiet --no-deps --upgrade --target".split(' '))
        .arg(&target)
        .arg("anyd==0.4.1")
        .output();
    let why = match installed {
        Ok(output) if output.status.success() => return Some(target),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    assert!(
        std::env::var("VPNM_LAB").as_deref() != Ok("require"),
        "pip cannot install anyd: {why}"
    );
    println!("SKIP pip cannot install anyd: {why}");
    None
}

#[test]
fn the_unmodified_package_calls_the_daemon() {
    let Some(package) = package() else {
        return;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/client.py");
    let mut passed = Vec::new();
    for python in pythons() {
        let served = Served::new();
        let output = Command::new(&python)
            .arg(script)
            .arg(&served.place)
            .env("PYTHONPATH", &package)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {errors}", python.display());
        println!("{}: {}", python.display(), printed.trim());
        passed.push(printed);
    }
    assert!(!passed.is_empty(), "python3 has installed the package");
    let (new, old): (Vec<_>, Vec<_>) = passed.iter().partition(|text| is_new(text));
    if new.is_empty() || old.is_empty() {
        // The handshake is another one since 3.12.
        lacks("a CPython before 3.12 and one since: cargo xtask prepare");
    }
}

/// Whether the script has passed on a CPython since 3.12.
fn is_new(printed: &str) -> bool {
    let version = printed.trim().strip_prefix("passed on 3.").unwrap();
    let minor = version.split('.').next().unwrap();
    minor.parse::<u32>().unwrap() >= 12
}

/// Says what a test had to do without; fails where everything is required
/// that can be had.
fn lacks(what: &str) {
    if let Ok(reason) = std::fs::read_to_string(format!("{NEWER}.unavailable")) {
        println!("SKIP {what}: {reason}");
        return;
    }
    let required = std::env::var("VPNM_LAB").as_deref() == Ok("require");
    assert!(!required, "there is not {what}");
    println!("SKIP there is not {what}");
}
