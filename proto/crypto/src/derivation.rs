//! The derivation tree: one master secret, one key for each purpose.
//!
//! Root: `I = HMAC-SHA512(key = usage ‖ " Master Seed", message = seed)`. Child for a path element:
//! `I = HMAC-SHA512(key = chain, message = 00 ‖ element)`. Each `I` splits into key (first half) and chain (second).

use hmac::digest::generic_array::GenericArray;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use zeroize::{Zeroize, Zeroizing};

use crate::keys::{BlobKey, ContentSecret, DataKey, MasterSecret, SigningSeed};

/// Which family of servers and phones an account belongs to. They share the wire and differ in how keys are derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Happy today: usage `Happy EnCoder`, the content seed is hashed as libsodium's `crypto_box_seed_keypair` does,
    /// the signing seed is the master secret itself.
    Happy,
    /// Delight at its beginning: usage `Happy EnCoder`, the content seed is the scalar. It signs as Happy does.
    EarlyDelight,
    /// Delight later: usage `Delight EnCoder`, the content seed is the scalar, the signing seed is SHA-256(master).
    LateDelight,
}

impl Dialect {
    fn usage(self) -> &'static str {
        match self {
            Self::Happy | Self::EarlyDelight => "Happy EnCoder",
            Self::LateDelight => "Delight EnCoder",
        }
    }
}

/// A node of the tree.
struct Node {
    key: Zeroizing<[u8; 32]>,
    chain: Zeroizing<[u8; 32]>,
}

impl Node {
    fn root(usage: &str, seed: &[u8; 32]) -> Self {
        Self::split(&[usage.as_bytes(), b" Master Seed"], &[seed])
    }

    fn child(&self, element: &str) -> Self {
        Self::split(&[self.chain.as_slice()], &[&[0], element.as_bytes()])
    }

    /// HMAC-SHA512 over the concatenations, split in halves. The key must not be longer than a block (128 bytes):
    /// every caller's is at most 44.
    fn split(key: &[&[u8]], message: &[&[u8]]) -> Self {
        // A key shorter than a block is the same as one padded with zeros, and a whole block cannot be a wrong length.
        let mut block = Zeroizing::new([0u8; 128]);
        for (slot, byte) in block.iter_mut().zip(key.iter().copied().flatten()) {
            *slot = *byte;
        }
        let mut mac = Hmac::<Sha512>::new(GenericArray::from_slice(block.as_slice()));
        for part in message {
            mac.update(part);
        }
        let mut digest = mac.finalize().into_bytes();
        let mut node = Self { key: Zeroizing::new([0; 32]), chain: Zeroizing::new([0; 32]) };
        node.key.copy_from_slice(&digest[..32]);
        node.chain.copy_from_slice(&digest[32..]);
        digest.as_mut_slice().zeroize();
        node
    }
}

impl ContentSecret {
    /// The account's content key, as `dialect` derives it.
    #[must_use]
    pub fn derive(master: &MasterSecret, dialect: Dialect) -> Self {
        let seed = Node::root(dialect.usage(), master.expose()).child("content").key;
        match dialect {
            Dialect::EarlyDelight | Dialect::LateDelight => Self::from_bytes(*seed),
            Dialect::Happy => {
                let mut digest = Sha512::digest(seed.as_slice());
                let mut scalar = Zeroizing::new([0; 32]);
                scalar.copy_from_slice(&digest[..32]);
                digest.as_mut_slice().zeroize();
                Self::from_bytes(*scalar)
            }
        }
    }
}

impl SigningSeed {
    /// The seed of the account's signing key, as `dialect` derives it.
    #[must_use]
    pub fn derive(master: &MasterSecret, dialect: Dialect) -> Self {
        match dialect {
            Dialect::Happy | Dialect::EarlyDelight => Self::from_bytes(*master.expose()),
            Dialect::LateDelight => Self::from_bytes(Sha256::digest(master.expose()).into()),
        }
    }
}

impl BlobKey {
    /// The key of the attachments of a session that has its own data key.
    #[must_use]
    pub fn of_session(key: &DataKey) -> Self {
        Self::from_bytes(*Node::root("Happy Blobs", key.expose()).child("session").key)
    }

    /// The key of the attachments of all sessions sealed with the master secret.
    #[must_use]
    pub fn of_account(master: &MasterSecret) -> Self {
        Self::from_bytes(*Node::root("Happy Blobs", master.expose()).child("master").key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vectors for the master secret `00 01 … 1f`.
    #[test]
    fn both_trees_match_the_vectors() {
        let master: [u8; 32] = std::array::from_fn(|i| i as u8);
        for (usage, key, chain, seed) in [
            (
                "Happy EnCoder",
                "2c9f936aa4f03e60924bcb9fd0e4df021f55528fbcf4101835e3b586c9ab2793",
                "c47892bd47fc8ed198f152fe379c0086175f5499d3987fdc779b2c6563e5b152",
                "67eebf3ff0eb241774d2f6e45e4869ca3e01785630dae7635428076e725351be",
            ),
            (
                "Delight EnCoder",
                "586352b9528d91c54dfd7e31c11864c8deffea69727eeb0a24a8dd4bef5e88ac",
                "a39ea79a23981471156f8d9585dd01c90f83af0460c7c3d3901c5f5ae75ceebc",
                "a150f4e3b12d349b22a041c97cf6906d0afd749217d8ad77b0055e7d23c0cb9c",
            ),
        ] {
            let root = Node::root(usage, &master);
            assert_eq!(hex(&root.key), key);
            assert_eq!(hex(&root.chain), chain);
            assert_eq!(hex(&root.child("content").key), seed);
        }
    }

    fn hex(bytes: &[u8; 32]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }
}
