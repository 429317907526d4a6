//! `wait`: returns when a session is in a state.

use std::time::Duration;

use delight_proto::api::method::{SessionWait, WaitParams};
use delight_proto::refusal::Code;
use delight_proto::session::{Exit, Phase, SessionView};

use crate::context::Context;
use crate::failure::Failure;
use crate::span;
use crate::view::{self, OneSession};

/// Wait until a session has ended, or is in another state
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 7 when the time is up first. It returns at once if the state is reached already.

Examples:
  delightctl wait build
  delightctl wait build --exit-status && echo it worked
  delightctl wait build --until running --timeout 30s")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// States to wait for, with commas: ended (any state in which nothing of it is alive), starting, running,
    /// stopping, backing-off, exited, stopped, failed, interrupted
    #[arg(long, value_name = "STATES", default_value = "ended", value_parser = parse_until)]
    until: Until,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", value_parser = span::duration)]
    timeout: Option<Duration>,
    /// Exit as the session's command did (128 + signal when a signal ended it)
    #[arg(long)]
    exit_status: bool,
}

/// What to wait for: no phase means any in which nothing is alive, as in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Until(Vec<Phase>);

fn parse_until(text: &str) -> Result<Until, String> {
    let mut phases = Vec::new();
    let mut ended = false;
    for word in text.split(',') {
        match word {
            "ended" | "exit" => ended = true,
            word => {
                let phase = serde_json::from_value(serde_json::Value::from(word));
                phases.push(phase.map_err(|_| format!("there is no state {word:?}"))?);
            }
        }
    }
    if ended && !phases.is_empty() {
        phases.extend([Phase::Exited, Phase::Stopped, Phase::Failed, Phase::Interrupted]);
    }
    Ok(Until(phases))
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let params = WaitParams {
            session: self.session,
            phases: self.until.0,
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
        assert_eq!(parse_until("ended"), Ok(Until(vec![])));
        assert_eq!(parse_until("running,backing-off"), Ok(Until(vec![Phase::Running, Phase::BackingOff])));
        assert!(parse_until("ended,running").unwrap().0.contains(&Phase::Interrupted));
        assert!(parse_until("").is_err() && parse_until("done").is_err());
    }

    #[test]
    fn ends_become_shell_statuses() {
        assert_eq!([Exit::Code(0), Exit::Code(3), Exit::Signal(9)].map(shell_status), [0, 3, 137]);
    }
}
