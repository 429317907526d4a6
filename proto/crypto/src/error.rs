//! Why something was not sealed, not opened, or is no key.

/// Why bytes could not be opened. It never says which check failed inside a cipher: a wrong key, a flipped bit and a
/// cut tail are one and the same to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not base64.
    #[error("the sealed value is not base64")]
    NotBase64,
    /// Shorter than the empty plaintext sealed.
    #[error("the sealed value has {got} bytes, fewer than the {least} of an empty one")]
    TooShort {
        /// Bytes there are.
        got: usize,
        /// Bytes there must be at least.
        least: usize,
    },
    /// Longer than we are willing to open.
    #[error("the sealed value has {got} bytes, more than the {most} that are opened")]
    TooLarge {
        /// Bytes there are.
        got: usize,
        /// Bytes there may be at most.
        most: usize,
    },
    /// A version byte we do not know.
    #[error("the sealed value is of version {0}, which is not known")]
    Version(u8),
    /// Wrong key, or changed on the way.
    #[error("the sealed value does not open: it was sealed with another key, or changed on the way")]
    Refused,
    /// It opened, but holds something else than it should.
    #[error("the sealed value holds {got} bytes where {expected} were expected")]
    Content {
        /// Bytes it holds.
        got: usize,
        /// What should be there.
        expected: &'static str,
    },
}

/// Why a plaintext could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Longer than any reader of ours opens.
    #[error("a plaintext of {got} bytes is more than the {most} that are sealed")]
    TooLarge {
        /// Bytes there are.
        got: usize,
        /// Bytes there may be at most.
        most: usize,
    },
    /// The receiver's public key is one of the few that give everybody the same shared secret.
    #[error(
        "the receiver's public key is not usable (low order): whoever sent it could read what is sealed to it"
    )]
    WeakKey,
}

/// Why a text or some bytes are no key. The text itself is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not base64.
    #[error("the key is not base64")]
    NotBase64,
    /// Not 32 bytes.
    #[error("the key has {0} bytes instead of 32")]
    Length(usize),
}
