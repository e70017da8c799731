//! How long an answer took, as people read it.

/// `milliseconds` in words; what took less than one is not said to have taken none.
pub(crate) fn latency(milliseconds: u64) -> String {
    match milliseconds {
        0 => "less than 1 ms".to_owned(),
        taken => format!("{taken} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::latency;

    #[test]
    fn nothing_takes_no_time() {
        assert_eq!(latency(0), "less than 1 ms");
        assert_eq!(latency(23), "23 ms");
    }
}
