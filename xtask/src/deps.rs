//! Licences and sources of everything that is linked.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use spdx::{Expression, LicenseReq};

use crate::output;
use crate::workspace::{Linked, Workspace};

/// The most crates, other than our own, that may take part in the binary.
const BUDGET: usize = 160;

/// The parts of deny.toml that can be checked without an advisory database.
#[derive(Debug, Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    name: String,
    reason: String,
}

/// Holds every crate of the binary against deny.toml.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let text = std::fs::read_to_string(workspace.root().join("deny.toml")).context("deny.toml")?;
    let policy: Policy = toml::from_str(&text).context("deny.toml")?;
    let linked = workspace.linked_into("vpnm")?;
    let foreign: Vec<&Linked> = linked
        .iter()
        .filter(|one| {
            let place = one.place.as_deref().map(Path::new);
            place.is_none_or(|place| !place.starts_with(workspace.root()))
        })
        .collect();
    let mut faults: Vec<String> = foreign.iter().flat_map(|one| policy.faults(one)).collect();
    let metadata = workspace.metadata()?;
    let own: Vec<&str> = metadata
        .members()
        .map(|member| member.name.as_str())
        .collect();
    for member in metadata.members() {
        let loose = member.wildcards().filter(|name| !own.contains(name));
        faults.extend(loose.map(|name| format!("{} takes any version of {name}", member.name)));
    }
    let foreign = foreign.len();
    if foreign > BUDGET {
        faults.push(format!("{foreign} crates of others, {BUDGET} at most"));
    }
    if !faults.is_empty() {
        bail!(
            "{} faults of dependencies:\n{}",
            faults.len(),
            faults.join("\n")
        );
    }
    output::line(&format!(
        "{foreign} crates of others take part in the binary"
    ));
    Ok(())
}

impl Policy {
    fn faults(&self, linked: &Linked) -> Vec<String> {
        let named = format!("{} {}", linked.name, linked.version);
        let mut faults = Vec::new();
        if !self.allows(&linked.license) {
            faults.push(format!("{named} is under \"{}\"", linked.license));
        }
        if let Some(place) = &linked.place {
            faults.push(format!("{named} comes from {place}"));
        }
        if let Some(ban) = self.bans.deny.iter().find(|ban| ban.name == linked.name) {
            faults.push(format!("{named} is banned: {}", ban.reason));
        }
        faults
    }

    /// Whether a licence expression can be satisfied. Old crates write "/" for "OR".
    fn allows(&self, license: &str) -> bool {
        let license = license.replace('/', " OR ");
        let Ok(expression) = Expression::parse(&license) else {
            return false;
        };
        expression.evaluate(|required: &LicenseReq| {
            let required = required.to_string();
            self.licenses.allow.contains(&required)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        toml::from_str(
            r#"
            licenses.allow = ["MIT", "Apache-2.0", "ISC"]
            bans.deny = [{ name = "openssl", reason = "one provider of cryptography" }]
            "#,
        )
        .unwrap()
    }

    #[test]
    fn one_of_an_alternative_and_all_of_a_sum() {
        assert!(policy().allows("MIT OR GPL-3.0-only"));
        assert!(policy().allows("MIT/Apache-2.0"));
        assert!(policy().allows("ISC AND (Apache-2.0 OR BSD-3-Clause)"));
        assert!(!policy().allows("MIT AND GPL-3.0-only"));
        assert!(!policy().allows("something else"));
        assert!(!policy().allows(""));
    }

    #[test]
    fn bans_and_places_are_seen() {
        let linked = |name: &str, place: Option<&str>| Linked {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: "MIT".to_owned(),
            place: place.map(str::to_owned),
        };
        assert!(policy().faults(&linked("serde", None)).is_empty());
        assert_eq!(
            policy()
                .faults(&linked("openssl", Some("/elsewhere")))
                .len(),
            2
        );
    }
}
