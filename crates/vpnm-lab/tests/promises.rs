//! What docs/promises.md calls a proof is there.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    const PROMISES: usize = 20;
    const WEAKNESSES: usize = 28;

    fn docs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
    }

    fn page() -> String {
        std::fs::read_to_string(docs().join("promises.md")).expect("the page")
    }

    /// Each proof of a line: its name, and the file that the name links to.
    fn proofs<'a>(line: &'a str) -> Vec<(&'a str, &'a str)> {
        let proof = |rest: &'a str| {
            let (name, rest) = rest.split_once("`](")?;
            let (path, _) = rest.split_once(')')?;
            Some((name, path))
        };
        line.split("[`").skip(1).filter_map(proof).collect()
    }

    /// A test of the standard harness, a case of the lab's, or a row of the matrix.
    fn is_in(text: &str, name: &str) -> bool {
        match name.strip_prefix("row ") {
            Some(number) => text.contains(&format!("number: {number},")),
            None => text.contains(&format!("fn {name}(")) || text.contains(&format!("\"{name}\"")),
        }
    }

    #[test]
    fn every_proof_is_where_the_page_says() {
        let page = page();
        let mut count = 0;
        for (name, path) in page.lines().flat_map(proofs) {
            let text = std::fs::read_to_string(docs().join(path));
            let text = text.unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(is_in(&text, name), "{name} is not in {path}");
            count += 1;
        }
        assert!(count > 80, "{count}");
    }

    #[test]
    fn every_promise_has_a_proof_or_says_that_it_is_not_kept() {
        let page = page();
        for number in 1..=PROMISES {
            let start = format!("| P{number} |");
            let line = page.lines().find(|line| line.starts_with(&start));
            let line = line.unwrap_or_else(|| panic!("nothing about P{number}"));
            assert!(
                !proofs(line).is_empty() || line.contains("not built"),
                "P{number}"
            );
        }
    }

    #[test]
    fn every_weakness_has_an_answer() {
        let page = page();
        for number in 1..=WEAKNESSES {
            let start = format!("| W{number} |");
            let lines = page.lines().filter(|line| line.starts_with(&start));
            assert_eq!(lines.count(), 1, "W{number}");
        }
    }

    #[test]
    fn a_name_that_is_nowhere_is_noticed() {
        let text = "fn a_test() {} \"a case\" number: 7,";
        for name in ["a_test", "a case", "row 7"] {
            assert!(is_in(text, name), "{name}");
        }
        for name in ["a_tes", "case", "row 70", "test"] {
            assert!(!is_in(text, name), "{name}");
        }
    }
}
