//! The nearest known word to a mistyped one.

/// The candidate that `typed` was probably meant to be.
///
/// Nearest by edit distance, where two neighbours swapped count once; at most
/// a third of the word may differ, and at least one letter may. The first of
/// equals wins. A word that begins a single candidate stands for it.
pub(super) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let mut starting = candidates
        .iter()
        .filter(|candidate| typed.len() >= 2 && candidate.starts_with(typed));
    if let (Some(only), None) = (starting.next(), starting.next()) {
        return Some(only);
    }
    let allowed = (typed.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(typed, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The number of insertions, deletions, substitutions and swaps of neighbours
/// that make `b` out of `a` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut older: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX);
            let substitute = at(&previous, j) + usize::from(letter != other);
            let mut best = substitute
                .min(at(&previous, j + 1) + 1)
                .min(at(&row, j) + 1);
            let swapped = i > 0
                && j > 0
                && a.get(i - 1) == Some(other)
                && b.get(j - 1) == Some(letter)
                && letter != other;
            if swapped {
                best = best.min(at(&older, j - 1) + 1);
            }
            row.push(best);
        }
        older = std::mem::replace(&mut previous, row);
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    const WORDS: [&str; 5] = ["connect", "disconnect", "status", "reconnect", "demo"];

    #[test]
    fn distances() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("statsu", "status"), 1);
    }

    #[test]
    fn a_slip_finds_its_word() {
        assert_eq!(nearest("conect", WORDS), Some("connect"));
        assert_eq!(nearest("stauts", WORDS), Some("status"));
        assert_eq!(nearest("dmeo", WORDS), Some("demo"));
    }

    #[test]
    fn a_beginning_of_one_word_finds_it() {
        assert_eq!(nearest("disc", WORDS), Some("disconnect"));
    }

    #[test]
    fn another_word_finds_nothing() {
        assert_eq!(nearest("upgrade", WORDS), None);
        assert_eq!(nearest("", WORDS), None);
    }
}
