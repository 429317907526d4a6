//! Tokens: who a request speaks for.
//!
//! A JSON Web Token signed with Ed25519 (`EdDSA`). Only this one algorithm is read, whatever a header says. Tokens are
//! not stored; the key that signs them is in the database, so they are good exactly as long as the database is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Longest token that is looked at.
const MAX: usize = 2_048;
/// Tokens whose signature was found good and is not checked again: checking it costs more than the rest of a small
/// request. Some hundred bytes each, and more than a busy relay sees in turn.
const REMEMBERED: usize = 4_096;
const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;
const ISSUER: &str = "delight-relay";

#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
}

/// Makes and reads tokens.
pub(crate) struct Tokens {
    key: SigningKey,
    lifetime_s: i64,
    /// By the token's digest, so that none stands in memory.
    good: Mutex<HashMap<[u8; 32], Claims>>,
}

impl Tokens {
    pub(crate) fn new(key: &[u8; 32], lifetime_s: i64) -> Self {
        Self { key: SigningKey::from_bytes(key), lifetime_s, good: Mutex::default() }
    }

    /// A token for an account, good from now (Unix seconds) for the configured time.
    pub(crate) fn issue(&self, account: &str, now_s: i64) -> String {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: account.to_owned(),
            iat: now_s,
            exp: now_s.saturating_add(self.lifetime_s),
        };
        // Claims are two strings and two numbers: there is nothing in them that JSON cannot say.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature.to_bytes()));
        token
    }

    /// The account a token speaks for at this time, or nothing: forged, foreign, expired and garbled look the same.
    pub(crate) fn account(&self, token: &str, now_s: i64) -> Option<String> {
        if token.len() > MAX {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.good().get(&digest).cloned();
        let claims = match known {
            Some(claims) => claims,
            None => {
                let claims = self.read(token)?;
                let mut good = self.good();
                if good.len() >= REMEMBERED {
                    good.clear();
                }
                good.insert(digest, claims.clone());
                claims
            }
        };
        (claims.exp > now_s).then_some(claims.sub)
    }

    /// What a token of ours says, whenever it was good.
    fn read(&self, token: &str) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        if header != URL_SAFE_NO_PAD.encode(HEADER) {
            return None;
        }
        let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        self.key.verifying_key().verify_strict(signed.as_bytes(), &signature).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (claims.iss == ISSUER).then_some(claims)
    }

    /// Nothing that can panic is done while this is held; if it were, the table is still a table.
    fn good(&self) -> MutexGuard<'_, HashMap<[u8; 32], Claims>> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_account_until_it_expires() {
        let tokens = Tokens::new(&[7; 32], 100);
        let token = tokens.issue("cabc", 1_000);
        assert_eq!(tokens.account(&token, 1_099).as_deref(), Some("cabc"));
        assert_eq!(tokens.account(&token, 1_100), None);
    }

    #[test]
    fn no_changed_or_foreign_token_is_read() {
        let tokens = Tokens::new(&[7; 32], 100);
        let token = tokens.issue("cabc", 1_000);
        assert!(tokens.account(&token, 1_000).is_some(), "it is remembered, and only it");
        assert_eq!(Tokens::new(&[8; 32], 100).account(&token, 1_000), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(tokens.account(&changed, 1_000), None, "byte {at}");
        }
        for garbage in ["", ".", "..", "a.b.c", &"x".repeat(5_000)] {
            assert_eq!(tokens.account(garbage, 1_000), None);
        }
        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
            URL_SAFE_NO_PAD.encode(r#"{"iss":"delight-relay","sub":"x","iat":0,"exp":9999999999}"#)
        );
        assert_eq!(tokens.account(&none, 1_000), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_nothing_bad_is() {
        let tokens = Tokens::new(&[7; 32], 100);
        let claims = Claims { iss: ISSUER.into(), sub: "c".into(), iat: 0, exp: i64::MAX };
        for n in 0..REMEMBERED {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            tokens.good().insert(digest, claims.clone());
        }
        assert_eq!(tokens.account("a.b.c", 1_000), None);
        assert_eq!(tokens.good().len(), REMEMBERED);
        let token = tokens.issue("cabc", 1_000);
        assert_eq!(tokens.account(&token, 1_000).as_deref(), Some("cabc"));
        assert_eq!(tokens.good().len(), 1);
    }
}
