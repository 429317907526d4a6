//! Conversations of a shared app server that the session is not in. A person at Codex's terminal program may go to one of
//! them, and the session goes along.
//!
//! The server tells every client when a conversation is begun, loaded from disk, or starts and stops working, but not who
//! did that. So a loaded one is looked at before it is gone along to: Codex has conversations of its own (sub-agents,
//! titles), and those must never become the session's.

use std::collections::VecDeque;

use delight_proto::agent::{Activity, AgentEvent, RecordBody, TurnStatus};
use delight_proto::id::ConversationId;
use serde_json::{Value, json};

use super::server::{Server, shape};
use super::shapes::{OfNewThread, OfStatus, Started};
use crate::adapters::codec::Understood;
use crate::adapters::json_rpc::{self, Failure};
use crate::adapters::shown;

/// Conversations remembered. One that is forgotten is looked at again.
const KNOWN: usize = 64;

/// What is known of a conversation the session is not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// No person is in it.
    Others,
    /// It is being looked at, or gone along to.
    Asked,
    /// The session was in it, and is told of it as before.
    Left {
        /// Whether it works.
        active: bool,
    },
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Elsewhere(VecDeque<(String, Known)>);

impl Elsewhere {
    fn get(&self, thread: &str) -> Option<Known> {
        self.0.iter().find(|(id, _)| id == thread).map(|(_, known)| *known)
    }

    fn forget(&mut self, thread: &str) {
        self.0.retain(|(id, _)| id != thread);
    }

    fn note(&mut self, thread: &str, known: Known) {
        self.forget(thread);
        if self.0.len() == KNOWN {
            self.0.pop_front();
        }
        self.0.push_back((thread.to_owned(), known));
    }
}

impl Server {
    /// A conversation was begun by somebody.
    pub(super) fn begun_elsewhere(
        &mut self,
        params: Value,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        let new = shape::<OfNewThread>(params)?.thread;
        if !self.ready || self.thread() == Some(&new.id) {
            return Ok(());
        }
        if new.is_begun_by_a_person() {
            self.elsewhere.note(&new.id, Known::Asked);
            // Only a conversation with a name is on disk before its first turn, and can be joined.
            out.reply = self.name(&new.id);
            out.reply.extend(join("follow", &new.id));
        } else {
            self.elsewhere.note(&new.id, Known::Others);
        }
        Ok(())
    }

    /// A conversation the session is not in does something else now.
    pub(super) fn does_elsewhere(
        &mut self,
        thread: &str,
        params: Value,
        out: &mut Understood,
    ) -> Result<(), serde_json::Error> {
        let status = shape::<OfStatus>(params.clone())?.status;
        let active = status.kind == "active";
        if !self.ready {
            return Ok(());
        }
        match self.elsewhere.get(thread) {
            Some(Known::Others | Known::Asked) => {}
            // What it was doing when it was left it may go on with; what begins in it now, a person began.
            Some(Known::Left { active: false }) if active => {
                self.leave("the desktop went back to an earlier conversation", out);
                self.elsewhere.forget(thread);
                self.thread = Some(thread.to_owned());
                let id = ConversationId::try_from(thread.to_owned());
                out.events.extend(id.ok().map(|id| AgentEvent::Conversation { id }));
                return self.told("thread/status/changed", params, out);
            }
            Some(Known::Left { .. }) if active || status.kind == "idle" => {
                self.elsewhere.note(thread, Known::Left { active });
            }
            Some(Known::Left { .. }) => self.elsewhere.forget(thread),
            None if active || status.kind == "idle" => {
                self.elsewhere.note(thread, Known::Asked);
                let params = json!({"threadId": thread});
                out.reply = json_rpc::request(&format!("look {thread}"), "thread/read", &params);
            }
            None => {}
        }
        Ok(())
    }

    /// A conversation that was loaded has been looked at.
    pub(super) fn looked(&mut self, thread: &str, result: Result<Value, Failure>, out: &mut Understood) {
        let found = result.ok().and_then(|result| serde_json::from_value::<OfNewThread>(result).ok());
        if found.is_some_and(|found| found.thread.may_be_a_persons()) {
            out.reply = join("rejoin", thread);
        } else {
            self.elsewhere.note(thread, Known::Others);
        }
    }

    /// A conversation that is gone along to has answered. `why`: for the owner.
    pub(super) fn joined(
        &mut self,
        thread: &str,
        result: Result<Value, Failure>,
        why: &str,
        out: &mut Understood,
    ) {
        self.elsewhere.forget(thread);
        if let Some(started) = result.ok().and_then(|result| serde_json::from_value::<Started>(result).ok()) {
            self.leave(why, out);
            self.began(started, out);
            out.events.push(AgentEvent::Activity { activity: Activity::Idle });
        }
    }

    /// Leaves the conversation the session is in. What it is doing there goes on without being told.
    fn leave(&mut self, why: &str, out: &mut Understood) {
        let left = Known::Left { active: self.turn.is_some() };
        if let Some(thread) = self.thread().map(str::to_owned) {
            self.elsewhere.note(&thread, left);
        }
        self.turn_over(TurnStatus::Cancelled, None, out);
        self.changes.clear();
        out.events.push(shown::record(None, RecordBody::Notice { message: why.to_owned() }));
    }
}

/// Has the server tell of a conversation from now on.
fn join(what: &str, thread: &str) -> Vec<u8> {
    let params = json!({"threadId": thread, "excludeTurns": true});
    json_rpc::request(&format!("{what} {thread}"), "thread/resume", &params)
}
