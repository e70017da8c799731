//! Which crate may be linked with which.

use std::collections::BTreeMap;

use crate::workspace::Metadata;

/// Every crate and the crates of ours it may be linked with. A crate that is
/// missing here may not exist; an edge that is missing may not either.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "vpnm",
        &[
            "anyd",
            "vpnm-api",
            "vpnm-daemon",
            "vpnm-engine",
            "vpnm-host",
            "vpnm-profile",
            "vpnm-world",
        ],
    ),
    ("anyd", &["anyd-macros"]),
    ("anyd-macros", &[]),
    ("vpnm-api", &["anyd", "vpnm-profile", "vpnm-wire"]),
    ("vpnm-profile", &["vpnm-wire"]),
    (
        "vpnm-daemon",
        &["anyd", "vpnm-api", "vpnm-host", "vpnm-profile", "vpnm-wire"],
    ),
    ("vpnm-host", &["vpnm-wire"]),
    (
        "vpnm-engine",
        &[
            "anyd",
            "vpnm-api",
            "vpnm-dns",
            "vpnm-netstack",
            "vpnm-profile",
            "vpnm-proxy",
            "vpnm-wire",
        ],
    ),
    ("vpnm-netstack", &["vpnm-wire"]),
    ("vpnm-dns", &["vpnm-wire"]),
    ("vpnm-proxy", &["vpnm-profile", "vpnm-wire"]),
    ("vpnm-wire", &[]),
    (
        "vpnm-world",
        &["vpnm-host", "vpnm-profile", "vpnm-proxy", "vpnm-wire"],
    ),
    (
        "vpnm-lab",
        &[
            "anyd",
            "vpnm-api",
            "vpnm-host",
            "vpnm-profile",
            "vpnm-proxy",
            "vpnm-wire",
            "vpnm-world",
        ],
    ),
    (
        "vpnm-bench",
        &[
            "vpnm-engine",
            "vpnm-host",
            "vpnm-profile",
            "vpnm-proxy",
            "vpnm-wire",
            "vpnm-world",
        ],
    ),
    ("xtask", &[]),
];

/// The most crates on a path from the binary down.
const DEPTH: usize = 5;

/// Edges that are not allowed, and paths that are too long.
pub(super) fn faults(metadata: &Metadata) -> Vec<String> {
    let members: Vec<&str> = metadata
        .members()
        .map(|member| member.name.as_str())
        .collect();
    let graph: BTreeMap<&str, Vec<&str>> = metadata
        .members()
        .map(|member| {
            let edges = member.links().filter(|name| members.contains(name));
            (member.name.as_str(), edges.collect())
        })
        .collect();
    let mut faults = forbidden(&graph, ALLOWED);
    let path = longest("vpnm", &graph);
    if path.len() > DEPTH {
        faults.push(format!(
            "{} crates deep, {DEPTH} at most: {}",
            path.len(),
            path.join(" -> ")
        ));
    }
    faults
}

fn forbidden(graph: &BTreeMap<&str, Vec<&str>>, allowed: &[(&str, &[&str])]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, edges) in graph {
        let Some((_, allowed)) = allowed.iter().find(|(known, _)| known == name) else {
            faults.push(format!("the crate {name} is not in the design"));
            continue;
        };
        let extra = edges.iter().filter(|edge| !allowed.contains(edge));
        faults.extend(extra.map(|edge| format!("{name} may not depend on {edge}")));
    }
    faults
}

/// The longest path from `name`; cargo allows no cycles.
fn longest<'a>(name: &'a str, graph: &BTreeMap<&'a str, Vec<&'a str>>) -> Vec<&'a str> {
    let mut path = graph
        .get(name)
        .into_iter()
        .flatten()
        .map(|next| longest(next, graph))
        .max_by_key(Vec::len)
        .unwrap_or_default();
    path.insert(0, name);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_is_not_listed_is_a_fault() {
        let graph = BTreeMap::from([("a", vec!["b", "c"]), ("b", vec![]), ("c", vec![])]);
        let found = forbidden(&graph, &[("a", &["b"]), ("b", &[])]);
        assert_eq!(
            found,
            ["a may not depend on c", "the crate c is not in the design"]
        );
    }

    #[test]
    fn the_longest_path_counts() {
        let graph = BTreeMap::from([("a", vec!["b", "c"]), ("b", vec!["c"]), ("c", vec![])]);
        assert_eq!(longest("a", &graph), ["a", "b", "c"]);
    }
}
