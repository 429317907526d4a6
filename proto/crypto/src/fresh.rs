//! Randomness as a parameter.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// `N` bytes from a cryptographic source that were never used before and never will be again.
///
/// It cannot be copied or cloned and is consumed by the one call that uses it: a nonce used twice under one key gives
/// AES-GCM's authentication key away. The caller draws the bytes; this crate has no source of its own.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Fresh<const N: usize>([u8; N]);

impl<const N: usize> Fresh<N> {
    /// Takes bytes the caller has just drawn.
    #[must_use]
    pub fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The bytes, and the end of them.
    pub(crate) fn spend(self) -> Zeroizing<[u8; N]> {
        Zeroizing::new(self.0)
    }
}

impl<const N: usize> fmt::Debug for Fresh<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fresh<{N}>")
    }
}
