//! The link in a pairing QR code: `happy://terminal?<base64url public key>` and its relatives.

use std::fmt;
use std::str::FromStr;

/// What is paired: a machine with an account, or a second device with the same account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offer {
    /// `…://terminal?`: a machine.
    Machine,
    /// `…:///account?`: another device of the account.
    Account,
}

/// Whose app should open the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `happy:`
    Happy,
    /// `delight:`
    Delight,
}

/// A pairing link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairingLink {
    /// Whose app.
    pub scheme: Scheme,
    /// What for.
    pub offer: Offer,
    /// The offer's X25519 public key: 43 characters of unpadded base64url.
    key: String,
}

/// A text that is no pairing link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a pairing link: expected happy://terminal?KEY or delight://terminal?KEY with 43 characters of base64url"
)]
pub struct NotAPairingLink;

impl PairingLink {
    /// The link of a public key in unpadded base64url.
    ///
    /// # Errors
    /// [`NotAPairingLink`] when the key is not 43 such characters.
    pub fn new(scheme: Scheme, offer: Offer, key: &str) -> Result<Self, NotAPairingLink> {
        let url_safe = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if key.len() == 43 && key.bytes().all(url_safe) {
            Ok(Self { scheme, offer, key: key.to_owned() })
        } else {
            Err(NotAPairingLink)
        }
    }

    /// The public key in unpadded base64url.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

const PREFIXES: [(Scheme, Offer, &str); 4] = [
    (Scheme::Happy, Offer::Machine, "happy://terminal?"),
    (Scheme::Happy, Offer::Account, "happy:///account?"),
    (Scheme::Delight, Offer::Machine, "delight://terminal?"),
    (Scheme::Delight, Offer::Account, "delight:///account?"),
];

impl fmt::Display for PairingLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix =
            PREFIXES.iter().find(|(scheme, offer, _)| (*scheme, *offer) == (self.scheme, self.offer));
        write!(f, "{}{}", prefix.map_or("", |(_, _, prefix)| prefix), self.key)
    }
}

impl FromStr for PairingLink {
    type Err = NotAPairingLink;

    fn from_str(text: &str) -> Result<Self, NotAPairingLink> {
        let text = text.trim();
        let found = PREFIXES.iter().find_map(|(scheme, offer, prefix)| {
            text.strip_prefix(prefix).map(|key| (*scheme, *offer, key.trim_end_matches('=')))
        });
        let (scheme, offer, key) = found.ok_or(NotAPairingLink)?;
        Self::new(scheme, offer, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_as_they_are_written() {
        let key = "eaYx7t4b-cmPEgMs3q3Q56B5OY_HhriMyEbsia-FpRo";
        for (scheme, offer, prefix) in PREFIXES {
            let link = PairingLink::new(scheme, offer, key).unwrap();
            assert_eq!(link.to_string(), format!("{prefix}{key}"));
            assert_eq!(format!(" {link}=\n").parse(), Ok(link));
        }
        for bad in ["", "happy://terminal?", "http://terminal?x", "happy://terminal?../../etc/passwd"] {
            assert_eq!(bad.parse::<PairingLink>(), Err(NotAPairingLink), "{bad}");
        }
    }
}
