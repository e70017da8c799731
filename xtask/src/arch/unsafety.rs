//! Unsafe code stands in modules called `sys` and nowhere else.

use syn::visit::{self, Visit};

use super::source::Crate;

/// Unsafe code elsewhere.
pub(super) fn faults(krate: &Crate) -> Vec<String> {
    let mut faults = Vec::new();
    for module in &krate.modules {
        if module.path.iter().any(|name| name == "sys") {
            continue;
        }
        let mut unsafety = Unsafety::default();
        for item in &module.items {
            unsafety.visit_item(item);
        }
        for line in unsafety.lines {
            faults.push(format!(
                "{}:{line}: unsafe code outside a sys module",
                module.file.display()
            ));
        }
    }
    faults
}

#[derive(Default)]
struct Unsafety {
    lines: Vec<usize>,
}

impl<'ast> Visit<'ast> for Unsafety {
    fn visit_expr_unsafe(&mut self, expression: &'ast syn::ExprUnsafe) {
        self.lines.push(expression.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, expression);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.lines
            .extend(item.unsafety.map(|token| token.span.start().line));
        visit::visit_item_impl(self, item);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let syn::Safety::Unsafe(token) = &signature.safety {
            self.lines.push(token.span.start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.lines.push(item.abi.extern_token.span.start().line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_unsafe_code_is_found() {
        let source = "unsafe fn a() {}\nunsafe impl Send for A {}\nfn b() { unsafe { c() } }\n\
                      unsafe extern \"C\" { fn d(); }\nfn e() {}";
        let mut unsafety = Unsafety::default();
        unsafety.visit_file(&syn::parse_file(source).unwrap());
        assert_eq!(unsafety.lines, [1, 2, 3, 4]);
    }
}
