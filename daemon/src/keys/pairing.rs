//! Pairing: a phone hands its account to this machine through a server that learns nothing from it.
//!
//! One offer at a time, good for one answer and for two minutes. The secret of an offer exists only while it is open.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delight_crypto::pairing::{Paired, comparison_number};
use delight_crypto::{ContentSecret, DataKey, Dialect, PairingSecret};
use delight_proto::api::method::{PairBeginResult, PairWaitResult};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::{Hidden, Id, KeyText, Token as Text};
use delight_proto::sync::http::{AskPairing, PairingProgress};
use delight_proto::sync::pairing_link::{Offer, PairingLink, Scheme};
use delight_transport::http::{Client, HttpError};
use delight_transport::reconnect::Retry;
use delight_transport::secret::Token;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use super::fresh::uuid;
use super::linking::account_of;
use super::server::{call, refusal};
use super::{Account, Keys, Linked, bytes, fresh, hex};
use crate::actor::wall_ms;

/// How long an offer is good.
const GOOD_FOR: Duration = Duration::from_secs(120);

/// Between two questions to the server whether somebody has answered.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A server that wants to be left alone for longer is asked again all the same: the offer would be over.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

const WHAT: &str = "the machine was not paired";

type Outcome = Option<Result<PairWaitResult, Refusal>>;

/// The pairing under way, or the last one: who waits for it is answered even when it is over.
#[derive(Debug, Default)]
pub(super) struct Pairings(Mutex<Option<Pairing>>);

#[derive(Debug)]
struct Pairing {
    name: String,
    outcome: watch::Sender<Outcome>,
    polling: JoinHandle<()>,
}

impl Drop for Pairing {
    /// Its secret goes with the task.
    fn drop(&mut self) {
        self.polling.abort();
    }
}

impl Pairings {
    fn lock(&self) -> MutexGuard<'_, Option<Pairing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an offer on a server and waits for its answer in the background. One that is open is given up.
    ///
    /// # Errors
    /// The server cannot be reached or does not take it.
    pub(super) async fn begin(
        &self,
        keys: &Keys,
        client: Client,
        server: String,
        dialect: Dialect,
    ) -> Result<PairBeginResult, Refusal> {
        let offer = OpenOffer::new(client, server, dialect)?;
        match offer.ask().await {
            Ok(PairingProgress::Pending) => {}
            Ok(_) => {
                return Err(Refusal::new(
                    Code::Internal,
                    WHAT,
                    "the server answers a new offer as if it were old",
                )
                .fix("check that the URL is a sync server's"));
            }
            Err(error) => return Err(refusal(WHAT, &error)),
        }
        let link = |scheme| {
            let link = PairingLink::new(scheme, Offer::Machine, &offer.secret.public().to_base64url());
            link.map(|link| link.to_string()).map_err(|e| Refusal::new(Code::Internal, WHAT, e.to_string()))
        };
        let good_for = u64::try_from(GOOD_FOR.as_millis()).unwrap_or(u64::MAX);
        let begun = PairBeginResult {
            pairing: hex(&bytes::<8>()?),
            server: offer.server.clone(),
            happy_link: link(Scheme::Happy)?,
            link: link(Scheme::Delight)?,
            expires_ms: wall_ms().saturating_add(good_for),
        };
        let (outcome, _) = watch::channel(None);
        let (tell, keys) = (outcome.clone(), keys.clone());
        let polling = tokio::spawn(async move {
            let over = Instant::now() + GOOD_FOR;
            let answered = tokio::select! {
                answered = offer.answered() => answered,
                () = sleep_until(over) => Err(expired()),
            };
            let linked = match answered {
                Ok((account, number)) => link_by(&keys, &offer, account, number).await,
                Err(refusal) => Err(refusal),
            };
            tell.send_replace(Some(linked));
        });
        let pairing = Pairing { name: begun.pairing.clone(), outcome, polling };
        if let Some(before) = self.lock().replace(pairing) {
            before.give_up("another pairing was begun");
        }
        Ok(begun)
    }

    /// Waits for the end of a pairing. Cancel safe.
    ///
    /// # Errors
    /// Why it failed; `not-found` when there is no such pairing.
    pub(super) async fn wait(&self, name: &str) -> Result<PairWaitResult, Refusal> {
        let outcome = self.lock().as_ref().filter(|one| one.name == name).map(|one| one.outcome.subscribe());
        let gone = || {
            Refusal::new(Code::NotFound, "there is no such pairing", "it is over, or another was begun")
                .fix("delightctl pair")
        };
        let mut outcome = outcome.ok_or_else(gone)?;
        let outcome = outcome.wait_for(Option::is_some).await.map_err(|_| gone())?;
        outcome.clone().unwrap_or_else(|| Err(gone()))
    }

    /// Gives up the pairing under way, if there is one.
    pub(super) fn cancel(&self) {
        if let Some(pairing) = self.lock().as_ref() {
            pairing.give_up("it was given up");
        }
    }
}

impl Pairing {
    fn give_up(&self, why: &str) {
        self.polling.abort();
        self.outcome.send_if_modified(|outcome| {
            let is_open = outcome.is_none();
            if is_open {
                *outcome = Some(Err(Refusal::new(Code::Conflict, WHAT, why).fix("delightctl pair")));
            }
            is_open
        });
    }
}

/// An offer the server knows.
struct OpenOffer {
    secret: PairingSecret,
    public_key: KeyText,
    client: Client,
    server: String,
    dialect: Dialect,
}

impl OpenOffer {
    fn new(client: Client, server: String, dialect: Dialect) -> Result<Self, Refusal> {
        let secret = PairingSecret::generate(fresh()?);
        let public_key = KeyText::new(secret.public().to_base64())
            .map_err(|e| Refusal::new(Code::Internal, WHAT, e.to_string()))?;
        Ok(Self { secret, public_key, client, server, dialect })
    }

    async fn ask(&self) -> Result<PairingProgress, HttpError> {
        let asking = AskPairing {
            offer: Offer::Machine,
            public_key: self.public_key.clone(),
            // The older families know the first form only.
            supports_v2: Some(self.dialect == Dialect::Happy),
        };
        Ok(call(&self.client, &asking).await?.progress())
    }

    /// What the phone handed over, and the number both sides show.
    async fn answered(&self) -> Result<(Account, u32), Refusal> {
        loop {
            sleep(ASK_EVERY).await;
            match self.ask().await {
                Ok(PairingProgress::Pending) => {}
                Ok(PairingProgress::Authorized { token, response }) => {
                    return self.open(token, &response);
                }
                Ok(PairingProgress::NotFound) | Err(HttpError::Status { status: 404 | 410, .. }) => {
                    return Err(expired());
                }
                Ok(PairingProgress::Unknown(_)) => {
                    return Err(Refusal::new(
                        Code::Internal,
                        WHAT,
                        "the server says something this daemon does not know",
                    ));
                }
                Err(error) => match error.retry() {
                    Retry::Later => tracing::info!(%error, "asking again how the pairing stands"),
                    Retry::After(pause) => sleep(pause.min(LONGEST_PAUSE)).await,
                    Retry::Login | Retry::Never => return Err(refusal(WHAT, &error)),
                },
            }
        }
    }

    fn open(&self, token: Option<Text>, response: &Hidden<KeyText>) -> Result<(Account, u32), Refusal> {
        let bad = |reason: String| {
            Refusal::new(Code::Internal, WHAT, reason)
                .fix("pair again; if it happens again, do not trust the server")
        };
        let paired = self.secret.open_answer(response.expose()).map_err(|e| bad(e.to_string()))?;
        let (account, content) = match paired {
            Paired::Account(secret) => {
                let content = ContentSecret::derive(&secret, self.dialect).public();
                (Account::Secret(secret), content)
            }
            Paired::ContentKey(content) => {
                let token =
                    token.ok_or_else(|| bad("the server gave no token with the answer".to_owned()))?;
                let token = Token::new(token.expose().as_str()).map_err(|e| bad(e.to_string()))?;
                (Account::Paired { content, token }, content)
            }
        };
        Ok((account, comparison_number(&self.secret.public(), &content)))
    }
}

async fn link_by(
    keys: &Keys,
    offer: &OpenOffer,
    account: Account,
    number: u32,
) -> Result<PairWaitResult, Refusal> {
    let linked = link(keys, offer.server.clone(), offer.dialect, account).await?;
    let number = format!("{:03} {:03}", number / 1_000, number % 1_000);
    Ok(PairWaitResult { account: account_of(&linked), number })
}

/// Links this machine, under a new id and with a new key of its own.
pub(super) async fn link(
    keys: &Keys,
    server: String,
    dialect: Dialect,
    account: Account,
) -> Result<std::sync::Arc<Linked>, Refusal> {
    let machine = Id::new(uuid()?).map_err(|e| Refusal::new(Code::Internal, WHAT, e.to_string()))?;
    let machine_key = DataKey::generate(fresh()?);
    let linked = Linked { server, dialect, account, machine, machine_key };
    let keys = keys.clone();
    spawn_blocking(move || keys.link(linked))
        .await
        .unwrap_or_else(|e| Err(Refusal::new(Code::Internal, WHAT, e.to_string())))
}

fn expired() -> Refusal {
    let reason =
        format!("the code has expired: nobody answered in its time, {} s at most", GOOD_FOR.as_secs());
    Refusal::new(Code::Timeout, WHAT, reason).fix("show a new code: delightctl pair")
}

#[cfg(test)]
mod tests {
    use delight_proto::place::Place;

    use super::*;
    use crate::keys::connect;
    use crate::relay::Embedded;

    #[tokio::test]
    async fn an_offer_nobody_answers_is_over_after_two_minutes() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        let place = Place { state: at("s"), runtime: at("r"), config: at("c") };
        crate::paths::prepare(&place).unwrap();
        let relay = Embedded::start(&place, "127.0.0.1:0".parse().unwrap()).await;
        let url = relay.status().url.clone().unwrap();
        let keys = Keys::open(&place);
        let client = connect(&url, None).await.unwrap();
        let pairings = Pairings::default();
        let begun = pairings.begin(&keys, client, url, Dialect::Happy).await.unwrap();
        tokio::time::pause();
        let began = Instant::now();
        let refusal = pairings.wait(&begun.pairing).await.unwrap_err();
        assert_eq!(refusal.code, Code::Timeout, "{refusal}");
        assert!(began.elapsed() <= GOOD_FOR + Duration::from_secs(1), "{:?}", began.elapsed());
        tokio::time::resume();
        assert!(keys.current().is_none());
        relay.end().await;
    }
}
