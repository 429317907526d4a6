//! What the agent does and says, taken in once each: places, turns, activity.

use std::sync::Arc;

use delight_proto::agent::{
    Activity, ActivityView, AgentEvent, AgentRecord, AgentView, Control, Mark, Mode, Offers, RecordBody,
    Source, TurnStatus,
};
use delight_proto::event::EventBody;
use delight_proto::session::Origin;

use super::input::AgentHeard;
use super::state::{Cause, SAVE_EVERY, Session, Tree};
use super::step::Step;
use super::{bounding, dedupe, memory};

impl Step {
    /// Takes in what a line means, but for what was taken in before.
    pub(super) fn heard(&mut self, heard: AgentHeard) {
        let AgentHeard { generation, source, offset, first, events } = heard;
        if generation != self.s.record.generation || self.s.served().is_none() || self.s.is_discarded() {
            return;
        }
        let known = memory::mark(&self.s.record.agent, source);
        for (index, event) in (first..).zip(events) {
            let mark = Mark { offset, index };
            // Being ready is of a generation, not of a place: it may be on record less durably than what came after it.
            if event == AgentEvent::Ready && self.s.served() == Some(Control::Remote) {
                self.agent_ready();
            }
            if source != Source::Status && mark <= known {
                continue;
            }
            let seq = self.s.record.last_seq;
            self.did(source, mark, event);
            memory::advance(&mut self.s.record.agent, source, mark);
            self.s.unsaved_marks += u64::from(seq == self.s.record.last_seq);
        }
        if self.s.unsaved_marks >= SAVE_EVERY {
            self.checkpoint();
        }
        self.tell_idle();
        if self.s.tree == Tree::Gone && !self.s.is_sought() {
            // Its last words came after its end.
            self.agent_over("the agent ended");
        }
    }

    fn did(&mut self, source: Source, mark: Mark, event: AgentEvent) {
        match event {
            AgentEvent::Ready => {}
            AgentEvent::Conversation { id } => {
                if self.s.record.agent.conversation.as_ref() != Some(&id) {
                    self.log(EventBody::ConversationChanged { conversation: id });
                }
            }
            AgentEvent::Activity { activity } => self.active(source, activity),
            AgentEvent::Record { record } => self.recorded(source, mark, record),
            AgentEvent::Asked { ask } => self.permission_asked(ask),
            AgentEvent::Withdrawn { id } => self.withdraw(&id, "the agent took it back"),
            AgentEvent::Mode(mode) => self.mode(mode),
            AgentEvent::Offers(offers) => self.offered(offers),
            AgentEvent::Unable { refusal } => {
                if self.s.served() == Some(Control::Remote) {
                    self.agent_unable(refusal);
                }
            }
            AgentEvent::Skipped { bytes, mut what } => {
                bounding::text(&mut what, delight_proto::agent::bounds::SHORT_TEXT);
                self.log(EventBody::Skipped { source, mark, bytes, what });
            }
        }
    }

    fn active(&mut self, source: Source, activity: Activity) {
        if self.s.record.agent.activity.is_none_or(|before| before.activity != activity) {
            let since_ms = self.now.wall_ms;
            self.log(EventBody::ActivityChanged { view: ActivityView { activity, source, since_ms } });
        }
    }

    fn mode(&mut self, mut mode: Mode) {
        bounding::mode(&mut mode);
        let mode = mode.other_than(&self.s.record.agent.mode);
        if !mode.is_empty() {
            self.log(EventBody::ModeChanged { mode, origin: Origin::Daemon });
        }
    }

    fn offered(&mut self, mut offers: Offers) {
        bounding::offers(&mut offers);
        let offers = offers.other_than(&self.s.record.agent.offers);
        if !offers.is_empty() {
            self.log(EventBody::OffersChanged { offers });
        }
    }

    fn recorded(&mut self, source: Source, mark: Mark, mut record: AgentRecord) {
        bounding::record(&mut record);
        let print = dedupe::fingerprint(&record);
        if print.is_some_and(|print| self.s.record.agent.seen.contains(&print)) {
            return;
        }
        let open = self.s.record.agent.turn.clone();
        match &record.body {
            // Only the agent itself has turns; a sub-agent's work is part of them.
            RecordBody::TurnStarted { .. } | RecordBody::TurnEnded { .. } if record.parent.is_some() => {}
            RecordBody::TurnStarted { turn } => {
                if open.as_ref() == Some(turn) {
                    return;
                }
                self.end_turn();
                self.log(EventBody::Recorded { source, mark, record });
                self.active(source, Activity::Working);
            }
            RecordBody::TurnEnded { turn, .. } => {
                if open.as_ref() == Some(turn) {
                    self.log(EventBody::Recorded { source, mark, record });
                    self.active(source, Activity::Idle);
                }
            }
            _ => self.log(EventBody::Recorded { source, mark, record }),
        }
    }

    /// Ends the turn that is open: every one that starts ends.
    pub(super) fn end_turn(&mut self) {
        if let Some(turn) = self.s.record.agent.turn.clone() {
            let body = RecordBody::TurnEnded { turn, status: TurnStatus::Cancelled };
            let record = AgentRecord { key: None, parent: None, body };
            let mark = self.s.record.agent.stream;
            self.log(EventBody::Recorded { source: Source::Stream, mark, record });
        }
    }
}

impl Session {
    /// Its agent as clients see it; none: a plain terminal.
    pub(super) fn agent_view(&self) -> Option<Box<AgentView>> {
        let agent = &self.record.agent;
        let control = agent.control?;
        let pending: Vec<_> = self.pending().cloned().collect();
        let falls_back = self.starting.is_some_and(|s| s.cause == Cause::FallBack);
        Some(Box::new(AgentView {
            control,
            switching: self.record.phase.is_live() && (agent.handover.is_some() || falls_back),
            controls: self.capabilities.controls.list(),
            shared: self.is_shared(),
            conversation: agent.conversation.clone(),
            mode: agent.mode.clone(),
            activity: self.activity(),
            pending,
            queued: u32::try_from(agent.queue.len()).unwrap_or(u32::MAX),
            bypass_until_ms: agent.bypass_until_ms,
            phone_messages: self.phone_messages(),
            offers: Arc::clone(&agent.offers),
        }))
    }

    /// What its agent is doing: while a permission waits, that.
    pub(super) fn activity(&self) -> Option<ActivityView> {
        let agent = &self.record.agent;
        let said = agent.activity.filter(|_| matches!(self.tree, Tree::Up { .. }));
        self.pending().next().map_or(said, |oldest| {
            let activity = Activity::NeedsDecision;
            Some(ActivityView { activity, source: Source::Stream, since_ms: oldest.asked_ms })
        })
    }
}
