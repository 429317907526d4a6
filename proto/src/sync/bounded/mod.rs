//! Texts, lists and maps that refuse to grow, and values that are not shown.

mod collection;
mod text;

pub use self::collection::{Entries, List};
pub use self::text::{Hidden, Id, KeyText, Line, Name, Path, SealedText, Text, Token, TooLong};
