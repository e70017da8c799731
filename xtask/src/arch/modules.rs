//! Which module of a crate names which other.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{ImplItemFn, Item, ItemFn, UseTree, Visibility};

use super::source::{Crate, Module, is_for_tests, names};

/// A module's place in [`Crate::modules`].
pub(super) type Place = usize;

/// The names of a crate, as far as it takes to follow a path.
pub(super) struct Names<'a> {
    by_path: BTreeMap<&'a [String], Place>,
    /// What a module names so that others may use it: the name and its path.
    exports: Vec<BTreeMap<String, Vec<String>>>,
    /// The modules whose every name a module exports.
    globs: Vec<Vec<Vec<String>>>,
    /// What a module defines.
    items: Vec<BTreeSet<String>>,
}

/// How often an export may name another export.
const HOPS: usize = 8;

impl<'a> Names<'a> {
    pub(super) fn of(krate: &'a Crate) -> Self {
        let mut names = Self {
            by_path: BTreeMap::new(),
            exports: Vec::new(),
            globs: Vec::new(),
            items: Vec::new(),
        };
        for (place, module) in krate.modules.iter().enumerate() {
            names.by_path.insert(&module.path, place);
            names
                .items
                .push(module.items.iter().filter_map(defined).collect());
        }
        for module in &krate.modules {
            let mut exports = BTreeMap::new();
            let mut globs = Vec::new();
            for item in &module.items {
                if let Item::Use(item) = item
                    && !matches!(item.vis, Visibility::Inherited)
                {
                    for (path, name) in flatten(&item.tree) {
                        let path = names.absolute(module, &path);
                        match (path, name) {
                            (Some(path), Some(name)) => drop(exports.insert(name, path)),
                            (Some(path), None) => globs.push(path),
                            (None, _) => {}
                        }
                    }
                }
            }
            names.exports.push(exports);
            names.globs.push(globs);
        }
        names
    }

    /// The modules that `module` names, in its `use` lines and elsewhere.
    pub(super) fn named_by(&self, module: &Module) -> BTreeSet<Place> {
        let mut paths = Paths::default();
        for item in &module.items {
            paths.visit_item(item);
        }
        paths
            .found
            .iter()
            .filter_map(|path| self.absolute(module, path))
            .map(|path| self.resolve(&path, HOPS))
            .collect()
    }

    /// `path` as it stands in `module`, from the root; `None` if it leads out
    /// of the crate.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.path.clone(),
            "super" => {
                let (_, parent) = module.path.split_last()?;
                parent.to_vec()
            }
            child => {
                let mut path = module.path.clone();
                path.push(child.to_owned());
                return self.by_path.contains_key(path.as_slice()).then(|| {
                    path.extend_from_slice(rest);
                    path
                });
            }
        };
        let ups = rest.iter().take_while(|name| *name == "super").count();
        base.truncate(base.len().saturating_sub(ups));
        base.extend(rest.iter().skip(ups).cloned());
        Some(base)
    }

    /// The module in which the last name of `path` is defined.
    fn resolve(&self, path: &[String], hops: usize) -> Place {
        let mut place = 0;
        for (depth, name) in path.iter().enumerate() {
            let (walked, rest) = path.split_at(depth + 1);
            if let Some(child) = self.by_path.get(walked) {
                place = *child;
                continue;
            }
            let target = self.exported(place, name).filter(|_| hops > 0);
            return target.map_or(place, |mut target| {
                target.extend_from_slice(rest);
                self.resolve(&target, hops - 1)
            });
        }
        place
    }

    /// The path of what `place` exports as `name`.
    fn exported(&self, place: Place, name: &str) -> Option<Vec<String>> {
        if let Some(path) = self.exports.get(place).and_then(|known| known.get(name)) {
            return Some(path.clone());
        }
        self.globs.get(place)?.iter().find_map(|glob| {
            let source = self.by_path.get(glob.as_slice())?;
            let known = self.items.get(*source)?.contains(name)
                || self.exports.get(*source)?.contains_key(name);
            known.then(|| [glob.as_slice(), &[name.to_owned()]].concat())
        })
    }
}

/// The paths of a `use` tree and the names they get; a glob gets none.
fn flatten(tree: &UseTree) -> Vec<(Vec<String>, Option<String>)> {
    match tree {
        UseTree::Path(path) => flatten(&path.tree)
            .into_iter()
            .map(|(mut rest, name)| {
                rest.insert(0, path.ident.to_string());
                (rest, name)
            })
            .collect(),
        UseTree::Name(name) if name.ident == "self" => vec![(Vec::new(), None)],
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            vec![(vec![name.clone()], Some(name))]
        }
        UseTree::Rename(rename) => {
            vec![(
                vec![rename.ident.to_string()],
                Some(rename.rename.to_string()),
            )]
        }
        UseTree::Glob(_) => vec![(Vec::new(), None)],
        UseTree::Group(group) => group.items.iter().flat_map(flatten).collect(),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enumeration is open; what has no name of its own defines none"
)]
fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Every path of more than one name.
#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.found
            .extend(flatten(&item.tree).into_iter().map(|(path, _)| path));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = names(path);
        if names.len() > 1 {
            self.found.push(names);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}
