//! The source of a crate, module by module, without its tests.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use syn::{Attribute, Item, Meta};

/// A crate's library, or its binary if it has no library.
#[derive(Debug)]
pub(super) struct Crate {
    pub(super) name: String,
    /// Every module, the root first.
    pub(super) modules: Vec<Module>,
}

/// A module and what stands in it.
#[derive(Debug)]
pub(super) struct Module {
    /// The names from the root, which itself has none.
    pub(super) path: Vec<String>,
    pub(super) file: PathBuf,
    /// Its items, without modules and without what is compiled for tests only.
    pub(super) items: Vec<Item>,
}

impl Crate {
    /// Reads the crate in `directory`.
    pub(super) fn read(name: &str, directory: &Path) -> Result<Self> {
        let source = directory.join("src");
        let root = ["lib.rs", "main.rs"]
            .map(|file| source.join(file))
            .into_iter()
            .find(|file| file.is_file())
            .with_context(|| format!("{name} has neither lib.rs nor main.rs"))?;
        let mut krate = Self {
            name: name.to_owned(),
            modules: Vec::new(),
        };
        krate.read_file(Vec::new(), root, &source)?;
        Ok(krate)
    }

    /// Reads a module's file; `children` is where its submodules' files are.
    fn read_file(&mut self, path: Vec<String>, file: PathBuf, children: &Path) -> Result<()> {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        self.read_items(path, file, children, parsed.items)
    }

    fn read_items(
        &mut self,
        path: Vec<String>,
        file: PathBuf,
        children: &Path,
        items: Vec<Item>,
    ) -> Result<()> {
        let place = self.modules.len();
        self.modules.push(Module {
            path: path.clone(),
            file: file.clone(),
            items: Vec::new(),
        });
        let mut own = Vec::new();
        for item in items {
            if is_for_tests(attributes(&item)) {
                continue;
            }
            let Item::Mod(module) = item else {
                own.push(item);
                continue;
            };
            let name = module.ident.to_string();
            let mut path = path.clone();
            path.push(name.clone());
            let below = children.join(&name);
            match module.content {
                Some((_, items)) => self.read_items(path, file.clone(), &below, items)?,
                None => {
                    let file = [children.join(format!("{name}.rs")), below.join("mod.rs")]
                        .into_iter()
                        .find(|file| file.is_file())
                        .with_context(|| {
                            format!("the file of module {name} in {}", file.display())
                        })?;
                    self.read_file(path, file, &below)?;
                }
            }
        }
        if let Some(module) = self.modules.get_mut(place) {
            module.items = own;
        }
        Ok(())
    }
}

impl Module {
    /// The path as it is written in code.
    pub(super) fn name(&self) -> String {
        if self.path.is_empty() {
            "crate".to_owned()
        } else {
            self.path.join("::")
        }
    }
}

/// Whether something is compiled for tests only.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        let Meta::List(list) = &attribute.meta else {
            return false;
        };
        attribute.path().is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

/// The names that a path consists of.
pub(super) fn names(path: &syn::Path) -> Vec<String> {
    let names = path.segments.iter();
    names.map(|segment| segment.ident.to_string()).collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enumeration is open; what is not known has no attributes to look at"
)]
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
