//! Keys, derivation and sealing of the sync wire.
//!
//! Bytes in, bytes out: nothing here opens a file, reads a clock or draws a random number. Whoever seals brings
//! [`Fresh`] bytes, so a test or a simulation seals the same bytes every time and no value can be used twice.
//!
//! - [`MasterSecret`] is the root of an account. [`ContentSecret`] and [`SigningKey`] are derived from it, in the
//!   [`Dialect`] of the server's family.
//! - [`DataKey`]s, one a session or machine, travel wrapped to a [`ContentPublic`] ([`wrapped`]).
//! - [`SealingKey`] seals and opens what the server carries ([`sealing`]); [`ReplayGuard`] refuses what it carries twice.
//! - [`PairingSecret`] receives an account from a phone ([`pairing`]).
//!
//! What must never be: a key that can be printed, compared in variable time, or left in memory after its owner is
//! gone. Keys have no `Display`, no `Serialize`, an opaque `Debug`, and are wiped on drop. The limit of that: copies
//! which the hash functions of HMAC and SHA-2 keep on the stack for a moment are not wiped.

#![forbid(unsafe_code)]

mod base64;
mod bundle;
mod derivation;
mod error;
mod fresh;
mod keys;
pub mod pairing;
pub mod replay;
pub mod sealing;
mod signing;
pub mod wrapped;

pub use self::derivation::Dialect;
pub use self::error::{BadKey, OpenError, SealError};
pub use self::fresh::Fresh;
pub use self::keys::{BlobKey, ContentPublic, ContentSecret, DataKey, MasterSecret, SigningSeed};
pub use self::pairing::{PairingPublic, PairingSecret};
pub use self::replay::ReplayGuard;
pub use self::sealing::{Opened, Sealed, SealingKey, Variant};
pub use self::signing::{BadSignature, SigningKey, verify};
