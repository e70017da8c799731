//! The rules of text.

use std::path::{Component, Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::output;
use crate::run;
use crate::workspace::Workspace;

/// Longest subject of a commit, in characters.
const SUBJECT: usize = 72;

/// Marks of work that is not finished. Written in two halves, so that this
/// file passes its own check.
const UNFINISHED: [(&str, &str); 5] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("todo", "!("),
    ("unimplemented", "!("),
    ("#[ign", "ore"),
];

/// Checks every text file of the workspace and the subjects of its commits.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut faults = Vec::new();
    let files = workspace.files()?;
    let mut read = 0;
    for file in &files {
        let bytes = std::fs::read(workspace.root().join(file))
            .with_context(|| file.display().to_string())?;
        // What is no text (a corpus, a picture) has no rules.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        read += 1;
        faults.extend(check_file(workspace.root(), file, &text));
    }
    faults.extend(commit_subjects(workspace)?);
    if !faults.is_empty() {
        bail!("{} faults of text:\n{}", faults.len(), faults.join("\n"));
    }
    output::line(&format!("{read} files of text"));
    Ok(())
}

fn check_file(root: &Path, file: &Path, text: &str) -> Vec<String> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    let is_source = matches!(extension, Some("rs" | "toml" | "md" | "sh" | "yml"));
    if !is_source {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let mut fault = |line: usize, what: &str| {
        faults.push(format!("{}:{}: {what}", file.display(), line + 1));
    };
    for (number, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            fault(number, "space at the end of the line");
        }
        if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
            fault(number, "a merge that is not finished");
        }
        if line.chars().any(is_bidi_control) {
            fault(number, "a character that reorders what is read");
        }
        if extension == Some("rs") {
            for (head, tail) in UNFINISHED {
                if line.contains(&format!("{head}{tail}")) {
                    fault(number, &format!("unfinished: {head}{tail}"));
                }
            }
        }
        if extension == Some("md") {
            for link in links(line) {
                if !resolves(root, file, link) {
                    fault(number, &format!("nothing is at {link}"));
                }
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        fault(text.lines().count(), "no line feed at the end of the file");
    }
    faults
}

/// Unicode bidirectional controls: they make code read as what it is not.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The targets of the Markdown links of a line, without their fragments.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        target.split('#').next()
    })
}

fn resolves(root: &Path, file: &Path, link: &str) -> bool {
    if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
        return true;
    }
    let base = file.parent().unwrap_or_else(|| Path::new(""));
    let mut path = PathBuf::new();
    for part in base.join(link).components() {
        match part {
            Component::ParentDir => {
                if !path.pop() {
                    return false;
                }
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    root.join(path).exists()
}

/// What is wrong with the subjects of the commits.
fn commit_subjects(workspace: &Workspace) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(workspace.root())
        .args(["log", "--no-merges", "--format=%h %s"]);
    let log = run::read(&mut git)?;
    let mut faults = Vec::new();
    for line in log.lines() {
        let Some((id, subject)) = line.split_once(' ') else {
            continue;
        };
        let Some(fault) = subject_fault(subject) else {
            continue;
        };
        faults.push(format!("commit {id}: {fault}: {subject}"));
    }
    Ok(faults)
}

fn subject_fault(subject: &str) -> Option<&'static str> {
    if subject.chars().count() > SUBJECT {
        return Some("more than 72 characters");
    }
    let Some((area, what)) = subject.split_once(": ") else {
        return Some("no \"area: \" at the beginning");
    };
    let is_area = !area.is_empty()
        && area
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_,./ ".contains(c));
    if !is_area {
        return Some("the area is no name");
    }
    if what.ends_with('.') {
        return Some("a full stop at the end");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        assert_eq!(subject_fault("host: add the plan of routes"), None);
        assert!(subject_fault("add the plan of routes").is_some());
        assert!(subject_fault("host: add the plan of routes.").is_some());
        assert!(subject_fault(&format!("host: {}", "x".repeat(70))).is_some());
    }

    #[test]
    fn links_are_found_and_followed() {
        let line = "see [a](src/text.rs#L1), [b](https://example.org) and [c](no.md)";
        let found: Vec<&str> = links(line).collect();
        assert_eq!(found, ["src/text.rs", "https://example.org", "no.md"]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = Path::new("docs/x.md");
        assert!(resolves(root, file, "../src/text.rs"));
        assert!(!resolves(root, file, "../no.md"));
        assert!(!resolves(root, file, "../../xtask/src/text.rs"));
    }

    #[test]
    fn a_file_is_read_line_by_line() {
        let text = format!("a \n// {}{}\nb", "TO", "DO");
        let faults = check_file(Path::new("/"), Path::new("x.rs"), &text);
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(check_file(Path::new("/"), Path::new("x.rs"), "fine\n").is_empty());
    }
}
