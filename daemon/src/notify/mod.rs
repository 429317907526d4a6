//! Telling the owner: who needs them, what is done, what failed. Fed from the changes every subscriber hears; nothing in
//! the daemon waits for it.

mod cooldown;
mod deliver;
pub(crate) mod observe;
mod settings;

use std::time::{Duration, Instant};

use delight_core::supervisor::Request;
use delight_proto::agent::{RecordBody, TurnStatus};
use delight_proto::api::envelope::Notification;
use delight_proto::api::method::Change;
use delight_proto::event::EventBody;
use delight_proto::place::Place;
use delight_proto::session::{Origin, SessionView};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::actor::Told;
use crate::store::read_events;
use crate::supervisor::{Changes, Heard, Supervision};
use cooldown::Cooldown;
use observe::{Finished, Found, Notice, Observer, Occasion};
pub(crate) use settings::NotifySettings;

/// Notices that may wait for their turn: a busy machine's sessions all needing somebody at once. More are left out, and
/// that is logged: whoever looks sees them all in `delightctl list`.
const QUEUE: usize = 64;

/// Events looked at to tell whether an agent's work failed.
const LOOK_BACK: usize = 1_000;

/// Tells the owner until the daemon ends. Returns at once when there is no way to tell.
pub(crate) async fn run(settings: NotifySettings, supervision: Supervision, place: Place) {
    if !settings.tells() {
        return;
    }
    let (queue, notices) = mpsc::channel(QUEUE);
    tokio::spawn(deliver::deliver(settings.clone(), notices));
    let mut teller = Teller {
        observer: Observer::default(),
        cooldown: Cooldown::new(Duration::from_secs(settings.cooldown_s)),
        done_after_ms: settings.done_after_s * 1_000,
        queue,
        place,
    };
    // What is so when the daemon starts is no news.
    let Some((mut changes, sessions)) = subscribe(&supervision).await else { return };
    sessions.iter().for_each(|view| teller.observer.knows(view));
    loop {
        let heard = tokio::select! {
            heard = changes.next() => heard,
            () = until(teller.cooldown.due()) => {
                teller.cooled();
                continue;
            }
        };
        match heard {
            Heard::Change(change) => {
                let change =
                    serde_json::from_str::<Notification<Change>>(&change.line).map(|heard| heard.params);
                match change {
                    Ok(Change::Session { session }) => teller.look(&session).await,
                    Ok(Change::Removed { id }) => teller.observer.forget(id),
                    Ok(Change::Lagged { .. }) => {}
                    Err(e) => tracing::error!(error = %e, "a change cannot be read"),
                }
            }
            Heard::Lagged(missed) => {
                tracing::debug!(missed, "changes were missed; every session is looked at");
                let Some((anew, sessions)) = subscribe(&supervision).await else { return };
                changes = anew;
                for view in sessions {
                    teller.look(&view).await;
                }
            }
            Heard::End => return,
        }
    }
}

async fn subscribe(supervision: &Supervision) -> Option<(Changes, Vec<SessionView>)> {
    match supervision.ask(Origin::Daemon, Request::Subscribe { selector: None }).await {
        Ok(Told::Subscribed { sessions, changes, .. }) => Some((changes, sessions)),
        Ok(_) => None,
        Err(refusal) => {
            tracing::debug!(%refusal, "nobody is notified");
            None
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

struct Teller {
    observer: Observer,
    cooldown: Cooldown,
    done_after_ms: u64,
    queue: mpsc::Sender<Notice>,
    place: Place,
}

impl Teller {
    async fn look(&mut self, view: &SessionView) {
        let Found { notices, finished } = self.observer.look(view);
        for notice in notices {
            self.tell(notice);
        }
        if let Some(finished) = finished {
            let failed = self.failed(&finished).await;
            if failed {
                self.tell(Notice { occasion: Occasion::Failed, ..finished.notice });
            } else if finished.worked_ms >= self.done_after_ms {
                self.tell(finished.notice);
            }
        }
    }

    /// Whether the last turn of an agent's work failed.
    async fn failed(&self, finished: &Finished) -> bool {
        let (place, id, after) = (self.place.clone(), finished.notice.session, finished.after);
        let page = spawn_blocking(move || read_events(&place, id, after, LOOK_BACK)).await;
        let Ok(Ok(page)) = page else { return false };
        let turn = page.events.iter().rev().find_map(|event| match &event.body {
            EventBody::Recorded { record, .. } => match &record.body {
                RecordBody::TurnEnded { status, .. } => Some(*status),
                _ => None,
            },
            _ => None,
        });
        turn == Some(TurnStatus::Failed)
    }

    fn tell(&mut self, notice: Notice) {
        if let Some(notice) = self.cooldown.pass(notice, Instant::now()) {
            self.put(notice);
        }
    }

    /// Tells what was held back, if it still holds.
    fn cooled(&mut self) {
        for notice in self.cooldown.over(Instant::now()) {
            if notice.occasion != Occasion::NeedsYou || self.observer.waits(notice.session) {
                self.tell(notice);
            }
        }
    }

    fn put(&self, notice: Notice) {
        if let Err(e) = self.queue.try_send(notice) {
            tracing::warn!(error = %e, "a notification is left out");
        }
    }
}
