//! Sessions as they are and as they change, for the link. Nothing here is waited for by anybody local.

use delight_core::supervisor::Request;
use delight_core::uplink::{Host, Input, facts};
use delight_proto::api::envelope::Notification;
use delight_proto::api::method::Change;
use delight_proto::session::{Origin, SessionView};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

use super::body::Mail;
use super::push::Waker;
use super::vault::Vault;
use crate::actor::Told;
use crate::supervisor::{Changes, Heard, Supervision};

/// Tells the link of every session, until the daemon ends or the link does.
pub(super) async fn run(
    supervision: Supervision,
    vault: Arc<Vault>,
    host: Host,
    mut waker: Waker,
    to: mpsc::Sender<Mail>,
) {
    let mut known = BTreeSet::new();
    loop {
        let subscribed = supervision.ask(Origin::Daemon, Request::Subscribe { selector: None }).await;
        let Ok(Told::Subscribed { sessions, changes, .. }) = subscribed else { return };
        let now: BTreeSet<_> = sessions.iter().map(|view| view.id).collect();
        for id in known.difference(&now) {
            waker.forget(*id);
            if to.send(Mail::Input(Box::new(Input::Gone { id: *id }))).await.is_err() {
                return;
            }
        }
        known = now;
        for view in &sessions {
            waker.knows(view);
            if to.send(seen(view, &vault, &host)).await.is_err() {
                return;
            }
        }
        // One that was too slow begins anew: the event logs have everything it missed.
        if !follow(changes, &vault, &host, &to, &mut known, &mut waker).await {
            return;
        }
    }
}

/// Whether it is to be begun anew.
async fn follow(
    mut changes: Changes,
    vault: &Vault,
    host: &Host,
    to: &mpsc::Sender<Mail>,
    known: &mut BTreeSet<delight_proto::id::SessionId>,
    waker: &mut Waker,
) -> bool {
    loop {
        let change = match changes.next().await {
            Heard::Change(changed) => serde_json::from_str::<Notification<Change>>(&changed.line),
            Heard::Lagged(_) => return true,
            Heard::End => return false,
        };
        let mail = match change.map(|notification| notification.params) {
            Ok(Change::Session { session }) => {
                known.insert(session.id);
                waker.look(&session);
                seen(&session, vault, host)
            }
            Ok(Change::Removed { id }) => {
                known.remove(&id);
                waker.forget(id);
                vault.forget(id);
                Mail::Input(Box::new(Input::Gone { id }))
            }
            Ok(Change::Lagged { .. }) => continue,
            Err(error) => {
                tracing::error!(%error, "a change of a session was not understood");
                continue;
            }
        };
        if to.send(mail).await.is_err() {
            return false;
        }
    }
}

fn seen(view: &SessionView, vault: &Vault, host: &Host) -> Mail {
    let stored = vault.stored(view.id).map(Box::new);
    Mail::Input(Box::new(Input::Seen {
        id: view.id,
        facts: Box::new(facts(view, host, conversation_field(&view.kind))),
        stored,
    }))
}

/// Where Happy's app looks for the agent's own conversation, by the kind of session.
fn conversation_field(kind: &str) -> Option<&'static str> {
    match kind {
        "claude" => Some("claudeSessionId"),
        "codex" => Some("codexThreadId"),
        _ => None,
    }
}
