//! The corpora of the fuzz targets, replayed with mutations by ordinary tests.

use std::fs;
use std::path::Path;

/// Mutants made of each file.
const MUTANTS: usize = 200;

/// Offers every file of a corpus to a parser, and mutants of it.
pub(crate) fn replay(corpus: &str, mut parse: impl FnMut(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/proxy/corpus");
    let directory = root.join(corpus);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    let mut random = fastrand::Rng::with_seed(3);
    for file in files {
        let bytes = fs::read(file).unwrap();
        parse(&bytes);
        for _ in 0..MUTANTS {
            parse(&mutant(&bytes, &mut random));
        }
    }
}

fn mutant(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(..=bytes.len());
        match random.u8(..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            1 if at < bytes.len() => bytes[at] = random.u8(..),
            2 => bytes.insert(at, random.u8(..)),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}
