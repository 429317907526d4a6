//! The owner's policy in the registry: one record a rule, one for the rest.
//!
//! A record that cannot be read is set aside and reported like a session's. It may have been one that denies, so a rule
//! takes its place that asks about everything, until its owner removes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use delight_core::policy::describe;
use delight_proto::agent::OnNoAnswer;
use delight_proto::id::SessionId;
use delight_proto::policy::{Effect, MAX_RULES, Policy, Reach, Rule, default_no_answer_ms};
use delight_proto::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::record;
use super::registry::Registry;

const RULES: &str = "policy";
const ASIDE: &str = "policy-quarantine";

/// Where everything but the rules stands among them. Rules have keys of eight bytes.
const SETTINGS_KEY: &[u8] = b"settings of the policy";

/// The policy's trees.
#[derive(Debug)]
pub(super) struct Policies {
    rules: sled::Tree,
    aside: sled::Tree,
}

/// Everything but the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Settings {
    on_no_answer: OnNoAnswer,
    no_answer_ms: u64,
    /// The last number given to a rule: none is given twice, so that nobody removes another rule than they meant.
    last_rule: u64,
}

/// What is to be changed. Rules are checked before they come here.
#[derive(Debug)]
pub(crate) enum PolicyChange {
    /// A rule more; its number is given here. Rules that are over at this time make room.
    Add {
        /// The rule.
        rule: Box<Rule>,
        /// Unix milliseconds.
        now_ms: u64,
    },
    /// A rule less.
    Remove {
        /// Its number.
        id: u64,
    },
    /// What becomes of permissions nobody answers.
    Set {
        /// That.
        on_no_answer: OnNoAnswer,
        /// After how long; none: as before.
        no_answer_ms: Option<u64>,
    },
}

/// What was changed.
#[derive(Debug, PartialEq)]
pub(crate) enum PolicyChanged {
    /// The rule that came or went.
    Rule(Rule),
    /// The policy as it is now.
    Policy(Arc<Policy>),
}

impl Policies {
    /// Opens or makes the trees.
    pub(super) fn open(db: &sled::Db) -> sled::Result<Self> {
        Ok(Self { rules: db.open_tree(RULES)?, aside: db.open_tree(ASIDE)? })
    }

    #[cfg(test)]
    pub(super) fn tree(&self) -> &sled::Tree {
        &self.rules
    }
}

/// Reads the policy. Rules of sessions that are not `known` (any more) are deleted: a removal was cut short.
pub(super) fn load(
    registry: &Registry,
    known: &BTreeSet<SessionId>,
    quarantined: &mut Vec<String>,
) -> Result<Policy, Refusal> {
    let trees = registry.policies();
    let mut settings = None;
    let mut rules = Vec::new();
    let (mut lost, mut over) = (Vec::new(), Vec::new());
    for entry in &trees.rules {
        let (key, value) = entry.map_err(|e| registry.refuse("read", &e))?;
        let reason = if *key == *SETTINGS_KEY {
            match record::decode::<Settings>(&value) {
                Ok(read) => {
                    settings = Some(read);
                    continue;
                }
                Err(e) => e.to_string(),
            }
        } else {
            match record::decode::<Rule>(&value) {
                Ok(rule) if rule.id.to_be_bytes() == *key => {
                    match &rule.reach {
                        Reach::Session { session } if !known.contains(session) => over.push(rule.id),
                        _ => rules.push(rule),
                    }
                    continue;
                }
                Ok(rule) => format!("it says it is rule {}", rule.id),
                Err(e) => e.to_string(),
            }
        };
        lost.push((key, value, reason));
    }
    for (key, value, reason) in lost {
        tracing::error!(reason, "a record of the policy is set aside");
        trees.aside.insert(&key, value).map_err(|e| registry.refuse("write", &e))?;
        // Written there before it is replaced here: a crash in between leaves it in both, never in none.
        registry.flush()?;
        let id = <[u8; 8]>::try_from(&*key).map_or(u64::MAX, u64::from_be_bytes);
        trees.rules.remove(&key).map_err(|e| registry.refuse("write", &e))?;
        let stand_in = Rule {
            id,
            effect: Effect::Ask,
            reach: Reach::Machine,
            tool: None,
            command: None,
            path: None,
            expires_ms: None,
        };
        put(registry, &stand_in)?;
        quarantined.push(format!(
            "policy: {reason}; {} stands in for it: look at `delightctl policy list`",
            describe(&stand_in)
        ));
        rules.push(stand_in);
    }
    for id in over {
        delete(registry, id)?;
    }
    registry.flush()?;
    let (on_no_answer, no_answer_ms) =
        settings.map_or((OnNoAnswer::Wait, default_no_answer_ms()), |s| (s.on_no_answer, s.no_answer_ms));
    Ok(Policy { rules, on_no_answer, no_answer_ms })
}

/// Carries a change out, durably, and shows it to those who watch.
pub(super) fn change(
    registry: &Registry,
    policy: &watch::Sender<Arc<Policy>>,
    change: PolicyChange,
) -> Result<PolicyChanged, Refusal> {
    let mut next = Policy::clone(&policy.borrow());
    let changed = match change {
        PolicyChange::Add { rule, now_ms } => {
            for over in next.rules.extract_if(.., |rule| rule.expires_ms.is_some_and(|at| at <= now_ms)) {
                delete(registry, over.id)?;
            }
            if next.rules.len() >= MAX_RULES {
                return Err(Refusal::new(
                    Code::Conflict,
                    "the rule cannot be kept",
                    format!("there are {MAX_RULES} rules already"),
                )
                .fix("remove some: delightctl policy list, delightctl policy remove"));
            }
            let id = last_rule(registry)?.max(next.rules.iter().map(|rule| rule.id).max().unwrap_or(0)) + 1;
            let rule = Rule { id, ..*rule };
            put(registry, &rule)?;
            put_settings(registry, &next, id)?;
            next.rules.push(rule.clone());
            Some(rule)
        }
        PolicyChange::Remove { id } => {
            let Some(at) = next.rules.iter().position(|rule| rule.id == id) else {
                return Err(Refusal::new(
                    Code::NotFound,
                    format!("rule {id} cannot be removed"),
                    "there is no rule of that number",
                )
                .fix("delightctl policy list shows those there are"));
            };
            delete(registry, id)?;
            Some(next.rules.remove(at))
        }
        PolicyChange::Set { on_no_answer, no_answer_ms } => {
            next.on_no_answer = on_no_answer;
            next.no_answer_ms = no_answer_ms.unwrap_or(next.no_answer_ms);
            put_settings(registry, &next, last_rule(registry)?)?;
            None
        }
    };
    registry.flush()?;
    let next = Arc::new(next);
    policy.send_replace(Arc::clone(&next));
    Ok(changed.map_or_else(|| PolicyChanged::Policy(next), PolicyChanged::Rule))
}

/// Deletes the rules that hold in a session; durable with the next flush.
pub(super) fn forget(
    registry: &Registry,
    policy: &watch::Sender<Arc<Policy>>,
    id: SessionId,
) -> Result<(), Refusal> {
    let of_it = |rule: &Rule| rule.reach == Reach::Session { session: id };
    if !policy.borrow().rules.iter().any(of_it) {
        return Ok(());
    }
    let mut next = Policy::clone(&policy.borrow());
    for rule in next.rules.extract_if(.., |rule| of_it(rule)) {
        delete(registry, rule.id)?;
    }
    policy.send_replace(Arc::new(next));
    Ok(())
}

fn put(registry: &Registry, rule: &Rule) -> Result<(), Refusal> {
    let bytes = record::encode(rule).map_err(|e| registry.refuse("write", &e))?;
    let written = registry.policies().rules.insert(rule.id.to_be_bytes(), bytes);
    written.map(drop).map_err(|e| registry.refuse("write", &e))
}

fn delete(registry: &Registry, id: u64) -> Result<(), Refusal> {
    let removed = registry.policies().rules.remove(id.to_be_bytes());
    removed.map(drop).map_err(|e| registry.refuse("write", &e))
}

fn put_settings(registry: &Registry, policy: &Policy, last_rule: u64) -> Result<(), Refusal> {
    let settings =
        Settings { on_no_answer: policy.on_no_answer, no_answer_ms: policy.no_answer_ms, last_rule };
    let bytes = record::encode(&settings).map_err(|e| registry.refuse("write", &e))?;
    let written = registry.policies().rules.insert(SETTINGS_KEY, bytes);
    written.map(drop).map_err(|e| registry.refuse("write", &e))
}

fn last_rule(registry: &Registry) -> Result<u64, Refusal> {
    let found = registry.policies().rules.get(SETTINGS_KEY).map_err(|e| registry.refuse("read", &e))?;
    let settings = found.map(|value| record::decode::<Settings>(&value)).transpose();
    Ok(settings.map_err(|e| registry.refuse("read", &e))?.map_or(0, |settings| settings.last_rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{id, place, record};
    use crate::store::{Store, Write, open};

    fn rule(reach: Reach) -> Box<Rule> {
        let tool = Some("Edit".to_owned());
        Box::new(Rule {
            id: 0,
            effect: Effect::Deny,
            reach,
            tool,
            command: None,
            path: None,
            expires_ms: None,
        })
    }

    async fn add(store: &Store, rule: Box<Rule>) -> u64 {
        match store.change_policy(PolicyChange::Add { rule, now_ms: 1 }).await {
            Ok(PolicyChanged::Rule(rule)) => rule.id,
            other => panic!("{other:?}"),
        }
    }

    fn numbers(store: &Store) -> Vec<u64> {
        store.policy().borrow().rules.iter().map(|rule| rule.id).collect()
    }

    #[tokio::test]
    async fn what_was_answered_is_kept_and_no_number_is_given_twice() {
        let base = tempfile::tempdir().unwrap();
        let place = place(base.path());
        let (store, _) = open(&place).unwrap();
        let mut watched = store.policy();
        assert_eq!(
            [add(&store, rule(Reach::Machine)).await, add(&store, rule(Reach::Machine)).await],
            [1, 2]
        );
        watched.changed().await.unwrap();
        let set = PolicyChange::Set { on_no_answer: OnNoAnswer::Deny, no_answer_ms: Some(5_000) };
        let PolicyChanged::Policy(policy) = store.change_policy(set).await.unwrap() else {
            panic!("no policy")
        };
        assert_eq!((policy.on_no_answer, policy.no_answer_ms), (OnNoAnswer::Deny, 5_000));
        store.change_policy(PolicyChange::Remove { id: 2 }).await.unwrap();
        let missing = store.change_policy(PolicyChange::Remove { id: 2 }).await.unwrap_err();
        assert_eq!(missing.code, Code::NotFound);
        store.close().await;
        drop(store);
        let (store, contents) = open(&place).unwrap();
        assert!(contents.quarantined.is_empty(), "{:?}", contents.quarantined);
        assert_eq!(numbers(&store), [1]);
        assert_eq!(store.policy().borrow().no_answer_ms, 5_000);
        assert_eq!(add(&store, rule(Reach::Machine)).await, 3);
        store.close().await;
    }

    #[tokio::test]
    async fn a_session_takes_its_rules_with_it() {
        let base = tempfile::tempdir().unwrap();
        let place = place(base.path());
        let (store, _) = open(&place).unwrap();
        store.commit(id(1), vec![Write::Save(Box::new(record(1)))]).await.unwrap();
        add(&store, rule(Reach::Session { session: id(1) })).await;
        add(&store, rule(Reach::Session { session: id(2) })).await;
        add(&store, rule(Reach::Machine)).await;
        store.commit(id(1), vec![Write::Forget]).await.unwrap();
        assert_eq!(numbers(&store), [2, 3]);
        store.close().await;
        drop(store);
        let (store, _) = open(&place).unwrap();
        assert_eq!(numbers(&store), [3], "session 2 is not known");
        store.close().await;
    }

    #[tokio::test]
    async fn rules_are_bounded_and_those_that_are_over_make_room() {
        let base = tempfile::tempdir().unwrap();
        let (store, _) = open(&place(base.path())).unwrap();
        let short = Rule { expires_ms: Some(10), ..*rule(Reach::Machine) };
        add(&store, Box::new(short)).await;
        for _ in 1..MAX_RULES {
            add(&store, rule(Reach::Machine)).await;
        }
        let one_more = |now_ms| PolicyChange::Add { rule: rule(Reach::Machine), now_ms };
        assert_eq!(store.change_policy(one_more(9)).await.unwrap_err().code, Code::Conflict);
        store.change_policy(one_more(10)).await.unwrap();
        assert!(!numbers(&store).contains(&1));
        store.close().await;
    }

    #[tokio::test]
    async fn a_damaged_rule_asks_about_everything_until_it_is_removed() {
        let base = tempfile::tempdir().unwrap();
        let place = place(base.path());
        let (store, _) = open(&place).unwrap();
        add(&store, rule(Reach::Machine)).await;
        add(&store, rule(Reach::Machine)).await;
        store.close().await;
        drop(store);
        crate::store::registry::await_release(&place.registry()).unwrap();
        let registry = Registry::open(&place.registry(), &place.registry(), &place.sessions()).unwrap();
        registry.policies().tree().insert(1u64.to_be_bytes(), b"r1 00000000\n{}").unwrap();
        registry.flush().unwrap();
        drop(registry);
        for round in 0..2 {
            let (store, contents) = open(&place).unwrap();
            let policy = Arc::clone(&store.policy().borrow());
            let stand_in = policy.rules.iter().find(|rule| rule.id == 1).unwrap();
            assert_eq!((stand_in.effect, &stand_in.tool), (Effect::Ask, &None));
            assert_eq!(contents.quarantined.iter().any(|line| line.contains("rule 1")), round == 0);
            store.close().await;
            drop(store);
        }
        let (store, _) = open(&place).unwrap();
        store.change_policy(PolicyChange::Remove { id: 1 }).await.unwrap();
        assert_eq!(numbers(&store), [2]);
        store.close().await;
    }
}
