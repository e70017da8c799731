//! What was tried and how it went, as a table.

use std::fmt;

use crate::cell::Cell;

/// The name of a check, and what it found or why it failed.
type Outcome = (&'static str, Result<String, String>);

pub(crate) struct Report {
    peer: &'static str,
    rows: Vec<(String, Vec<Outcome>)>,
}

impl Report {
    pub(crate) fn new(peer: &'static str) -> Self {
        Self {
            peer,
            rows: Vec::new(),
        }
    }

    pub(crate) fn note(
        &mut self,
        cell: &Cell,
        check: &'static str,
        outcome: Result<String, String>,
    ) {
        let name = cell.to_string();
        if self.rows.last().is_none_or(|(last, _)| *last != name) {
            self.rows.push((name, Vec::new()));
        }
        self.rows.last_mut().unwrap().1.push((check, outcome));
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.rows
            .iter()
            .all(|(_, row)| row.iter().all(|(_, outcome)| outcome.is_ok()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "our client, {} as the server", self.peer)?;
        for (cell, row) in &self.rows {
            write!(f, "  {cell:28}")?;
            for (check, outcome) in row {
                match outcome {
                    Ok(detail) if detail.is_empty() => write!(f, " {check}")?,
                    Ok(detail) => write!(f, " {check}({detail})")?,
                    Err(_) => write!(f, " {}!", check.to_uppercase())?,
                }
            }
            writeln!(f)?;
            for (check, outcome) in row {
                if let Err(why) = outcome {
                    writeln!(f, "      {check}: {why}")?;
                }
            }
        }
        Ok(())
    }
}
