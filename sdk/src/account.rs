//! An account: the master secret and what is derived from it.

use delight_crypto::pairing::{Paired, comparison_number};
use delight_crypto::{ContentSecret, Dialect, MasterSecret, PairingPublic, SealingKey, SigningKey, wrapped};
use delight_proto::sync::bounded::KeyText;
use delight_proto::sync::pairing_link::PairingLink;
use zeroize::Zeroizing;

use crate::error::{Error, Kind};
use crate::fresh;

/// An account. Whoever has its master secret can read and do everything the account can; it is never printed.
#[derive(Clone)]
pub struct Account {
    master: MasterSecret,
    content: ContentSecret,
    dialect: Dialect,
}

impl Account {
    /// A new account of 32 random bytes. Nobody knows of it before its first login.
    ///
    /// # Errors
    /// [`Kind::System`] when the system has no randomness.
    pub fn create(dialect: Dialect) -> Result<Self, Error> {
        Ok(Self::new(MasterSecret::generate(fresh::fresh()?), dialect))
    }

    /// The account of a master secret.
    #[must_use]
    pub fn new(master: MasterSecret, dialect: Dialect) -> Self {
        let content = ContentSecret::derive(&master, dialect);
        Self { master, content, dialect }
    }

    /// The account that [`Account::export`] wrote: base64, standard or url alphabet, padded or not.
    ///
    /// # Errors
    /// [`Kind::BadInput`]; the text is not repeated in it.
    pub fn import(text: &str, dialect: Dialect) -> Result<Self, Error> {
        let master = MasterSecret::from_base64(text).map_err(|bad| {
            Error::new(Kind::BadInput, "importing an account", bad.to_string())
                .fix("give the 44 characters of base64 that export wrote")
        })?;
        Ok(Self::new(master, dialect))
    }

    /// The master secret as 44 characters of base64, wiped on drop. For a key file of mode 0600 or a person's safe; never
    /// for a log.
    #[must_use]
    pub fn export(&self) -> Zeroizing<String> {
        self.master.expose_base64()
    }

    /// Which family the account belongs to.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The account's public signing key in base64: its name with servers, and no secret.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.signing().public_base64()
    }

    pub(crate) fn signing(&self) -> SigningKey {
        SigningKey::derive(&self.master, self.dialect)
    }

    /// The six digits that the phone and the machine it pairs must both show, such as `"042 917"`. Both derive them from the
    /// offer's public key and the account's content public key ([`comparison_number`] has the definition); a server that put
    /// another account or another offer in between cannot make them equal but by a chance of one in a million.
    #[must_use]
    pub fn comparison(&self, offer: &PairingPublic) -> String {
        let number = comparison_number(offer, &self.content.public());
        format!("{:03} {:03}", number / 1_000, number % 1_000)
    }

    /// The sealed answer to an offer.
    pub(crate) fn answer(&self, offer: &PairingPublic, form: PairingForm) -> Result<KeyText, Error> {
        let paired = match form {
            PairingForm::Master => Paired::Account(self.master.clone()),
            PairingForm::ContentKey => Paired::ContentKey(self.content.public()),
        };
        let what = "answering a pairing offer";
        let answer = paired.answer(offer, fresh::fresh()?, fresh::fresh()?).map_err(|weak| {
            Error::new(Kind::BadInput, what, weak.to_string())
                .fix("show a new QR code on the machine and scan that")
        })?;
        KeyText::new(answer).map_err(|long| Error::new(Kind::TooLarge, what, long.to_string()))
    }

    /// The key that seals an object of the account: its own data key, or without one the master secret.
    pub(crate) fn sealing(&self, data_key: Option<&KeyText>) -> Result<SealingKey, Error> {
        match data_key {
            Some(text) => wrapped::unwrap(text, &self.content)
                .map(|key| SealingKey::data(&key))
                .map_err(|error| Error::unreadable("a data key", error)),
            None if self.dialect == Dialect::LateDelight => Ok(SealingKey::master_envelope(&self.master)),
            None => Ok(SealingKey::legacy(&self.master)),
        }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({:?}, …)", self.dialect)
    }
}

/// What a machine is given when it is paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingForm {
    /// The master secret: the machine becomes a full member of the account (first form).
    Master,
    /// The content public key only: the machine can give the account keys, not read others' (second form).
    ContentKey,
}

/// The offer's key in a scanned link.
pub(crate) fn offer_of(link: &PairingLink) -> Result<PairingPublic, Error> {
    PairingPublic::from_base64(link.key()).map_err(|bad| {
        Error::new(Kind::BadInput, "reading a pairing link", bad.to_string()).fix("scan the code again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published vectors of the dialects.
    #[test]
    fn an_account_is_the_one_happy_knows() {
        let account =
            Account::import("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", Dialect::Happy).unwrap();
        assert_eq!(*account.export(), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        assert_eq!(account.public_key(), "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=");
        assert_eq!(format!("{account:?}"), "Account(Happy, …)");
    }

    #[test]
    fn imports_refuse_what_is_no_key_without_repeating_it() {
        let error = Account::import("canary", Dialect::Happy).unwrap_err();
        assert_eq!(error.kind, Kind::BadInput);
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[test]
    fn a_comparison_is_six_digits_and_belongs_to_both_keys() {
        let one = Account::create(Dialect::Happy).unwrap();
        let offers = [1_u8, 2].map(|seed| delight_crypto::PairingSecret::from_bytes([seed; 32]).public());
        let shown = one.comparison(&offers[0]);
        assert_eq!(shown.len(), 7);
        assert!(
            shown.bytes().enumerate().all(|(at, byte)| (at == 3 && byte == b' ') || byte.is_ascii_digit())
        );
        assert_eq!(shown, one.comparison(&offers[0]));
        let others: Vec<String> =
            (0..8).map(|_| Account::create(Dialect::Happy).unwrap().comparison(&offers[0])).collect();
        assert!(others.iter().any(|other| *other != shown), "eight accounts, one number");
    }
}
