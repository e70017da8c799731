//! Documentation in the interface's text.

/// `# line` for each line of documentation.
pub(super) fn comment(text: &mut String, docs: &str) {
    for line in docs.lines() {
        text.push_str(format!("# {line}").trim_end());
        text.push('\n');
    }
}
