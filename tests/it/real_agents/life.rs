//! What every agent must live through. Each story is one promise of issue 4.

use delight_proto::agent::{Activity, Control, RecordBody, TurnStatus};
use delight_proto::api::method::{SessionResume, SessionStop, StopParams};
use delight_proto::session::Phase;
use delight_tests::api::one;
use delight_tests::{kernel, until};
use nix::sys::signal::Signal;

use super::rig::Rig;

/// Ends it in order; nothing of it is left.
pub(super) fn ends(mut rig: Rig) {
    let params = StopParams { session: rig.id.to_string(), kill: false, grace_ms: None };
    let view = rig.client().call::<SessionStop>(&params).expect("it ends");
    assert!(!view.phase.is_live(), "{view:?}");
    until("nothing of the agent is left", || rig.sandbox.runners().is_empty());
}

/// Words, thoughts and a tool that needs no leave; each turn begins and ends once.
pub(super) fn converses(mut rig: Rig) {
    rig.prompt("think hm ;; say hello world");
    assert_eq!(rig.until_turns(1), TurnStatus::Completed);
    assert_eq!(rig.said("hello world"), 1);
    rig.until_idle();
    rig.prompt("recall");
    assert_eq!(rig.until_turns(2), TurnStatus::Completed);
    let recalled = rig.until_said("recall: ");
    assert!(recalled.contains("hello world"), "{recalled}");
    let view = rig.view();
    assert!(view.agent.is_some_and(|agent| agent.conversation.is_some()), "its conversation is known");
    let starts = rig.records().iter().filter(|body| matches!(body, RecordBody::TurnStarted { .. })).count();
    assert_eq!(starts, 2);
    ends(rig);
}

/// "My approval was lost": what was allowed happens, what was denied does not, and the agent is told which.
pub(super) fn asks_and_obeys(mut rig: Rig) {
    let (ask, cwd) = (rig.kind.ask, rig.cwd.clone());
    rig.prompt(&format!("{ask} touch allowed.txt; echo made"));
    let asked = rig.asked();
    assert_eq!(asked.ask.command.as_deref(), Some("touch allowed.txt; echo made"));
    assert!(!cwd.join("allowed.txt").exists(), "it waits");
    rig.decide(&asked, true);
    assert_eq!(rig.until_turns(1), TurnStatus::Completed);
    assert!(cwd.join("allowed.txt").exists());
    rig.until_idle();
    rig.prompt(&format!("{ask} touch denied.txt"));
    let asked = rig.asked();
    rig.decide(&asked, false);
    rig.until_turns(2);
    rig.until_idle();
    assert!(!cwd.join("denied.txt").exists());
    assert!(rig.view().agent.unwrap().pending.is_empty());
    ends(rig);
}

/// An abort reaches the model's request, and the agent takes the next message.
pub(super) fn stops_in_mid_stream(mut rig: Rig) {
    rig.prompt("say begun ;; slow 120");
    until("the model streams", || rig.model.asked().iter().any(|asked| asked.prompt.contains("slow 120")));
    until("the agent works", || rig.activity() == Some(Activity::Working));
    rig.abort();
    assert_eq!(rig.until_turns(1), TurnStatus::Cancelled);
    until("the model's request was dropped", || {
        rig.model.asked().iter().any(|asked| asked.prompt.contains("slow 120") && asked.outcome == "aborted")
    });
    rig.until_idle();
    rig.prompt("say still here");
    rig.until_said("still here");
    ends(rig);
}

/// "A restart in mid turn loses or doubles what was said."
pub(super) fn survives_the_daemon_in_mid_turn(mut rig: Rig) {
    rig.prompt("say before the gate ;; gate one ;; say after the gate");
    rig.until_model_waits("one");
    let runner = rig.view().pid;
    rig.daemon_dies();
    rig.model.open_gate("one");
    rig.daemon_comes();
    assert_eq!(rig.until_turns(1), TurnStatus::Completed);
    let all: String = rig
        .records()
        .into_iter()
        .filter_map(|body| match body {
            RecordBody::Text { text } => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(all.matches("before the gate").count(), 1, "{all:?}");
    assert_eq!(all.matches("after the gate").count(), 1, "{all:?}");
    assert_eq!(rig.view().pid, runner, "the same process");
    rig.until_idle();
    rig.prompt("say again");
    rig.until_said("again");
    ends(rig);
}

/// "A restart leaves a pending approval dead and the agent parked."
pub(super) fn is_answered_after_the_daemon_died(mut rig: Rig) {
    let (ask, cwd) = (rig.kind.ask, rig.cwd.clone());
    rig.prompt(&format!("{ask} touch pending.txt"));
    let before = rig.asked();
    rig.daemon_dies();
    rig.daemon_comes();
    let after = rig.asked();
    assert_eq!(after.ask.id, before.ask.id);
    rig.decide(&after, true);
    assert_eq!(rig.until_turns(1), TurnStatus::Completed);
    assert!(cwd.join("pending.txt").exists());
    ends(rig);
}

/// Desktop, phone, desktop: one conversation, and nothing of it twice.
pub(super) fn changes_hands(mut rig: Rig) {
    rig.until_idle_at_the_desktop();
    rig.types("say from the desktop");
    rig.until_said("from the desktop");
    rig.until_turns(1);
    rig.switch(Control::Remote);
    assert_eq!(rig.control(), Some(Control::Remote));
    rig.prompt("recall");
    let recalled = rig.until_said("recall: ");
    assert!(recalled.contains("say from the desktop"), "{recalled}");
    rig.until_idle();
    rig.switch(Control::Local);
    assert_eq!(rig.control(), Some(Control::Local));
    rig.until_idle_at_the_desktop();
    rig.types("say once more");
    rig.until_said("once more");
    assert_eq!(rig.said("from the desktop"), 1);
    assert_eq!(
        rig.records()
            .iter()
            .filter(|body| matches!(body, RecordBody::Text { text } if text.starts_with("recall: ")))
            .count(),
        1
    );
    ends(rig);
}

/// The agent dies; its conversation goes on in the next one.
pub(super) fn goes_on_after_it_was_killed(mut rig: Rig) {
    rig.prompt("say remember me");
    rig.until_said("remember me");
    rig.until_turns(1);
    rig.until_idle();
    let view = rig.view();
    kernel::signal(view.pid.unwrap(), Signal::SIGKILL);
    // The desktop gets it back; where nobody can, it has ended.
    until("it is known", || rig.view().generation > view.generation || !rig.view().phase.is_live());
    if rig.view().phase.is_live() {
        until("its terminal program is up", || {
            rig.control() == Some(Control::Local) && rig.view().phase == Phase::Running
        });
        rig.switch(Control::Remote);
    } else {
        rig.client().call::<SessionResume>(&one(view.id)).expect("it is resumed");
    }
    rig.prompt("recall");
    let recalled = rig.until_said("recall: ");
    assert!(recalled.contains("say remember me"), "{recalled}");
    ends(rig);
}
