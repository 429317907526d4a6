//! `allow`, `deny`: answers what an agent asks.

use delight_proto::agent::{Decision, Outcome, PermissionView, Scope};
use delight_proto::api::method::{DecideParams, Empty, PermissionList, SessionDecide, SessionPermission};
use delight_proto::refusal::{Code, Refusal};
use serde_json::{Map, Value};

use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Failure, usage};
use crate::{happening, text};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without a session it answers the only permission that waits on this machine. The first answer wins, here or on the phone; \
the same answer again is no error, another one is a conflict (exit status 6).

Examples:
  delightctl allow
  delightctl allow review
  delightctl allow review toolu_01 --session
  delightctl allow review --answer 'Which colour?=blue'")]
pub(crate) struct Allow {
    #[command(flatten)]
    which: Which,
    /// Also requests like it, as long as the session lives
    #[arg(long = "session")]
    for_session: bool,
    /// Answer a question: its words and the answer (may be repeated)
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_answer)]
    answer: Vec<(String, String)>,
    /// Permission mode the agent goes on with
    #[arg(long, value_name = "MODE")]
    permission_mode: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl deny
  delightctl deny review --reason 'use the test database'")]
pub(crate) struct Deny {
    #[command(flatten)]
    which: Which,
    /// Words the agent is told
    #[arg(long, value_name = "WORDS")]
    reason: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Session: ID, unique prefix, name or @last [default: that of the only permission that waits]
    #[arg(value_name = "SESSION")]
    of: Option<String>,
    /// Permission: its ID or a unique prefix [default: the only one of the session that waits]
    permission: Option<String>,
}

fn parse_answer(text: &str) -> Result<(String, String), String> {
    // The last `=`: questions may hold one, answers chosen from a list do not.
    text.rsplit_once('=')
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("{text:?} is not KEY=VALUE"))
}

impl Allow {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let answers = (!self.answer.is_empty()).then(|| {
            let pairs = self.answer.into_iter().map(|(key, value)| (key, Value::from(value)));
            Value::Object(pairs.collect::<Map<_, _>>())
        });
        let scope = if self.for_session { Scope::Session } else { Scope::Once };
        let permission_mode = self.permission_mode;
        decide(context, self.which, Decision { allow: true, scope, reason: None, answers, permission_mode })
    }
}

impl Deny {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let reason = self.reason;
        let no = Decision { allow: false, scope: Scope::Once, reason, answers: None, permission_mode: None };
        decide(context, self.which, no)
    }
}

fn decide(context: &Context, which: Which, decision: Decision) -> Result<u8, Failure> {
    let mut daemon = context.daemon()?;
    let params = match which.of {
        Some(session) => DecideParams { session, permission: which.permission, decision },
        None => {
            let only = only(&mut daemon)?;
            let permission = Some(only.permission.ask.id.to_string());
            DecideParams { session: only.session.to_string(), permission, decision }
        }
    };
    let decided = daemon.call::<SessionDecide>(&params)?;
    context.out.result(&decided, || told(&decided))?;
    Ok(0)
}

/// The one permission that waits on this machine.
fn only(daemon: &mut Connection) -> Result<SessionPermission, Failure> {
    let mut waiting = daemon.call::<PermissionList>(&Empty {})?.permissions;
    match (waiting.pop(), waiting.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => {
            Err(Refusal::new(Code::NotFound, "there is nothing to answer", "no agent waits for a permission")
                .fix("delightctl list shows what the sessions do")
                .into())
        }
        (Some(_), false) => Err(usage(
            "it cannot be told which permission is meant",
            format!("{} wait", text::count(waiting.len() as u64 + 1, "permission")),
            "name the session; delightctl permissions lists them",
        )),
    }
}

fn told(decided: &PermissionView) -> String {
    let outcome = decided.ended.as_ref().map(|end| end.outcome);
    let word = outcome.map_or("decided", happening::outcome);
    let what = format!("{} {}", decided.ask.tool, happening::excerpt(&decided.ask.title));
    let then = match outcome {
        Some(Outcome::Allowed | Outcome::Denied) => "; the agent has the answer",
        _ => "",
    };
    format!("{word}: {}{then}\n", text::visible(&what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_pairs() {
        assert_eq!(parse_answer("a=b?=c"), Ok(("a=b?".to_owned(), "c".to_owned())));
        assert!(parse_answer("=c").is_err() && parse_answer("c").is_err());
    }
}
