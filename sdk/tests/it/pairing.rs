//! Approving what a machine shows.

use std::time::Duration;

use delight_crypto::pairing::{Paired, comparison_number};
use delight_crypto::{ContentSecret, Dialect, PairingSecret};
use delight_proto::sync::pairing_link::{Offer, PairingLink, Scheme};
use delight_sdk::{Account, Kind, PairingForm};
use delight_transport::http::{Client, HttpError, Options};
use delight_transport::server::Server;
use serde_json::{Value, json};

use crate::desk::random;
use crate::rig::{Rig, account, must, until};

/// What a machine that wants to be paired does.
struct Offering {
    secret: PairingSecret,
    http: Client,
}

impl Offering {
    async fn new(base: &str, both_forms: bool) -> Self {
        let http = Client::new(Server::new(base, None, |_| None).unwrap(), Options::default()).unwrap();
        let offering = Self { secret: PairingSecret::from_bytes(random()), http };
        assert_eq!(offering.ask(both_forms).await.unwrap()["state"], "requested");
        offering
    }

    fn link(&self) -> String {
        let key = self.secret.public().to_base64url();
        PairingLink::new(Scheme::Happy, Offer::Machine, &key).unwrap().to_string()
    }

    async fn ask(&self, both_forms: bool) -> Result<Value, HttpError> {
        let body = json!({ "publicKey": self.secret.public().to_base64(), "supportsV2": both_forms });
        self.http.post("/v1/auth/request", &body).await
    }

    /// What the machine was given, and the six digits it shows.
    async fn receive(&self, both_forms: bool) -> (Paired, u32) {
        let answer = self.ask(both_forms).await.unwrap();
        let paired = self.secret.open_answer(answer["response"].as_str().unwrap()).unwrap();
        let content = match &paired {
            Paired::Account(master) => ContentSecret::derive(master, Dialect::Happy).public(),
            Paired::ContentKey(key) => *key,
        };
        let number = comparison_number(&self.secret.public(), &content);
        (paired, number)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_gets_as_little_as_it_can_do_with_and_both_sides_show_the_same_number() {
    let rig = Rig::start().await;
    let account = account();
    let phone = rig.phone(&account).await;
    for (both_forms, form) in [(true, PairingForm::ContentKey), (false, PairingForm::Master)] {
        let offering = Offering::new(&rig.base, both_forms).await;
        let (_, before) = delight_sdk::pairing::read_link(&account, &offering.link()).unwrap();
        let approved = must("the approval", phone.approve(&offering.link(), None)).await.unwrap();
        let (paired, number) = offering.receive(both_forms).await;
        assert_eq!(approved.form, form);
        assert_eq!(approved.comparison, before);
        assert_eq!(approved.comparison.replace(' ', ""), format!("{number:06}"));
        if let Paired::Account(master) = paired {
            assert_eq!(*Account::new(master, Dialect::Happy).export(), *account.export());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_good_for_one_answer() {
    let rig = Rig::start().await;
    let (first, second) = (rig.phone(&account()).await, rig.phone(&account()).await);
    let offering = Offering::new(&rig.base, true).await;
    must("the approval", first.approve(&offering.link(), None)).await.unwrap();
    let error = must("the second", second.approve(&offering.link(), None)).await.unwrap_err();
    assert_eq!(error.kind, Kind::WrongState, "{error}");
    let (_, number) = offering.receive(true).await;
    assert_eq!(
        first.account().comparison(&offering.secret.public()).replace(' ', ""),
        format!("{number:06}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_expired_and_a_link_that_is_none_are_refused() {
    let rig = Rig::with(|config| config.pairing_lifetime = Duration::from_secs(1)).await;
    let phone = rig.phone(&account()).await;
    let offering = Offering::new(&rig.base, true).await;
    until("the offer has expired", || async {
        matches!(offering.ask(true).await, Err(HttpError::Status { status: 410, .. })).then_some(())
    })
    .await;
    let error = must("the approval", phone.approve(&offering.link(), None)).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound, "{error}");
    let error = phone.approve("happy://terminal?../../etc/passwd", None).await.unwrap_err();
    assert_eq!(error.kind, Kind::BadInput);
}
