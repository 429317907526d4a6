//! What the records of a session's output journal hold.
//!
//! The journal is one log of typed records in the order in which they happened, so times, sizes and generations can
//! never drift apart from the bytes they belong to. Only [`kind::OUTPUT`] and [`kind::LOST`] advance the offset.

use serde::{Deserialize, Serialize};

use super::message::{Exited, Started};
use crate::session::Size;

/// Record kinds of the output journal.
pub mod kind {
    /// Bytes the runner wrote. Advances the offset by their number.
    pub const OUTPUT: u8 = 1;
    /// Bytes about to be written to the runner. Journaled before they are written.
    pub const INPUT: u8 = 2;
    /// JSON [`super::Mark`].
    pub const MARK: u8 = 3;
    /// Output that could not be journaled: advances the offset by the 8-byte little-endian count it holds.
    pub const LOST: u8 = 4;
    /// Bytes the runner wrote to its standard error, where that is not the terminal. Does not advance the offset.
    pub const STDERR: u8 = 5;
}

/// Something that happened between two bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mark", rename_all = "kebab-case")]
pub enum Mark {
    /// A runner started.
    Started(Started),
    /// A runner ended. This record is the exit status's durable home: no byte a program prints can imitate it.
    Exited(Exited),
    /// The terminal has this size from here on.
    Resized {
        /// Size.
        size: Size,
    },
}
