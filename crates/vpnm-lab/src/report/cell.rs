//! Combinations tried against servers of others.

use serde::Serialize;

/// One combination tried against a server of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The proxy protocol.
    pub protocol: &'static str,
    /// What carried it.
    pub transport: &'static str,
    /// What protected it.
    pub security: &'static str,
    /// The other program.
    pub peer: &'static str,
    /// What the other program was.
    pub role: &'static str,
    /// Whether everything worked.
    pub ok: bool,
    /// Why not; empty if it did.
    pub why: String,
}

/// The object for machines: `{"cells": [...]}`.
///
/// # Errors
///
/// None that can occur: every field has a JSON form.
pub fn cells(cells: &[Cell]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        cells: &'a [Cell],
    }
    serde_json::to_string(&Report { cells })
}
