//! What the server carries: AES-256-GCM envelopes, and secretboxes of accounts that have only a master secret.
//!
//! - envelope: `00 ‖ nonce (12) ‖ ciphertext ‖ tag (16)`, AES-256-GCM without associated data;
//! - secretbox: `nonce (24) ‖ tag (16) ‖ ciphertext`, XSalsa20-Poly1305.
//!
//! One secretbox in 256 begins with `00` as every envelope does, so a reader tries the envelope first and then the
//! secretbox. Neither form says what it is for: an envelope sealed for one purpose opens for any other under the same
//! key. Who acts on an opened value must check what it is, and run it past a [`crate::ReplayGuard`].

use std::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit};
use crypto_secretbox::XSalsa20Poly1305;
use zeroize::Zeroizing;

use crate::base64;
use crate::error::{OpenError, SealError};
use crate::fresh::Fresh;
use crate::keys::{DataKey, MasterSecret};
use crate::replay::Mark;

/// The largest plaintext that is sealed or opened: 16 MiB. A socket packet holds 1 MB and the largest things that come
/// by HTTP, messages with pictures in them, a few; the bound keeps a hostile server from filling memory.
pub const MAX_PLAINTEXT: usize = 16 << 20;

/// The first byte of an envelope.
const ENVELOPE: u8 = 0;
const ENVELOPE_OVERHEAD: usize = 1 + 12 + 16;
const SECRETBOX_OVERHEAD: usize = 24 + 16;

/// Which of the two forms a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// AES-256-GCM envelope, what Happy calls `dataKey`.
    Envelope,
    /// XSalsa20-Poly1305, what Happy calls `legacy`.
    Secretbox,
}

/// A key, and the form in which it writes. Both forms are read.
pub struct SealingKey {
    key: Zeroizing<[u8; 32]>,
    writes: Variant,
}

/// A sealed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    bytes: Vec<u8>,
    mark: Mark,
}

impl Sealed {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Padded standard base64, as the wire has it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        base64::encode(&self.bytes)
    }

    /// Its nonce's mark, for [`crate::ReplayGuard::note_own`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }
}

/// An opened value. Its plaintext is wiped on drop and never printed.
pub struct Opened {
    plaintext: Zeroizing<Vec<u8>>,
    variant: Variant,
    mark: Mark,
}

impl Opened {
    /// The plaintext. Empty when a Happy peer sealed "nothing"; see [`Opened::json`].
    #[must_use]
    pub fn plaintext(&self) -> &[u8] {
        &self.plaintext
    }

    /// The plaintext as JSON text: what was sealed as nothing at all (an empty plaintext) reads as `null`.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        if self.is_void() { b"null" } else { &self.plaintext }
    }

    /// Whether nothing at all was sealed.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.plaintext.is_empty()
    }

    /// In which form it was sealed.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Its nonce's mark, for [`crate::ReplayGuard::admit`]. Only a value that opened has one, so nobody without the key
    /// can fill a guard.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({:?}, {} bytes)", self.variant, self.plaintext.len())
    }
}

impl SealingKey {
    /// Of a session or machine that has its own data key: writes envelopes.
    #[must_use]
    pub fn data(key: &DataKey) -> Self {
        Self { key: Zeroizing::new(*key.expose()), writes: Variant::Envelope }
    }

    /// Of an account whose content is sealed with the master secret itself: writes secretboxes.
    #[must_use]
    pub fn legacy(master: &MasterSecret) -> Self {
        Self { key: Zeroizing::new(*master.expose()), writes: Variant::Secretbox }
    }

    /// The master secret writing envelopes: machine metadata and machine calls of later Delight.
    #[must_use]
    pub fn master_envelope(master: &MasterSecret) -> Self {
        Self { key: Zeroizing::new(*master.expose()), writes: Variant::Envelope }
    }

    /// In which form it writes.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.writes
    }

    /// Seals at most [`MAX_PLAINTEXT`] bytes. An envelope uses the first 12 of the fresh bytes.
    ///
    /// # Errors
    /// [`SealError::TooLarge`].
    pub fn seal(&self, plaintext: &[u8], nonce: Fresh<24>) -> Result<Sealed, SealError> {
        let too_large = SealError::TooLarge { got: plaintext.len(), most: MAX_PLAINTEXT };
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(too_large);
        }
        let nonce = nonce.spend();
        let (bytes, mark) = match self.writes {
            Variant::Envelope => {
                let (nonce, _) = nonce.split_at(12);
                let sealed = self.gcm().encrypt(nonce.into(), plaintext).map_err(|_| too_large)?;
                ([&[ENVELOPE], nonce, &sealed].concat(), Mark::of(self.writes, nonce))
            }
            Variant::Secretbox => {
                let sealed = self.salsa().encrypt((&*nonce).into(), plaintext).map_err(|_| too_large)?;
                ([nonce.as_slice(), &sealed].concat(), Mark::of(self.writes, nonce.as_slice()))
            }
        };
        Ok(Sealed { bytes, mark })
    }

    /// Opens either form.
    ///
    /// # Errors
    /// [`OpenError`]: too short, larger than [`MAX_PLAINTEXT`] allows, or refused by both ciphers.
    pub fn open(&self, sealed: &[u8]) -> Result<Opened, OpenError> {
        let got = sealed.len();
        if got < ENVELOPE_OVERHEAD {
            return Err(OpenError::TooShort { got, least: ENVELOPE_OVERHEAD });
        }
        if got > MAX_PLAINTEXT + SECRETBOX_OVERHEAD {
            return Err(OpenError::TooLarge { got, most: MAX_PLAINTEXT + SECRETBOX_OVERHEAD });
        }
        self.open_envelope(sealed).or_else(|| self.open_secretbox(sealed)).ok_or(OpenError::Refused)
    }

    /// Opens either form in base64.
    ///
    /// # Errors
    /// [`OpenError`], also for what is not base64.
    pub fn open_base64(&self, text: &str) -> Result<Opened, OpenError> {
        self.open(&base64::decode(text, MAX_PLAINTEXT + SECRETBOX_OVERHEAD)?)
    }

    fn open_envelope(&self, sealed: &[u8]) -> Option<Opened> {
        let rest = sealed.strip_prefix(&[ENVELOPE])?;
        let (nonce, ciphertext) = rest.split_first_chunk::<12>()?;
        let plaintext = Zeroizing::new(self.gcm().decrypt(nonce.into(), ciphertext).ok()?);
        Some(Opened { plaintext, variant: Variant::Envelope, mark: Mark::of(Variant::Envelope, nonce) })
    }

    fn open_secretbox(&self, sealed: &[u8]) -> Option<Opened> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<24>()?;
        let plaintext = Zeroizing::new(self.salsa().decrypt(nonce.into(), ciphertext).ok()?);
        Some(Opened { plaintext, variant: Variant::Secretbox, mark: Mark::of(Variant::Secretbox, nonce) })
    }

    fn gcm(&self) -> Aes256Gcm {
        Aes256Gcm::new(self.key.as_slice().into())
    }

    fn salsa(&self) -> XSalsa20Poly1305 {
        XSalsa20Poly1305::new(self.key.as_slice().into())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({:?}, …)", self.writes)
    }
}
