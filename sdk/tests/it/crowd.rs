//! Many threads at once: no loss, no order broken, no deadlock, every call answered once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use delight_sdk::{Kind, PhoneEvent, Words};
use serde_json::json;

use crate::desk::{Desk, silent};
use crate::messages::text;
use crate::rig::{PATIENCE, Rig, account, must};

const THREADS: usize = 20;
const PAIRS: usize = 250;

/// Each thread sends two messages quickly, 250 times: 10,000 in all, stored once each and in each thread's order.
#[tokio::test(flavor = "multi_thread")]
async fn two_messages_quickly_from_many_threads() {
    let rig = Rig::start().await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let session = desk.session(&[]).await;
    let phone = rig.phone(&account).await;
    let mut events = phone.subscribe();
    must("following", phone.follow(&session.id, Some(0))).await.unwrap();
    let begun = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (phone, session) = (phone.clone(), session.id.clone());
            std::thread::spawn(move || {
                let mut seqs = Vec::with_capacity(2 * PAIRS);
                for pair in 0..PAIRS {
                    let send = |half: usize| {
                        let words = Words::new(format!("{thread} {}", 2 * pair + half)).whenever();
                        phone.send(&session, words.within(PATIENCE))
                    };
                    let two = [send(0), send(1)];
                    seqs.extend(two.map(|ticket| ticket.wait().unwrap().seq));
                }
                seqs
            })
        })
        .collect();
    let heard = tokio::spawn(async move {
        let (mut next, mut seqs) = (BTreeMap::<usize, usize>::new(), Vec::new());
        while seqs.len() < 2 * THREADS * PAIRS {
            let PhoneEvent::Message(message) = events.next().await.unwrap() else { continue };
            let words = text(&message);
            let (thread, number) = words.split_once(' ').unwrap();
            let next = next.entry(thread.parse().unwrap()).or_default();
            assert_eq!(number.parse::<usize>().unwrap(), *next, "thread {thread}");
            *next += 1;
            seqs.push(message.seq);
        }
        seqs
    });
    let sent = tokio::task::spawn_blocking(|| {
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let sent = tokio::time::timeout(PATIENCE * 6, sent).await.unwrap().unwrap();
    let took = begun.elapsed();
    for seqs in &sent {
        assert!(seqs.is_sorted(), "answers of one thread are in its order");
    }
    let mut all: Vec<u64> = sent.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (1..=2 * (THREADS * PAIRS) as u64).collect::<Vec<_>>());
    let heard = tokio::time::timeout(PATIENCE * 6, heard).await.unwrap().unwrap();
    assert_eq!(heard, all);
    println!("10,000 messages from {THREADS} threads: {took:?}");
}

/// Calls from many threads at once, each answered with its own answer.
#[tokio::test(flavor = "multi_thread")]
async fn calls_from_many_threads_get_their_own_answers() {
    let rig = Rig::start().await;
    let account = account();
    let answers: crate::desk::Answers = Arc::new(|_, params| json!({ "message": params["sessionId"] }));
    let desk = Desk::start(&rig.base, &account, &["stop-session"], answers).await;
    let phone = rig.phone(&account).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (phone, machine, answered) = (phone.clone(), desk.machine.clone(), Arc::clone(&answered));
            std::thread::spawn(move || {
                for call in 0..100 {
                    let name = format!("{thread}-{call}");
                    assert_eq!(phone.stop(&machine, &name).wait().unwrap(), name);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let joined =
        tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().unwrap()));
    tokio::time::timeout(PATIENCE * 6, joined).await.unwrap().unwrap();
    assert_eq!(answered.load(Ordering::Relaxed), THREADS * 100);
    println!("{} calls from {THREADS} threads: {:?}", THREADS * 100, begun.elapsed());
}

/// More than the mailbox holds, asked for without reading an answer: some are told that it is busy, all are told something.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_answered_with_busy_and_nothing_is_lost() {
    let rig = Rig::start().await;
    let account = account();
    let desk = Desk::start(&rig.base, &account, &[], silent()).await;
    let session = desk.session(&[]).await;
    let phone = rig.phone(&account).await;
    must("the sessions", phone.sessions()).await.unwrap();
    let tickets: Vec<_> =
        (0..10_000).map(|at| phone.send(&session.id, Words::new(at.to_string()).whenever())).collect();
    let (mut sent, mut busy) = (0, 0);
    for ticket in tickets {
        match tokio::time::timeout(PATIENCE * 3, ticket).await.expect("every call is answered") {
            Ok(_) => sent += 1,
            Err(error) if error.kind == Kind::Busy => {
                assert!(error.retry && !error.perhaps_done);
                busy += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(sent + busy, 10_000);
    assert!(sent > 0 && busy > 0, "{sent} sent, {busy} busy");
    let page = must("the end", phone.history(&session.id, None, 1)).await.unwrap();
    assert_eq!(page.messages[0].seq, sent, "what was answered as sent is stored, and nothing else");
}
