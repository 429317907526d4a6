//! Names for things: session ids, session names, holder identities.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Characters of a session id: Crockford's base32 in lower case (no `i`, `l`, `o`, `u`).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A session's identity: 16 characters of lower-case base32, 80 random bits.
///
/// It is random from the first character on, so a short prefix tells sessions apart, and it holds nothing but
/// `[0-9a-z]`, so it may name a directory or a socket without quoting. Parsing accepts exactly that form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
pub struct SessionId([u8; SessionId::LEN]);

impl SessionId {
    /// Length in characters.
    pub const LEN: usize = 16;

    /// Makes an id of 10 bytes of randomness, which the caller supplies: this crate has no source of its own.
    #[must_use]
    pub fn from_random(bytes: [u8; 10]) -> Self {
        let mut out = [0u8; Self::LEN];
        let mut acc: u32 = 0;
        let mut bits = 0u32;
        let mut at = 0;
        for byte in bytes {
            acc = (acc << 8) | u32::from(byte);
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                out[at] = ALPHABET[((acc >> bits) & 31) as usize];
                at += 1;
            }
        }
        Self(out)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only `from_random` and `from_str` build one, and both write ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The first eight characters: what lists show.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.as_str()[..8]
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not what it should name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Not 16 characters of lower-case base32.
    #[error("a session id is 16 characters of 0-9 a-z (without i, l, o, u); got {0:?}")]
    SessionId(String),
    /// Not a session name.
    #[error(
        "a session name is 1 to 64 characters of A-Z a-z 0-9 . _ - and starts with a letter or digit; got {0:?}"
    )]
    SessionName(String),
    /// Not a request id.
    #[error("a request id is 1 to 128 printable ASCII characters without blanks; got {0:?}")]
    RequestId(String),
    /// Not a message id.
    #[error("a message id is 1 to 128 printable ASCII characters without blanks; got {0:?}")]
    LocalId(String),
    /// Not a permission id.
    #[error("a permission id is 1 to 256 printable ASCII characters without blanks; got {0:?}")]
    PermissionId(String),
    /// Not a conversation id.
    #[error(
        "a conversation id is 1 to 256 printable ASCII characters without blanks and does not start with -; got {0:?}"
    )]
    ConversationId(String),
}

/// At most 80 characters of a refused text are worth repeating.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

impl FromStr for SessionId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName::SessionId(excerpt(text));
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().map_err(|_| bad())?;
        if bytes.iter().all(|b| ALPHABET.contains(b)) { Ok(Self(bytes)) } else { Err(bad()) }
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $error:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                let check: fn(&str) -> bool = $check;
                if check(&text) { Ok(Self(text)) } else { Err(BadName::$error(excerpt(&text))) }
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

checked_text!(
    /// A name a person gave a session: 1 to 64 characters of `[A-Za-z0-9._-]`, first a letter or digit.
    SessionName,
    SessionName,
    |text| {
        (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }
);

checked_text!(
    /// A caller's idempotency key: the same key again means the same request, not a second one.
    RequestId,
    RequestId,
    |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

checked_text!(
    /// A sender's id of a message: the same id again means the same message. 1 to 128 printable ASCII characters.
    LocalId,
    LocalId,
    |text| (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

checked_text!(
    /// An agent's id of a permission request. 1 to 256 printable ASCII characters.
    PermissionId,
    PermissionId,
    |text| (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
);

checked_text!(
    /// An agent's own id of a conversation. 1 to 256 printable ASCII characters, the first no `-`: it is given to
    /// agents as an argument.
    ConversationId,
    ConversationId,
    |text| (1..=256).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic())
        && !text.starts_with('-')
);

/// An agent whose conversations have no names of their own gets the session's: it fits.
impl From<SessionId> for ConversationId {
    fn from(id: SessionId) -> Self {
        Self(id.as_str().to_owned())
    }
}

/// Which process a pid means: the pid alone is reused by the kernel, the three together are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProcessIdentity {
    /// Process id in the namespace of the daemon.
    pub pid: u32,
    /// Start time as the kernel counts it: on Linux, clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_time: u64,
    /// The boot this pid belongs to (`/proc/sys/kernel/random/boot_id`). A pid of another boot is never signalled.
    pub boot_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_fixed_width_and_parse_back() {
        for bytes in [[0u8; 10], [0xff; 10], *b"0123456789"] {
            let id = SessionId::from_random(bytes);
            assert_eq!(id.as_str().len(), SessionId::LEN);
            assert_eq!(id.as_str().parse::<SessionId>(), Ok(id));
        }
        assert_ne!(SessionId::from_random([1; 10]), SessionId::from_random([2; 10]));
    }

    #[test]
    fn ids_that_could_escape_a_directory_are_refused() {
        for text in [
            "",
            "../../etc/passwd",
            "0123456789abcde",
            "0123456789ABCDEF",
            "0123456789abcdei",
            "0123456789abcde/",
        ] {
            assert!(text.parse::<SessionId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_start_with_a_letter_or_digit() {
        for good in ["a", "build-1", "web.api_2", "7"] {
            assert!(good.parse::<SessionName>().is_ok(), "{good:?}");
        }
        for bad in ["", "-x", "@last", ".hidden", "a b", "a/b", "é"] {
            assert!(bad.parse::<SessionName>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(65).parse::<SessionName>().is_err());
    }
}
