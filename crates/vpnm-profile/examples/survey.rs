//! How many of the share links in a file are understood, and why the others are not.
//!
//! `cargo run -p vpnm-profile --example survey -- FILE`, one link a line.

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::collections::BTreeMap;
use std::{env, error::Error, fs};

use vpnm_profile::{Link, LinkError};

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("usage: survey FILE")?;
    let text = String::from_utf8_lossy(&fs::read(file)?).into_owned();
    let mut read: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let scheme = line.split("://").next().unwrap_or_default();
        let (all, good) = read.entry(scheme).or_default();
        *all += 1;
        match line.parse::<Link>() {
            Ok(link) => {
                *good += 1;
                if link.profile.to_link().parse() != Ok(link.profile) {
                    return Err(format!("not read back as written: {line}").into());
                }
            }
            Err(error) => *reasons.entry(reason(&error)).or_default() += 1,
        }
    }
    for (scheme, (all, good)) in read {
        println!("{good:6} of {all:6}  {scheme}");
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons {
        println!("{count:6}  {reason}");
    }
    Ok(())
}

/// The message without what is special to one link.
fn reason(error: &LinkError) -> String {
    if matches!(error, LinkError::Scheme(_)) {
        return "another protocol".into();
    }
    error.to_string()
}
