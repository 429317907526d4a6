//! Texts that refuse to grow, and values that are not shown.

use std::fmt;
use std::ops::Deref;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::sync::bounds;

/// A text of at most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

/// An id that a server or a peer chose.
pub type Id = Text<{ bounds::ID }>;
/// A kind, name or mode.
pub type Name = Text<{ bounds::NAME }>;
/// One line for people.
pub type Line = Text<{ bounds::LINE }>;
/// A path.
pub type Path = Text<{ bounds::PATH }>;
/// A key, signature, challenge or sealed key in base64.
pub type KeyText = Text<{ bounds::KEY }>;
/// A bearer token. Never shown.
pub type Token = Hidden<Text<{ bounds::TOKEN }>>;

/// A text longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{got} bytes where at most {most} are allowed")]
pub struct TooLong {
    /// Bytes there are.
    pub got: usize,
    /// Bytes there may be.
    pub most: usize,
}

impl<const MAX: usize> Text<MAX> {
    /// The text, unless it is too long.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        let text = text.into();
        if text.len() > MAX { Err(TooLong { got: text.len(), most: MAX }) } else { Ok(Self(text)) }
    }

    /// The text, cut at a character boundary when it is too long. For texts of ours that people read.
    #[must_use]
    pub fn cut(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.len() > MAX {
            let mut end = MAX;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<const MAX: usize> PartialEq<&str> for Text<MAX> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl<const MAX: usize> TryFrom<&str> for Text<MAX> {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<Self, TooLong> {
        Self::new(text)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<const MAX: usize>;
        impl<const MAX: usize> Visitor<'_> for V<MAX> {
            type Value = Text<MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {MAX} bytes")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Text::new(text).map_err(E::custom)
            }
            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Text::new(text).map_err(E::custom)
            }
        }
        d.deserialize_string(V)
    }
}

/// A value that travels but is never printed: tokens, environments, sealed and opened contents.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden<T>(T);

impl<T> Hidden<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Not for a log.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Hidden<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// A sealed value as the server stores it: base64 of a sealed value, or, from peers that do not seal it, whatever text
/// they store there. Only its length is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedText(Text<{ bounds::SEALED }>);

impl SealedText {
    /// The text, unless it is too long.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn new(text: impl Into<String>) -> Result<Self, TooLong> {
        Text::new(text).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_kept_while_reading() {
        assert!(serde_json::from_str::<Text<4>>(r#""abcd""#).is_ok());
        assert!(serde_json::from_str::<Text<4>>(r#""abcde""#).is_err());
        assert_eq!(Text::<4>::cut("aéé").as_str(), "aé");
    }

    #[test]
    fn hidden_things_stay_hidden() {
        let token: Token = serde_json::from_str(r#""canary""#).unwrap();
        let sealed = SealedText::new("canary").unwrap();
        assert_eq!(format!("{token:?} {sealed:?}"), "(hidden) SealedText(6 bytes)");
        assert_eq!(serde_json::to_string(&token).unwrap(), r#""canary""#);
    }
}
