//! `wait`: returns when a session is in a state.

use std::time::{Duration, Instant};

use delight_proto::agent::Activity;
use delight_proto::api::method::{
    Change, SessionGet, SessionRef, SessionWait, Subscribe, SubscribeParams, WaitParams,
};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Exit, Phase, SessionView};

use crate::context::Context;
use crate::failure::Failure;
use crate::span;
use crate::unreachable::lost;
use crate::view::{self, OneSession};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 7 when the time is up first. It returns at once if the state is reached already.

Examples:
  delightctl wait build
  delightctl wait build --exit-status && echo it worked
  delightctl wait build --until running --timeout 30s
  delightctl wait review --until idle,permission     its agent is done, or asks; ends with 6 if it ended instead")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// States to wait for, with commas: ended (any state in which nothing of it is alive), starting, running,
    /// stopping, backing-off, exited, stopped, failed, interrupted; of an agent: idle, permission (it asks), working
    #[arg(long, value_name = "STATES", default_value = "ended", value_parser = parse_until)]
    until: Until,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", value_parser = span::duration)]
    timeout: Option<Duration>,
    /// Exit as the session's command did (128 + signal when a signal ended it)
    #[arg(long)]
    exit_status: bool,
}

/// What to wait for. Neither means any phase in which nothing is alive, as in the API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Until {
    phases: Vec<Phase>,
    activities: Vec<Activity>,
}

/// Phases in which nothing is alive.
const ENDED: [Phase; 4] = [Phase::Exited, Phase::Stopped, Phase::Failed, Phase::Interrupted];

fn parse_until(text: &str) -> Result<Until, String> {
    let mut phases = Vec::new();
    let mut activities = Vec::new();
    let mut ended = false;
    for word in text.split(',') {
        match word {
            "ended" | "exit" => ended = true,
            "idle" => activities.push(Activity::Idle),
            "working" => activities.push(Activity::Working),
            "permission" => activities.push(Activity::NeedsDecision),
            word => {
                let phase = serde_json::from_value(serde_json::Value::from(word));
                phases.push(phase.map_err(|_| format!("there is no state {word:?}"))?);
            }
        }
    }
    if ended && !(phases.is_empty() && activities.is_empty()) {
        phases.extend(ENDED);
    }
    Ok(Until { phases, activities })
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        if !self.until.activities.is_empty() {
            let session = self.watch(context)?;
            context.out.result(&OneSession { session: &session }, || told(&session))?;
            return Ok(if self.exit_status { exit_status(&session) } else { 0 });
        }
        let params = WaitParams {
            session: self.session,
            phases: self.until.phases,
            activity: Vec::new(),
            timeout_ms: self.timeout.map(|limit| limit.as_millis() as u64),
        };
        let session = context.daemon()?.call::<SessionWait>(&params).map_err(|failure| match failure {
            Failure::Refused(refusal) if refusal.code == Code::Timeout && refusal.fix.is_empty() => {
                let fix = format!("wait longer, or see what it does: delightctl show {}", params.session);
                refusal.fix(fix).into()
            }
            other => other,
        })?;
        context.out.result(&OneSession { session: &session }, || told(&session))?;
        Ok(if self.exit_status { exit_status(&session) } else { 0 })
    }
}

impl Args {
    /// Watches the session until its agent does what is waited for.
    fn watch(&self, context: &Context) -> Result<SessionView, Failure> {
        let deadline = self.timeout.and_then(|limit| Instant::now().checked_add(limit));
        let mut daemon = context.daemon()?;
        let params = SubscribeParams { session: Some(self.session.clone()) };
        let seen = daemon.call::<Subscribe>(&params)?.sessions.into_iter().next();
        let mut view = match seen {
            Some(view) => view,
            None => daemon.call::<SessionGet>(&SessionRef { session: self.session.clone() })?,
        };
        loop {
            if self.until.phases.contains(&view.phase) || self.until.activities.contains(&activity(&view)) {
                return Ok(view);
            }
            let over = |reason: String| {
                let what = format!("session {} will not get there", view::handle(&view));
                Refusal::new(Code::WrongState, what, reason)
                    .fix(format!("delightctl why {}", view::handle(&view)))
            };
            if !view.phase.is_live() {
                return Err(over(format!("it is not alive: {}", view::state(&view))).into());
            }
            if view.agent.is_none() {
                return Err(over("there is no agent in it".to_owned()).into());
            }
            match daemon.change_by(deadline)? {
                Some(Change::Session { session }) => view = *session,
                Some(Change::Removed { .. }) => return Err(over("it was removed".to_owned()).into()),
                Some(Change::Lagged { .. }) => {
                    view = daemon.call::<SessionGet>(&SessionRef { session: view.id.to_string() })?;
                }
                None => return Err(lost("it ended the connection").into()),
            }
        }
    }
}

/// What the agent is doing; a permission that waits counts whatever it says.
fn activity(view: &SessionView) -> Activity {
    match view.agent.as_deref() {
        Some(agent) if !agent.pending.is_empty() => Activity::NeedsDecision,
        Some(agent) if !agent.switching => agent.activity.map_or(Activity::Unknown, |now| now.activity),
        _ => Activity::Unknown,
    }
}

/// State and next step.
pub(super) fn told(session: &SessionView) -> String {
    let handle = view::handle(session);
    let next = if session.phase.is_live() {
        format!("delightctl attach {handle}")
    } else {
        format!("delightctl logs {handle}")
    };
    format!("{} {}\nnext: {next}\n", view::title(session), view::state(session))
}

/// The exit status of the session's command as a shell would give it; 1 when it never had one.
pub(super) fn exit_status(session: &SessionView) -> u8 {
    session.exit.map_or(1, shell_status)
}

/// How a shell tells an end: the status, or 128 + the signal.
pub(crate) fn shell_status(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => (code & 0xff) as u8,
        Exit::Signal(signal) => 128u8.saturating_add((signal & 0x7f) as u8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_to_wait_for() {
        let phases = |phases: &[Phase]| Ok(Until { phases: phases.to_vec(), activities: vec![] });
        assert_eq!(parse_until("ended"), phases(&[]));
        assert_eq!(parse_until("running,backing-off"), phases(&[Phase::Running, Phase::BackingOff]));
        assert!(parse_until("ended,running").unwrap().phases.contains(&Phase::Interrupted));
        let both = parse_until("idle,permission,exit").unwrap();
        assert_eq!(both.activities, [Activity::Idle, Activity::NeedsDecision]);
        assert_eq!(both.phases, ENDED);
        assert!(parse_until("").is_err() && parse_until("done").is_err());
    }

    #[test]
    fn ends_become_shell_statuses() {
        assert_eq!([Exit::Code(0), Exit::Code(3), Exit::Signal(9)].map(shell_status), [0, 3, 137]);
    }
}
