//! The keys and values of a link, whichever way they were written.

use super::error::{Ignored, LinkError, Reason, shown};

/// What a link is made of before any value is looked at.
pub(super) struct Parts {
    pub(super) id: String,
    pub(super) host: String,
    pub(super) port: String,
    pub(super) name: String,
    pub(super) fields: Fields,
}

/// How the keys that mean the same are called in one form of link.
pub(super) struct Dialect {
    pub(super) id: &'static str,
    pub(super) host: &'static str,
    pub(super) port: &'static str,
    pub(super) cipher: &'static str,
    pub(super) transport: &'static str,
    pub(super) header: &'static str,
    pub(super) security: &'static str,
}

impl Dialect {
    pub(super) const URL: Self = Self {
        id: "the id before '@'",
        host: "the server",
        port: "the port",
        cipher: "encryption",
        transport: "type",
        header: "headerType",
        security: "security",
    };
    pub(super) const JSON: Self = Self {
        id: "id",
        host: "add",
        port: "port",
        cipher: "scy",
        transport: "net",
        header: "type",
        security: "tls",
    };
}

/// Keys with their values, in the link's order; a key that is read is taken out.
#[derive(Default)]
pub(super) struct Fields {
    left: Vec<(String, String)>,
    ignored: Vec<Ignored>,
}

impl Fields {
    /// Adds a key; an empty value is the same as none.
    pub(super) fn push(&mut self, key: String, value: String) {
        if !value.is_empty() {
            self.left.push((key, value));
        }
    }

    /// Takes the value of a key.
    pub(super) fn take(&mut self, key: &'static str) -> Result<Option<String>, LinkError> {
        let mut found: Option<String> = None;
        let mut differs = false;
        self.left.retain(|(k, v)| {
            if k != key {
                return true;
            }
            match &found {
                None => found = Some(v.clone()),
                Some(first) => differs |= first != v,
            }
            false
        });
        if differs {
            return Err(LinkError::invalid(key, Reason::Twice));
        }
        Ok(found)
    }

    /// Takes one of a few words: the leading letters, digits, `-`, `_` and `.` in
    /// lower case; what people glue behind it is noted.
    pub(super) fn take_word(&mut self, key: &'static str) -> Result<String, LinkError> {
        let Some(value) = self.take(key)? else {
            return Ok(String::new());
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let word = value.trim().split(|c| !fits(c)).next().unwrap_or_default();
        if word.len() < value.trim().len() {
            self.note(key, "only its first word is read");
        }
        Ok(word.to_ascii_lowercase())
    }

    /// Takes a key that makes no difference and says why.
    pub(super) fn skip(&mut self, key: &'static str, why: &'static str) {
        let before = self.left.len();
        self.left.retain(|(k, _)| k != key);
        if self.left.len() < before {
            self.note(key, why);
        }
    }

    /// Refuses a key that would make a difference, were it understood.
    pub(super) fn refuse(
        &mut self,
        key: &'static str,
        accepted: &'static str,
    ) -> Result<(), LinkError> {
        match self.take(key)? {
            None => Ok(()),
            Some(value) if value.eq_ignore_ascii_case("none") => Ok(()),
            Some(value) => Err(LinkError::unsupported(key, &value, accepted)),
        }
    }

    /// Notes that a key, or a part of its value, was left out of account.
    pub(super) fn note(&mut self, key: &str, why: &'static str) {
        let key = shown(key);
        self.ignored.push(Ignored { key, why });
    }

    /// What was left out of account, with every key that nothing asked for.
    pub(super) fn into_ignored(mut self) -> Vec<Ignored> {
        for (key, _) in std::mem::take(&mut self.left) {
            self.note(&key, Ignored::UNKNOWN);
        }
        self.ignored
    }
}
