//! What an agent waits for, and what was decided.
//!
//! Read in the spellings of both families (`tool`/`toolName`, `arguments`/`input` as JSON text, `status`/`allow`,
//! `completedAt`/`resolvedAt`), written in Happy's.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::sync::Object;
use crate::sync::bounded::{Hidden, Id, Line, Name};
use crate::sync::open::{open_object, respell, unquote};

open_object! {
    /// A session's agent state. All of it is sent again at every change: whoever writes it drops the oldest completed
    /// requests before it grows ([`AgentState::forget_completed`]).
    pub struct AgentState {
        /// Whether the terminal drives; otherwise the phone.
        controlled_by_user: bool = "controlledByUser",
        /// Open permission requests by their id.
        requests: BTreeMap<Id, PermissionRequest> = "requests",
        /// Decided ones by their id.
        completed_requests: BTreeMap<Id, CompletedRequest> = "completedRequests",
    }
}

impl AgentState {
    /// Keeps the `keep` most recently completed requests and forgets the others.
    pub fn forget_completed(&mut self, keep: usize) {
        let Some(completed) = &mut self.completed_requests else { return };
        let mut ids: Vec<_> =
            completed.iter().map(|(id, request)| (request.completed_at.unwrap_or(0), id.clone())).collect();
        ids.sort();
        let surplus = ids.len().saturating_sub(keep);
        for (_, id) in ids.into_iter().take(surplus) {
            completed.remove(&id);
        }
    }
}

open_object! {
    /// A permission the agent asks for.
    pub struct PermissionRequest spelled by spell_request {
        /// The tool.
        tool: Name = "tool",
        /// Its input.
        arguments: Hidden<Value> = "arguments",
        /// Unix milliseconds.
        created_at: u64 = "createdAt",
    }
}

open_object! {
    /// A permission request that was decided.
    pub struct CompletedRequest spelled by spell_completed {
        /// The tool.
        tool: Name = "tool",
        /// Its input.
        arguments: Hidden<Value> = "arguments",
        /// Unix milliseconds.
        created_at: u64 = "createdAt",
        /// Unix milliseconds.
        completed_at: u64 = "completedAt",
        /// `approved`, `denied` or `canceled`.
        status: Name = "status",
        /// Why.
        reason: Line = "reason",
        /// How much the agent may do unasked since.
        mode: Name = "mode",
        /// What it may do unasked since.
        allow_tools: Vec<Line> = "allowTools",
        /// Happy's finer word.
        decision: Name = "decision",
    }
}

fn spell_request(object: &mut Object) {
    respell(object, "toolName", "tool");
    if !object.contains_key("arguments")
        && let Some(input) = object.remove("input")
    {
        object.insert("arguments".into(), unquote(input));
    }
}

fn spell_completed(object: &mut Object) {
    spell_request(object);
    respell(object, "resolvedAt", "completedAt");
    respell(object, "allowedTools", "allowTools");
    if !object.contains_key("status")
        && let Some(Value::Bool(allow)) = object.remove("allow")
    {
        object.insert("status".into(), if allow { "approved" } else { "denied" }.into());
    }
}
