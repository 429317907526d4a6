//! Accounts: logging in, and what one never sees of another.

use delight_sdk::{Account, Dialect, Kind, Phone, PhoneEvent, Words};

use crate::desk::{Desk, silent};
use crate::rig::{Rig, account, hear, must};

#[tokio::test(flavor = "multi_thread")]
async fn an_account_logs_in_on_every_device_it_is_brought_to() {
    let rig = Rig::start().await;
    let first = account();
    let second = Account::import(&first.export(), Dialect::Happy).unwrap();
    assert_eq!(first.public_key(), second.public_key());
    let desk = Desk::start(&rig.base, &first, &[], silent()).await;
    for account in [first, second] {
        let phone = rig.phone(&account).await;
        must("logging in", phone.log_in()).await.unwrap();
        let machines = must("the machines", phone.machines()).await.unwrap();
        assert_eq!(
            machines.iter().map(|machine| machine.id.as_str()).collect::<Vec<_>>(),
            [desk.machine.as_str()]
        );
        phone.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_sees_and_reaches_nothing() {
    let rig = Rig::start().await;
    let desk = Desk::start(&rig.base, &account(), &["ping"], silent()).await;
    let session = desk.session(&["abort"]).await;
    let stranger = rig.phone(&account()).await;
    assert!(stranger.machines().await.unwrap().is_empty());
    assert!(stranger.sessions().await.unwrap().is_empty());
    let refused = [
        must("a ping", stranger.ping(&desk.machine)).await.unwrap_err(),
        must("an abort", stranger.abort(&session.id)).await.unwrap_err(),
        must("a message", stranger.send(&session.id, Words::new("x").whenever())).await.unwrap_err(),
        must("a history", stranger.history(&session.id, None, 10)).await.unwrap_err(),
        must("a deletion", stranger.delete_session(&session.id)).await.unwrap_err(),
    ];
    for error in refused {
        assert_eq!(error.kind, Kind::NotFound, "{error}");
        assert!(!error.perhaps_done);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_new_accounts_says_so() {
    let rig = Rig::with(|config| config.registration = delight_relay::config::Registration::Closed).await;
    let phone = Phone::connect(rig.server(), account()).unwrap();
    let error = must("logging in", phone.log_in()).await.unwrap_err();
    assert_eq!(error.kind, Kind::LoginRefused, "{error}");
    assert!(!error.fix.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_unreachable_and_nothing_else() {
    let mut rig = Rig::start().await;
    rig.stop().await;
    let phone = Phone::connect(rig.server(), account()).unwrap();
    let error = must("the machines", phone.machines()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error}");
    assert!(error.retry && !error.perhaps_done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_the_server_forgot_is_renewed_by_itself() {
    let mut rig = Rig::start().await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let phone = rig.phone(&account).await;
    assert_eq!(must("the machines", phone.machines()).await.unwrap().len(), 1);
    drop(desk);
    let mut events = phone.subscribe();
    rig.stop().await;
    hear("it is away", &mut events, |event| matches!(event, PhoneEvent::Disconnected(_)).then_some(())).await;
    rig.go_on_without_memory().await;
    hear("it is back", &mut events, |event| (event == PhoneEvent::Connected).then_some(())).await;
    assert!(must("the machines", phone.machines()).await.unwrap().is_empty());
}
