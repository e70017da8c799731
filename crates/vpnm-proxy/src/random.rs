//! Randomness for the transports; the codecs take theirs as an argument.

/// Random bytes fit for secrets.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("invariant: the generator never fails once seeded");
    bytes
}
