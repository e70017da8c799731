//! No module may need, directly or by way of others, a module that needs it.
//!
//! Looked at level by level: of the modules below one parent, each with
//! everything below it, none may be part of a cycle. What a parent and a child
//! name of each other does not count: a parent exists to put its children
//! together.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::Names;
use super::source::Crate;

/// A graph of siblings, by the name of their parent.
type Levels = BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>>;

/// One fault for each cycle of siblings.
pub(super) fn faults(krate: &Crate) -> Vec<String> {
    let names = Names::of(krate);
    let mut levels = Levels::new();
    for module in &krate.modules {
        for place in names.named_by(module) {
            let Some(other) = krate.modules.get(place) else {
                continue;
            };
            let shared = module
                .path
                .iter()
                .zip(&other.path)
                .take_while(|(a, b)| a == b)
                .count();
            let (Some(from), Some(to)) = (module.path.get(shared), other.path.get(shared)) else {
                continue;
            };
            let parent = module.path.iter().take(shared).cloned().collect();
            levels
                .entry(parent)
                .or_default()
                .entry(from.clone())
                .or_default()
                .insert(to.clone());
        }
    }
    let mut faults = Vec::new();
    for (parent, graph) in &levels {
        let place = [std::slice::from_ref(&krate.name), parent.as_slice()]
            .concat()
            .join("::");
        for knot in knots(graph) {
            let edges = edges_within(graph, &knot).join(", ");
            faults.push(format!("modules of {place} need each other: {edges}"));
        }
    }
    faults
}

/// Who names whom inside a knot.
fn edges_within(graph: &BTreeMap<String, BTreeSet<String>>, knot: &[&str]) -> Vec<String> {
    let inside = |name: &String| knot.contains(&name.as_str());
    graph
        .iter()
        .filter(|(from, _)| inside(from))
        .flat_map(|(from, to)| {
            to.iter()
                .filter(move |to| inside(to) && *to != from)
                .map(move |to| format!("{from} -> {to}"))
        })
        .collect()
}

/// The sets of two and more nodes that all reach each other.
fn knots(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<&str>> {
    let reach: BTreeMap<&str, BTreeSet<&str>> = graph
        .keys()
        .map(|node| (node.as_str(), reachable(graph, node)))
        .collect();
    let mut seen = BTreeSet::new();
    let mut knots = Vec::new();
    for (node, reached) in &reach {
        if seen.contains(node) {
            continue;
        }
        let mutual = |other: &&str| reach.get(other).is_some_and(|back| back.contains(node));
        let knot: Vec<&str> = reached.iter().copied().filter(mutual).collect();
        seen.extend(knot.iter().copied());
        if knot.len() > 1 {
            knots.push(knot);
        }
    }
    knots
}

fn reachable<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&str> = vec![from];
    while let Some(node) = waiting.pop() {
        for next in graph.get(node).into_iter().flatten() {
            if found.insert(next.as_str()) {
                waiting.push(next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::source::Module;
    use super::*;

    fn krate(modules: &[(&str, &str)]) -> Crate {
        let modules = modules
            .iter()
            .map(|(path, source)| Module {
                path: path
                    .split("::")
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
                file: PathBuf::new(),
                items: syn::parse_file(source).unwrap().items,
            })
            .collect();
        Crate {
            name: "demo".to_owned(),
            modules,
        }
    }

    #[test]
    fn a_line_is_no_cycle() {
        let found = faults(&krate(&[
            ("", "pub use a::A;"),
            ("a", "use crate::b::B; pub struct A(B);"),
            ("b", "pub struct B;"),
        ]));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_cycle_by_way_of_an_export_is_found() {
        let found = faults(&krate(&[
            ("", "pub use a::A; pub use c::*;"),
            ("a", "use crate::b::B; pub struct A(B);"),
            ("b", "pub struct B(crate::C);"),
            ("c", "pub struct C(Box<crate::A>);"),
        ]));
        assert_eq!(
            found,
            ["modules of demo need each other: a -> b, b -> c, c -> a"]
        );
    }

    #[test]
    fn children_stand_for_their_parent_among_its_siblings() {
        let found = faults(&krate(&[
            ("", ""),
            ("a", "use self::x::X;"),
            ("a::x", "use super::super::b::B; pub struct X;"),
            ("b", "fn f() { crate::a::go() } pub struct B;"),
        ]));
        assert_eq!(found, ["modules of demo need each other: a -> b, b -> a"]);
    }

    #[test]
    fn a_parent_and_its_child_may_name_each_other() {
        let found = faults(&krate(&[
            ("", ""),
            ("a", "mod x; use x::X; pub struct A(X);"),
            ("a::x", "use super::A; pub struct X(Box<A>);"),
        ]));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn what_only_tests_name_does_not_count() {
        let found = faults(&krate(&[
            ("", ""),
            ("a", "use crate::b::B; pub struct A(B);"),
            (
                "b",
                "pub struct B; impl B { #[cfg(test)] fn f() { crate::a::go() } }",
            ),
        ]));
        assert_eq!(found, Vec::<String>::new());
    }
}
