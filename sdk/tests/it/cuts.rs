//! A way to the relay that breaks: connections cut in the middle of everything, and a server that says nothing.

use delight_sdk::{Kind, Phone, PhoneEvent, Server, Words};
use delight_tests::proxy::{Faults, Proxy};
use tokio::net::TcpListener;

use crate::desk::{Desk, silent};
use crate::messages::text;
use crate::rig::{PATIENCE, Rig, account, must, until};

/// Requests and answers are cut off at any point, the answers to writes that were done included: each message is stored
/// once, in order, and heard once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_or_doubled_when_connections_are_cut_at_random() {
    let rig = Rig::start().await;
    let way = Proxy::to(rig.address(), 1);
    // A page of 50 messages has some 30 kB and must come through now and then.
    way.goes_wrong(Faults { cut_after: Some((300, 60_000)), ..Faults::default() });
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let session = desk.session(&[]).await;
    let phone = Phone::connect(Server::new(&way.base()).unwrap(), account).unwrap();
    let mut events = phone.subscribe();
    until("following", || async { phone.follow(&session.id, Some(0)).await.ok() }).await;
    for batch in 0..30 {
        let tickets: Vec<_> = (0..10)
            .map(|at| {
                phone.send(&session.id, Words::new((10 * batch + at).to_string()).whenever().within(PATIENCE))
            })
            .collect();
        for ticket in tickets {
            must("a message is stored", ticket).await.unwrap();
        }
    }
    let mut heard = 0;
    while heard < 300 {
        let event = must("a message is heard", events.next()).await.unwrap();
        let PhoneEvent::Message(message) = event else { continue };
        assert_eq!(text(&message), heard.to_string());
        heard += 1;
    }
    let last = until("the end", || async { phone.history(&session.id, None, 1).await.ok() }).await;
    assert!(last.messages[0].mine);
    assert_eq!(text(&last.messages[0]), "299");
    let all = desk
        .member
        .call(
            delight_transport::http::Method::GET,
            &format!("/v3/sessions/{}/messages?limit=500", session.id),
            None,
        )
        .await;
    assert_eq!(all["messages"].as_array().unwrap().len(), 300);
    let wrongs = way.wrongs();
    println!("300 messages over {wrongs:?}");
    assert!(wrongs.cuts > 3, "{wrongs:?}");
}

/// A server that takes connections and says nothing: every call is answered, and none waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    let phone = Phone::connect(Server::new(&base).unwrap(), account()).unwrap();
    let error = tokio::time::timeout(PATIENCE * 2, phone.machines()).await.expect("an answer").unwrap_err();
    assert_eq!(error.kind, Kind::TimedOut, "{error}");
    holding.abort();
}
