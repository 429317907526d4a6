//! The full name of a method.

use std::fmt;
use std::str::FromStr;

use crate::sync::bounded::{Id, Name};

/// Whose method, and which: `<id>:<method>` on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The machine's or session's id.
    pub id: Id,
    /// The method's own name.
    pub method: Name,
}

/// A text that is no full method name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a method is named <machine or session id>:<method>")]
pub struct BadAddress;

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.id, self.method)
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    /// Splits at the first colon: ids have none.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let (id, method) = text.split_once(':').ok_or(BadAddress)?;
        if id.is_empty() || method.is_empty() {
            return Err(BadAddress);
        }
        Ok(Self {
            id: Id::new(id).map_err(|_| BadAddress)?,
            method: Name::new(method).map_err(|_| BadAddress)?,
        })
    }
}
