//! Pure code has no clock, no randomness, no sockets and no runtime.

use syn::visit::{self, Visit};

use super::source::{Crate, is_for_tests, names};

/// Pure crates, and pure modules of crates that have a shell as well.
const PURE: &[(&str, &[&str])] = &[
    ("vpnm-wire", &[]),
    ("vpnm-profile", &[]),
    ("vpnm-netstack", &[]),
    ("vpnm-dns", &[]),
    ("vpnm-api", &[]),
    ("vpnm-daemon", &["tsm"]),
    ("vpnm-host", &["plan"]),
];

/// The beginnings of paths that lead to the world outside.
const BANNED: &[&[&str]] = &[
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["fastrand"],
    &["getrandom"],
    &["libc"],
    &["rand"],
    &["rustix"],
    &["std", "env"],
    &["std", "fs"],
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "net", "UdpSocket"],
    &["std", "os", "linux"],
    &["std", "os", "unix"],
    &["std", "process"],
    &["std", "sync", "mpsc"],
    &["std", "thread"],
    &["std", "time", "Instant", "now"],
    &["std", "time", "SystemTime", "now"],
    &["tokio"],
];

/// Everything impure that pure code names.
pub(super) fn faults(krate: &Crate) -> Vec<String> {
    let Some((_, modules)) = PURE.iter().find(|(name, _)| *name == krate.name) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for module in &krate.modules {
        let is_pure = modules.is_empty()
            || module
                .path
                .first()
                .is_some_and(|first| modules.contains(&first.as_str()));
        if !is_pure {
            continue;
        }
        let mut impurities = Impurities::default();
        for item in &module.items {
            impurities.visit_item(item);
        }
        for path in impurities.found {
            faults.push(format!(
                "{} {} is pure and may not use {path}",
                krate.name,
                module.name()
            ));
        }
    }
    faults
}

#[derive(Default)]
struct Impurities {
    found: Vec<String>,
}

impl Impurities {
    fn look(&mut self, path: &[String]) {
        let is_banned = BANNED.iter().any(|banned| {
            banned.len() <= path.len() && banned.iter().zip(path).all(|(a, b)| a == b)
        });
        if is_banned {
            self.found.push(path.join("::"));
        }
    }

    fn walk(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| {
            let mut path = before.to_vec();
            path.push(name.to_string());
            path
        };
        match tree {
            syn::UseTree::Path(path) => self.walk(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.look(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.look(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.look(before),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.walk(tree, before);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Impurities {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.walk(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = names(path);
        if names.len() > 1 {
            self.look(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn impurities(source: &str) -> Vec<String> {
        let mut impurities = Impurities::default();
        impurities.visit_file(&syn::parse_file(source).unwrap());
        impurities.found
    }

    #[test]
    fn clocks_and_sockets_are_found_wherever_they_are_named() {
        assert_eq!(
            impurities("use std::time::Instant; fn f() -> Instant { Instant::now() }"),
            ["Instant::now"]
        );
        assert_eq!(
            impurities("use std::{net::{IpAddr, UdpSocket}, fmt}; use tokio::io;"),
            ["std::net::UdpSocket", "tokio::io"]
        );
    }

    #[test]
    fn addresses_and_instants_as_values_are_pure() {
        assert!(impurities("use std::net::IpAddr; fn f(now: std::time::Instant) {}").is_empty());
    }
}
