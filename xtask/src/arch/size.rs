//! How long a file and a function may be.

use anyhow::{Context as _, Result};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::source::{Crate, is_for_tests};
use crate::workspace::Workspace;

/// Lines of a file, tests and comments included.
const FILE: usize = 800;
/// Lines of a function, from its name to its closing brace.
const FUNCTION: usize = 100;

/// Files that are too long.
pub(super) fn file_faults(workspace: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in workspace.files()? {
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(workspace.root().join(&file))
            .with_context(|| file.display().to_string())?;
        let lines = text.lines().count();
        if lines > FILE {
            faults.push(format!("{}: {lines} lines, {FILE} at most", file.display()));
        }
    }
    Ok(faults)
}

/// Functions that are too long.
pub(super) fn function_faults(krate: &Crate) -> Vec<String> {
    let mut faults = Vec::new();
    for module in &krate.modules {
        let mut functions = Functions::default();
        for item in &module.items {
            functions.visit_item(item);
        }
        for (name, line, lines) in functions.long {
            faults.push(format!(
                "{}:{line}: {name} has {lines} lines, {FUNCTION} at most",
                module.file.display()
            ));
        }
    }
    faults
}

#[derive(Default)]
struct Functions {
    /// Name, first line, number of lines.
    long: Vec<(String, usize, usize)>,
}

impl Functions {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.span().end().line;
        let lines = last + 1 - first;
        if lines > FUNCTION {
            self.long.push((signature.ident.to_string(), first, lines));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            self.measure(&item.sig, &item.block);
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            self.measure(&item.sig, &item.block);
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_functions(lines: usize) -> usize {
        let source = format!("fn f() {{\n{}}}", "x();\n".repeat(lines - 2));
        let mut functions = Functions::default();
        functions.visit_file(&syn::parse_file(&source).unwrap());
        functions.long.len()
    }

    #[test]
    fn a_hundred_lines_and_no_more() {
        assert_eq!(long_functions(FUNCTION), 0);
        assert_eq!(long_functions(FUNCTION + 1), 1);
    }
}
