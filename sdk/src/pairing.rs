//! Approving what a machine, or another device of the account, shows as a QR code.

use std::sync::Arc;

use delight_proto::sync::bounded::{Hidden, KeyText};
use delight_proto::sync::http::{AnswerPairing, PairingProgress, PollPairing};
use delight_proto::sync::pairing_link::{Offer, PairingLink};

use crate::account::{Account, PairingForm, offer_of};
use crate::error::{Error, Kind};
use crate::http::Http;

/// An offer was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    /// Six digits: the other side must show the same. When it does not, somebody is in between, and it must be unpaired.
    pub comparison: String,
    /// What was handed over.
    pub form: PairingForm,
}

/// Reads a link as it was scanned and tells the six digits its owner should show after the approval.
///
/// # Errors
/// [`Kind::BadInput`] when it is no pairing link.
pub fn read_link(account: &Account, text: &str) -> Result<(PairingLink, String), Error> {
    let link: PairingLink =
        text.parse().map_err(|bad: delight_proto::sync::pairing_link::NotAPairingLink| {
            Error::new(Kind::BadInput, "reading a pairing link", bad.to_string())
                .fix("scan the code the machine shows")
        })?;
    let comparison = account.comparison(&offer_of(&link)?);
    Ok((link, comparison))
}

/// Answers an offer. Without a `form` the machine is given as little as it can do with: the content key if it can
/// live with that, else the master secret. Another device of the account always needs the latter.
pub(crate) async fn approve(
    http: Arc<Http>,
    account: Account,
    link: PairingLink,
    form: Option<PairingForm>,
) -> Result<Approved, Error> {
    let what = "approving a pairing";
    let key = offer_of(&link)?;
    let public_key =
        KeyText::new(key.to_base64()).map_err(|long| Error::new(Kind::BadInput, what, long.to_string()))?;
    let form = match (link.offer, form) {
        (Offer::Account, Some(PairingForm::ContentKey)) => {
            let reason = "another device of the account needs the master secret";
            return Err(Error::new(Kind::BadInput, what, reason));
        }
        (Offer::Account, _) => PairingForm::Master,
        (Offer::Machine, form) => {
            let status = http.call(&PollPairing { public_key: public_key.clone() }).await?;
            match status.progress() {
                PairingProgress::Pending => {}
                PairingProgress::Authorized { .. } => {
                    return Err(Error::new(Kind::WrongState, what, "it was answered already")
                        .fix("show a new code on the machine: each is good for one answer"));
                }
                // Some servers tell only who asked; the answer will say whether there is such an offer.
                PairingProgress::Unknown(_) if status.status == "authorized" => {
                    return Err(Error::new(Kind::WrongState, what, "it was answered already")
                        .fix("show a new code on the machine: each is good for one answer"));
                }
                PairingProgress::NotFound | PairingProgress::Unknown(_) => {
                    return Err(Error::new(
                        Kind::NotFound,
                        what,
                        "the server has no such offer: it has expired, or is \
                                                                 another server's",
                    )
                    .fix("show a new code on the machine, and check that both use the same server"));
                }
            }
            let least =
                if status.supports_v2 == Some(true) { PairingForm::ContentKey } else { PairingForm::Master };
            form.unwrap_or(least)
        }
    };
    let response = Hidden::new(account.answer(&key, form)?);
    http.call(&AnswerPairing { offer: link.offer, public_key, response })
        .await
        .map_err(|error| Error { what: what.into(), ..error })?;
    Ok(Approved { comparison: account.comparison(&key), form })
}
