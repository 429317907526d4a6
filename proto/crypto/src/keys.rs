//! The key types: what they are for, and what all of them must keep.

use std::fmt;

use subtle::ConstantTimeEq;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::base64;
use crate::error::BadKey;
use crate::fresh::Fresh;

/// 32 secret bytes: opaque `Debug`, wiped on drop, compared in constant time, never serialised by accident.
macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key of these bytes. The parameter's own copy is wiped.
            #[must_use]
            pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
                let key = Self(bytes);
                bytes.zeroize();
                key
            }

            /// The key of these bytes, which must be 32.
            ///
            /// # Errors
            /// [`BadKey::Length`].
            pub fn from_slice(bytes: &[u8]) -> Result<Self, BadKey> {
                Ok(Self(*base64::key_of(bytes)?))
            }

            /// The key of a base64 text (standard or url alphabet, padded or not, blanks around it ignored).
            ///
            /// # Errors
            /// [`BadKey`]; the text is not repeated in it.
            pub fn from_base64(text: &str) -> Result<Self, BadKey> {
                Ok(Self(*base64::decode_key(text)?))
            }

            /// A new key of fresh bytes.
            #[must_use]
            pub fn generate(fresh: Fresh<32>) -> Self {
                Self(*fresh.spend())
            }

            /// The bytes. Only for a key file or a seal to its rightful reader; never for a log or an environment.
            #[must_use]
            pub fn expose(&self) -> &[u8; 32] {
                &self.0
            }

            /// The bytes as padded standard base64 (44 characters), for a key file. Wiped on drop.
            #[must_use]
            pub fn expose_base64(&self) -> Zeroizing<String> {
                Zeroizing::new(base64::encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl Eq for $name {}
    };
}

/// 32 public bytes of X25519.
macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key of these bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The key of a base64 text (standard or url alphabet, padded or not).
            ///
            /// # Errors
            /// [`BadKey`].
            pub fn from_base64(text: &str) -> Result<Self, BadKey> {
                Ok(Self(*base64::decode_key(text)?))
            }

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Padded standard base64, as the wire spells it.
            #[must_use]
            pub fn to_base64(&self) -> String {
                base64::encode(&self.0)
            }

            /// Unpadded base64url, as QR codes spell it (43 characters).
            #[must_use]
            pub fn to_base64url(&self) -> String {
                base64::encode_url(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_base64url())
            }
        }
    };
}

pub(crate) use {public_key, secret_key};

secret_key! {
    /// The root of an account. Who has it can read and do everything the account can.
    MasterSecret
}

secret_key! {
    /// The X25519 secret that data keys are wrapped to, derived from the master secret. Held by phones, and by a machine paired with the first form.
    ContentSecret
}

secret_key! {
    /// What seals one session's, or one machine's, content.
    DataKey
}

secret_key! {
    /// The seed of the account's Ed25519 key; see [`crate::SigningKey`].
    SigningSeed
}

secret_key! {
    /// What seals a session's attachments.
    BlobKey
}

public_key! {
    /// The public half of [`ContentSecret`]: data keys are wrapped to it by machines that hold no secret of the account.
    ContentPublic
}

impl ContentSecret {
    /// The public half.
    #[must_use]
    pub fn public(&self) -> ContentPublic {
        ContentPublic(public_of(&self.0))
    }
}

/// The X25519 public key of a scalar (clamped as RFC 7748 says).
pub(crate) fn public_of(scalar: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*scalar)).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_its_type_and_nothing_else() {
        let key = MasterSecret::from_bytes([0x5a; 32]);
        assert_eq!(format!("{key:?}"), "MasterSecret(…)");
        assert_eq!(format!("{:?}", Fresh::new([0x5a; 24])), "Fresh<24>");
        assert_eq!(format!("{:#?}", DataKey::from_bytes([0x5a; 32])), "DataKey(…)");
    }

    /// Fails to compile when a key type is no longer wiped on drop.
    #[test]
    fn every_key_is_wiped_on_drop() {
        fn wiped<T: ZeroizeOnDrop>() {}
        wiped::<MasterSecret>();
        wiped::<ContentSecret>();
        wiped::<DataKey>();
        wiped::<SigningSeed>();
        wiped::<BlobKey>();
        wiped::<crate::PairingSecret>();
        wiped::<Fresh<32>>();
        wiped::<Zeroizing<Vec<u8>>>();
        wiped::<ed25519_dalek::SigningKey>();
    }

    #[test]
    fn a_wiped_key_is_zeros() {
        let mut key = DataKey::from_bytes([7; 32]);
        key.zeroize();
        assert_eq!(key.expose(), &[0; 32]);
    }

    #[test]
    fn texts_are_read_in_both_alphabets_and_refused_without_being_repeated() {
        let key = DataKey::from_bytes([0xfb; 32]);
        let standard = key.expose_base64();
        assert!(standard.contains('+'), "{}", *standard);
        let url = standard.replace('+', "-").replace('/', "_");
        assert_eq!(DataKey::from_base64(&standard), Ok(key.clone()));
        assert_eq!(DataKey::from_base64(&format!("{url}\n")), Ok(key.clone()));
        assert_eq!(DataKey::from_base64(url.trim_end_matches('=')), Ok(key));
        assert_eq!(DataKey::from_base64("c2hvcnQ="), Err(BadKey::Length(5)));
        assert_eq!(DataKey::from_base64("!!!!"), Err(BadKey::NotBase64));
        let long = "A".repeat(4_000);
        assert_eq!(DataKey::from_base64(&long), Err(BadKey::Length(3_000)));
    }
}
