//! Ends: of the phone while much is open, of listeners, and what never shows.

use std::sync::mpsc;
use std::time::Duration;

use delight_sdk::{Kind, NoEvent, Phone, PhoneEvent, Words};

use crate::desk::{Desk, silent};
use crate::rig::{PATIENCE, Rig, account, must};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_open_is_answered_when_the_phone_ends() {
    let mut rig = Rig::start().await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &["ping"], silent()).await;
    let session = desk.session(&[]).await;
    let phone = rig.phone(&account).await;
    must("the lists", phone.sessions()).await.unwrap();
    rig.stop().await;
    // Nobody answers these before the end.
    let mut open: Vec<_> =
        (0..50).map(|at| phone.send(&session.id, Words::new(at.to_string()).whenever())).collect();
    let mut events = phone.subscribe();
    must("the end", phone.shutdown()).await;
    open.push(phone.send(&session.id, Words::new("after the end").whenever()));
    for ticket in open {
        assert_eq!(must("an answer", ticket).await.unwrap_err().kind, Kind::ShuttingDown);
    }
    assert_eq!(must("the machines", phone.machines()).await.unwrap_err().kind, Kind::ShuttingDown);
    let ended = async {
        loop {
            if events.next().await == Err(NoEvent::Ended) {
                return;
            }
        }
    };
    must("the events end", ended).await;
}

#[test]
fn a_phone_is_used_and_dropped_without_any_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rig = runtime.block_on(Rig::start());
    let phone = Phone::connect(rig.server(), account()).unwrap();
    let mut events = phone.subscribe();
    phone.log_in().wait().unwrap();
    assert!(phone.machines().wait().unwrap().is_empty());
    while events.wait(PATIENCE).unwrap() != PhoneEvent::Connected {}
    drop(phone);
    while events.wait(PATIENCE) != Err(NoEvent::Ended) {}
}

/// A listener that asks the phone and waits, for each of a hundred events, while others ask too.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_may_ask_and_wait() {
    let rig = Rig::start().await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let session = desk.session(&[]).await;
    let phone = rig.phone(&account).await;
    let (tell, told) = mpsc::channel();
    let (asked, id) = (phone.clone(), session.id.clone());
    phone
        .listen(move |event| {
            let Ok(PhoneEvent::Message(message)) = event else { return true };
            let again = asked.session(&id).wait().unwrap();
            let page = asked.history_after(&id, message.seq - 1, 1).wait().unwrap();
            assert_eq!(page.messages[0].id, message.id);
            tell.send((message.seq, again.last_seq)).is_ok()
        })
        .unwrap();
    must("following", phone.follow(&session.id, Some(0))).await.unwrap();
    for batch in 0..10 {
        let ids: Vec<String> = (0..10).map(|at| format!("{batch}-{at}")).collect();
        desk.say(&session, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    let heard = tokio::task::spawn_blocking(move || {
        (0..100).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect::<Vec<_>>()
    })
    .await
    .unwrap();
    assert!(heard.iter().enumerate().all(|(at, (seq, last))| *seq == at as u64 + 1 && last >= seq));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_shown_holds_a_secret() {
    let rig = Rig::start().await;
    let account = account();
    let phone = rig.phone(&account).await;
    let shown = format!("{phone:?} {account:?} {:?}", rig.server());
    let secret = account.export();
    assert!(!shown.contains(secret.as_str()) && !shown.contains(&secret[..12]), "{shown}");
    let words = format!("{:?}", phone.send("nobody", Words::new("x").within(Duration::from_secs(1))).await);
    assert!(!words.contains(secret.as_str()));
}
