//! The owner's policy over the control socket.

use delight_core::policy::{Circumstances, checked, evaluate, no_answer_in_bounds};
use delight_core::supervisor::Request as Ask;
use delight_proto::api::method::{
    PolicyAdd, PolicyGet, PolicyRemove, PolicySet, PolicyTest, PolicyTestParams,
};
use delight_proto::policy::{Rule, Verdict};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;

use super::Daemon;
use super::call::{Answer, blocking, mismatch};
use super::peer::outside_sessions;
use super::request::raw;
use super::routes::routes;
use crate::actor::{Told, wall_ms};
use crate::policy::{asked, resolved};
use crate::store::{PolicyChange, PolicyChanged};

routes! { caller, room;
    PolicyGet(_) => raw(&*caller.daemon().store.policy().borrow().clone()),
    PolicyAdd(params) => {
        outside_sessions(&caller.daemon().supervision, &caller.origin(), "adding a rule").await?;
        let (rule, now_ms) = (params.rule, wall_ms());
        let rule = Box::new(blocking(move || at_its_place(checked(rule, now_ms)?, now_ms)).await?);
        changed(caller.daemon(), PolicyChange::Add { rule, now_ms }).await
    },
    PolicyRemove(params) => {
        outside_sessions(&caller.daemon().supervision, &caller.origin(), "removing a rule").await?;
        changed(caller.daemon(), PolicyChange::Remove { id: params.id }).await
    },
    PolicySet(params) => {
        outside_sessions(&caller.daemon().supervision, &caller.origin(), "setting the policy").await?;
        let no_answer_ms = params.no_answer_ms.map(no_answer_in_bounds).transpose()?;
        let change = PolicyChange::Set { on_no_answer: params.on_no_answer, no_answer_ms };
        changed(caller.daemon(), change).await
    },
    PolicyTest(params) => raw(&test(caller.daemon(), params).await?),
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
