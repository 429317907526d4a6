//! A way to the relay that breaks: connections cut in the middle of everything, and a server that says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use delight_sdk::{Kind, Phone, PhoneEvent, Server, Words};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::desk::{Desk, silent};
use crate::messages::text;
use crate::rig::{PATIENCE, Rig, account, must};

/// Carries connections to the relay until they are cut, all at once.
struct Passage {
    base: String,
    cut: watch::Sender<u64>,
    carrying: JoinHandle<()>,
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Passage {
    async fn to(base: &str) -> Self {
        let there = base.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (cut, cuts) = watch::channel(0);
        let carrying = tokio::spawn(async move {
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                let (there, mut cuts) = (there.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut there = TcpStream::connect(there).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { base, cut, carrying }
    }
}

/// Requests and answers are cut off at any point, the answers to writes that were done included: each message is stored
/// once, in order, and heard once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_lost_or_doubled_when_connections_are_cut_at_random() {
    let rig = Rig::start().await;
    let passage = Passage::to(&rig.base).await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let session = desk.session(&[]).await;
    let phone = Phone::connect(Server::new(&passage.base).unwrap(), account).unwrap();
    let mut events = phone.subscribe();
    must("following", phone.follow(&session.id, Some(0))).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let (over, cut) = (Arc::clone(&done), passage.cut.clone());
    let cutting = tokio::spawn(async move {
        let mut cuts = 0;
        while !over.load(Ordering::Relaxed) {
            let [wait] = crate::desk::random::<1>();
            tokio::time::sleep(Duration::from_millis(u64::from(wait))).await;
            cut.send_modify(|cuts| *cuts += 1);
            cuts += 1;
        }
        cuts
    });
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
    done.store(true, Ordering::Relaxed);
    let cuts = cutting.await.unwrap();
    let mut heard = 0;
    while heard < 300 {
        let event = must("a message is heard", events.next()).await.unwrap();
        let PhoneEvent::Message(message) = event else { continue };
        assert_eq!(text(&message), heard.to_string());
        heard += 1;
    }
    let last = must("the end", phone.history(&session.id, None, 1)).await.unwrap();
    assert!(last.messages[0].mine);
    assert_eq!(text(&last.messages[0]), "299");
    let all = desk
        .member
        .call(reqwest::Method::GET, &format!("/v3/sessions/{}/messages?limit=500", session.id), None)
        .await;
    assert_eq!(all["messages"].as_array().unwrap().len(), 300);
    println!("300 messages over {cuts} cuts");
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
