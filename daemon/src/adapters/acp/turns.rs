//! Turns: begun by the first sign of work on a message, ended by its answer.

use delight_proto::agent::{Activity, AgentEvent, RecordBody, TurnStatus};
use serde_json::Value;

use super::client::Client;
use super::shapes::Prompted;
use crate::adapters::codec::Understood;
use crate::adapters::json_rpc::Failure;
use crate::adapters::shown;

impl Client {
    pub(super) fn prompted(
        &mut self,
        which: &str,
        result: Result<Value, Failure>,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        if self.turn.is_none() {
            self.working(which, out);
        }
        self.waits = false;
        self.words.tell(&mut out.events);
        self.calls.over(&mut out.events);
        let status = match result {
            Ok(result) => {
                let prompted: Prompted = serde_json::from_value(result)?;
                let quota = prompted.meta.and_then(|meta| meta.quota).and_then(|quota| quota.token_count);
                if let Some(tokens) = prompted.usage.or(quota) {
                    let body = RecordBody::Usage {
                        input_tokens: tokens.input_tokens.saturating_sub(tokens.cached_read_tokens),
                        output_tokens: tokens.output_tokens,
                        cache_written_tokens: tokens.cached_write_tokens,
                        cache_read_tokens: tokens.cached_read_tokens,
                        context_window: self.window,
                    };
                    out.events.push(shown::record(Some(format!("usage {which}")), body));
                }
                if prompted.stop_reason == "cancelled" {
                    TurnStatus::Cancelled
                } else {
                    TurnStatus::Completed
                }
            }
            Err(failure) => {
                let body = RecordBody::Error { message: failure.message, retrying: false };
                out.events.push(shown::record(Some(format!("error {which}")), body));
                TurnStatus::Failed
            }
        };
        self.asking.over(&mut out.events);
        if let Some(turn) = self.turn.take() {
            out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnEnded { turn, status }));
        }
        if self.prompt.as_deref() == Some(which) {
            self.prompt = None;
        }
        out.events.push(AgentEvent::Activity { activity: Activity::Idle });
        Ok(())
    }

    /// A sign of work: the turn of the message that was given has begun.
    pub(super) fn working(&mut self, message: &str, out: &mut Understood) {
        if self.turn.is_none() {
            let turn = message.to_owned();
            self.turn = Some(turn.clone());
            out.events.push(shown::record(Some(turn.clone()), RecordBody::TurnStarted { turn }));
            out.events.push(AgentEvent::Activity { activity: Activity::Working });
        } else if self.waits && self.asking.is_empty() {
            out.events.push(AgentEvent::Activity { activity: Activity::Working });
        }
        self.waits &= !self.asking.is_empty();
    }
}
