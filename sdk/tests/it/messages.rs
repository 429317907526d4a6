//! Messages: each once and in order, whatever happens to the connection.

use delight_proto::sync::record::{Record, UserContent};
use delight_sdk::{Kind, Message, PhoneEvent, Subscription, Words};
use serde_json::json;

use crate::desk::{Desk, DeskSession, random, says, seal, silent};
use crate::rig::{Rig, account, hear, must, until};

/// The words of a message.
pub(crate) fn text(message: &Message) -> String {
    match message.body.as_ref().unwrap() {
        Record::User(record) => match &record.content {
            UserContent::Text(text) => text.text.expose().to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

async fn next_message(events: &mut Subscription) -> Message {
    hear("a message comes", events, |event| match event {
        PhoneEvent::Message(message) => Some(*message),
        _ => None,
    })
    .await
}

async fn desk(rig: &Rig) -> (delight_sdk::Account, Desk, DeskSession) {
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let session = desk.session(&[]).await;
    (account, desk, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_phones_hear_the_same_and_know_their_own() {
    let rig = Rig::start().await;
    let (account, _desk, session) = desk(&rig).await;
    let (first, second) = (rig.phone(&account).await, rig.phone(&account).await);
    let mut events = [first.subscribe(), second.subscribe()];
    for phone in [&first, &second] {
        must("following", phone.follow(&session.id, None)).await.unwrap();
    }
    let one = must("sending", first.send(&session.id, Words::new("one").whenever())).await.unwrap();
    let two = must("sending", second.send(&session.id, Words::new("two").whenever())).await.unwrap();
    assert_eq!((one.seq, two.seq), (1, 2));
    for (at, events) in events.iter_mut().enumerate() {
        for (seq, words) in [(1, "one"), (2, "two")] {
            let message = next_message(events).await;
            assert_eq!((message.seq, text(&message).as_str()), (seq, words));
            assert_eq!(message.mine, seq == at as u64 + 1);
        }
    }
    let page = must("the history", first.history(&session.id, None, 10)).await.unwrap();
    assert_eq!(page.messages.iter().map(text).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(page.messages[0].local_id.as_ref(), Some(&one.local_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_while_the_phone_was_away_comes_after_a_restart_of_the_server() {
    let mut rig = Rig::start().await;
    let (account, desk, session) = desk(&rig).await;
    desk.say(&session, &["1", "2"]).await;
    let phone = rig.phone(&account).await;
    let mut events = phone.subscribe();
    must("following", phone.follow(&session.id, Some(0))).await.unwrap();
    for words in ["1", "2"] {
        assert_eq!(text(&next_message(&mut events).await), words);
    }
    rig.stop().await;
    hear("the connection ends", &mut events, |event| {
        matches!(event, PhoneEvent::Disconnected(_)).then_some(())
    })
    .await;
    // Asked for while nobody answers: sent when somebody does, once.
    let sending = phone.send(&session.id, Words::new("3").whenever());
    rig.go_on().await;
    // More than a page, said before the phone may be back.
    let many: Vec<String> = (4..130).map(|at| at.to_string()).collect();
    assert_eq!(must("sending", sending).await.unwrap().seq, 3);
    for batch in many.chunks(90) {
        desk.say(&session, &batch.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }
    for seq in 3..130 {
        let message = next_message(&mut events).await;
        assert_eq!((message.seq, text(&message)), (seq, seq.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read_page_by_page_in_both_directions() {
    let rig = Rig::start().await;
    let (account, desk, session) = desk(&rig).await;
    let all: Vec<String> = (1..=75).map(|at| at.to_string()).collect();
    desk.say(&session, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let phone = rig.phone(&account).await;
    let (mut before, mut back) = (None, Vec::new());
    loop {
        let page = must("a page", phone.history(&session.id, before, 30)).await.unwrap();
        back.splice(0..0, page.messages.iter().map(text));
        before = page.messages.first().map(|message| message.seq);
        if !page.more || page.messages.is_empty() {
            break;
        }
    }
    assert_eq!(back, all);
    let page = must("a page", phone.history_after(&session.id, 70, 30)).await.unwrap();
    assert_eq!(page.messages.iter().map(text).collect::<Vec<_>>(), all[70..]);
    assert!(!page.more);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_repeated_messages_are_shown_as_such_and_take_no_others_with_them() {
    let rig = Rig::start().await;
    let (account, desk, session) = desk(&rig).await;
    let phone = rig.phone(&account).await;
    let mut events = phone.subscribe();
    must("following", phone.follow(&session.id, Some(0))).await.unwrap();
    let once = seal(&session.key, &says("once"));
    let foreign = delight_crypto::SealingKey::data(&delight_crypto::DataKey::from_bytes(random()));
    let forged = seal(&foreign, &says("forged"));
    let rows = [("a", &once), ("b", &once), ("c", &forged), ("d", &"garbage".to_owned())]
        .map(|(id, content)| json!({ "localId": id, "content": content }));
    desk.post(&session, rows.to_vec()).await;
    desk.say(&session, &["last"]).await;
    assert_eq!(text(&next_message(&mut events).await), "once");
    for _ in 0..3 {
        let message = next_message(&mut events).await;
        assert_eq!(message.body.unwrap_err().kind, Kind::Unreadable);
    }
    assert_eq!(text(&next_message(&mut events).await), "last");
    // The same rows read again are no replay.
    let page = must("the history", phone.history(&session.id, None, 10)).await.unwrap();
    assert_eq!(
        page.messages.iter().map(|message| message.body.is_ok()).collect::<Vec<_>>(),
        [true, false, false, false, true]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_message_is_refused_before_it_is_sent() {
    let rig = Rig::start().await;
    let (account, desk, session) = desk(&rig).await;
    let phone = rig.phone(&account).await;
    let error = must("sending", phone.send(&session.id, Words::new("x".repeat(800_000)).whenever()))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::TooLarge, "{error}");
    let large = must("sending", phone.send(&session.id, Words::new("y".repeat(600_000)).whenever())).await;
    assert_eq!(large.unwrap().seq, 1);
    drop(desk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_gone_on_every_phone() {
    let rig = Rig::start().await;
    let (account, desk, session) = desk(&rig).await;
    let (first, second) = (rig.phone(&account).await, rig.phone(&account).await);
    until("both know it", || async {
        let known = [first.sessions().await.unwrap().len(), second.sessions().await.unwrap().len()];
        (known == [1, 1]).then_some(())
    })
    .await;
    let mut events = second.subscribe();
    must("deleting", first.delete_session(&session.id)).await.unwrap();
    hear("it is gone", &mut events, |event| matches!(event, PhoneEvent::SessionGone(_)).then_some(())).await;
    let error = must("sending", second.send(&session.id, Words::new("x").whenever())).await.unwrap_err();
    assert_eq!(error.kind, Kind::NotFound);
    drop(desk);
}
