//! What the app server tells of a conversation: turns, items, what it does, what it was set to.

use delight_proto::agent::{Activity, AgentEvent, Mode, RecordBody, TurnStatus};
use serde_json::Value;

use super::items::{self, Stage};
use super::modes;
use super::server::{OURS, Server, shape};
use super::shapes::{OfItem, OfSettings, OfStatus, OfTrouble, OfTurn, OfUsage, Resolved, Settings};
use crate::adapters::codec::Understood;
use crate::adapters::shown;

/// Changes of files remembered until their approval is asked for, which names them by their item alone.
const CHANGES: usize = 16;

impl Server {
    /// A notification of our thread.
    pub(super) fn told(
        &mut self,
        method: &str,
        params: Value,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        match method {
            "turn/started" => {
                let turn = shape::<OfTurn>(params)?.turn.id;
                // Every turn ends, also one whose end could not be read. (A restarted daemon knows the present one already.)
                if self.turn.as_ref() != Some(&turn) {
                    self.turn_over(TurnStatus::Failed, None, out);
                }
                self.turn = Some(turn.clone());
                out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnStarted { turn }));
                out.events.push(AgentEvent::Activity { activity: Activity::Working });
            }
            "turn/completed" => {
                let turn = shape::<OfTurn>(params)?.turn;
                let status = match turn.status.as_str() {
                    "completed" => TurnStatus::Completed,
                    "interrupted" => TurnStatus::Cancelled,
                    _ => TurnStatus::Failed,
                };
                if let (TurnStatus::Failed, Some(trouble)) = (status, turn.error) {
                    let body = RecordBody::Error { message: trouble.message, retrying: false };
                    out.events.push(shown::record(Some(turn.id.clone()), body));
                }
                self.turn_over(status, Some(turn.id), out);
                out.events.push(AgentEvent::Activity { activity: Activity::Idle });
            }
            "thread/status/changed" => {
                let status = shape::<OfStatus>(params)?.status;
                let waits = status.active_flags.iter().any(|flag| flag.starts_with("waitingOn"));
                let activity = match status.kind.as_str() {
                    "idle" => Activity::Idle,
                    "active" if waits => Activity::NeedsDecision,
                    "active" => Activity::Working,
                    _ => return Ok(()),
                };
                out.events.push(AgentEvent::Activity { activity });
            }
            "item/started" | "item/completed" => {
                let item = shape::<OfItem>(params)?.item;
                let stage = if method == "item/started" { Stage::Started } else { Stage::Completed };
                out.events.extend(items::record(&item, stage).map(|record| AgentEvent::Record { record }));
                if stage == Stage::Completed {
                    out.events.extend(self.typed(&item));
                }
                if stage == Stage::Started && item["type"] == "fileChange" {
                    if self.changes.len() == CHANGES {
                        self.changes.pop_front();
                    }
                    self.changes.push_back(item);
                }
            }
            "thread/tokenUsage/updated" => {
                let usage = shape::<OfUsage>(params)?.token_usage;
                let body = items::usage(&usage.last, usage.model_context_window);
                out.events.push(shown::record(None, body));
            }
            "error" => {
                let OfTrouble { error, will_retry } = shape(params)?;
                // What is not tried again is told once more as the turn's end.
                if will_retry {
                    let body = RecordBody::Error { message: error.message, retrying: true };
                    out.events.push(shown::record(None, body));
                }
            }
            "warning" => {
                let message = params["message"].as_str().map(str::to_owned);
                // The same with every turn is said once.
                if let Some(message) = message.filter(|message| self.warned.as_ref() != Some(message)) {
                    self.warned = Some(message.clone());
                    out.events.push(shown::record(None, RecordBody::Notice { message }));
                }
            }
            "serverRequest/resolved" => {
                let resolved = shape::<Resolved>(params)?.request_id;
                if let Some(at) = self.open.iter().position(|(id, _)| *id == resolved)
                    && let Some((_, name)) = self.open.remove(at)
                {
                    out.events.extend(name.parse().ok().map(|id| AgentEvent::Withdrawn { id }));
                }
            }
            "thread/started" if self.shared => self.begun_elsewhere(params, out)?,
            "thread/settings/updated" => {
                let OfSettings { thread_settings } = shape(params)?;
                out.events.extend(self.set_elsewhere(&thread_settings));
            }
            _ => {}
        }
        Ok(())
    }

    /// Words that were typed at a terminal program that shares the server.
    fn typed(&self, item: &Value) -> Option<AgentEvent> {
        let ours = item["clientId"].as_str().is_some_and(|id| id.starts_with(OURS));
        let key = item["id"].as_str().map(str::to_owned);
        let text = items::user_text(item).filter(|_| self.shared && !ours)?;
        Some(shown::record(key, RecordBody::UserText { text }))
    }

    /// How the thread works now. What was chosen here goes with the next message, and is not undone.
    fn set_elsewhere(&mut self, settings: &Settings) -> Option<AgentEvent> {
        let sandbox = settings.sandbox_policy["type"].as_str().unwrap_or_default();
        let mode = modes::matching(settings.approval_policy.as_str().unwrap_or_default(), sandbox);
        if self.chosen {
            return None;
        }
        // Who says nothing leaves it as it is; who said something before says the newest.
        if self.model.is_some() {
            self.model = Some(settings.model.clone());
        }
        if self.mode.is_some() {
            self.mode = mode;
        }
        if self.effort.is_some() {
            self.effort.clone_from(&settings.effort);
        }
        let news = Mode {
            model: Some(settings.model.clone()),
            permission_mode: mode.map(|mode| mode.name.to_owned()),
            effort: settings.effort.clone(),
        };
        let news = news.other_than(&self.told);
        self.told.learn(&news);
        (!news.is_empty()).then_some(AgentEvent::Mode(news))
    }

    pub(super) fn turn_over(&mut self, status: TurnStatus, named: Option<String>, out: &mut Understood) {
        let open = self.turn.take();
        if let Some(turn) = named.or(open) {
            out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnEnded { turn, status }));
        }
    }
}
