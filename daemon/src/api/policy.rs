//! The owner's policy over the control socket.

use delight_core::policy::{Circumstances, checked, evaluate, no_answer_in_bounds};
use delight_core::supervisor::Request as Ask;
use delight_proto::api::envelope::Request;
use delight_proto::api::method::{
    Method, PolicyAdd, PolicyGet, PolicyRemove, PolicySet, PolicyTest, PolicyTestParams,
};
use delight_proto::policy::{Rule, Verdict};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;

use super::Daemon;
use super::call::{Answer, blocking, mismatch};
use super::peer::outside_sessions;
use super::request::{params, raw};
use crate::actor::{Told, wall_ms};
use crate::policy::{asked, resolved};
use crate::store::{PolicyChange, PolicyChanged};

/// Whether the method is one of these.
pub(super) fn serves(method: &str) -> bool {
    [PolicyGet::NAME, PolicyAdd::NAME, PolicyRemove::NAME, PolicySet::NAME, PolicyTest::NAME]
        .contains(&method)
}

/// Carries out one of these methods.
pub(super) async fn call(daemon: &Daemon, origin: &Origin, request: &Request) -> Answer {
    match request.method.as_str() {
        PolicyAdd::NAME => {
            let rule = params::<PolicyAdd>(request)?.rule;
            outside_sessions(&daemon.supervision, origin, "adding a rule").await?;
            let now_ms = wall_ms();
            let rule = Box::new(blocking(move || at_its_place(checked(rule, now_ms)?, now_ms)).await?);
            changed(daemon, PolicyChange::Add { rule, now_ms }).await
        }
        PolicyRemove::NAME => {
            let id = params::<PolicyRemove>(request)?.id;
            outside_sessions(&daemon.supervision, origin, "removing a rule").await?;
            changed(daemon, PolicyChange::Remove { id }).await
        }
        PolicySet::NAME => {
            let params = params::<PolicySet>(request)?;
            outside_sessions(&daemon.supervision, origin, "setting the policy").await?;
            let no_answer_ms = params.no_answer_ms.map(no_answer_in_bounds).transpose()?;
            changed(daemon, PolicyChange::Set { on_no_answer: params.on_no_answer, no_answer_ms }).await
        }
        PolicyTest::NAME => raw(&test(daemon, params::<PolicyTest>(request)?).await?),
        _ => {
            params::<PolicyGet>(request)?;
            let policy = daemon.store.policy().borrow().clone();
            raw(&*policy)
        }
    }
}

/// The rule with the links in its path followed: those in the paths of requests are, too.
fn at_its_place(mut rule: Rule, now_ms: u64) -> Result<Rule, Refusal> {
    rule.path = rule.path.map(|path| resolved("/", &path));
    checked(rule, now_ms)
}

async fn changed(daemon: &Daemon, change: PolicyChange) -> Answer {
    match daemon.store.change_policy(change).await? {
        PolicyChanged::Rule(rule) => raw(&rule),
        PolicyChanged::Policy(policy) => raw(&*policy),
    }
}

async fn test(daemon: &Daemon, params: PolicyTestParams) -> Result<Verdict, Refusal> {
    let session = match params.session {
        None => None,
        Some(selector) => match daemon.supervision.ask(Origin::Daemon, Ask::Get { selector }).await? {
            Told::View(view) => Some(view),
            other => return Err(mismatch(&other)),
        },
    };
    let cwd =
        params.cwd.or_else(|| session.as_ref().map(|session| session.cwd.clone())).ok_or_else(|| {
            Refusal::new(Code::BadParams, "the policy cannot be tested", "neither cwd nor a session is named")
                .fix("say where it would happen")
        })?;
    if !cwd.starts_with('/') {
        return Err(Refusal::new(Code::BadParams, "the policy cannot be tested", "cwd: it is not absolute"));
    }
    let policy = daemon.store.policy().borrow().clone();
    blocking(move || {
        let ask = asked(&cwd, params.tool, params.input)
            .map_err(|e| Refusal::new(Code::Internal, "the policy cannot be tested", e.to_string()))?;
        let at = Circumstances {
            session: session.as_ref().map(|session| session.id),
            cwd: &cwd,
            bypass_until_ms: session.as_ref().and_then(|session| session.agent.as_ref()?.bypass_until_ms),
            now_ms: wall_ms(),
        };
        Ok(evaluate(&policy, &ask, &at))
    })
    .await
}
