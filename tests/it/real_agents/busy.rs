//! An agent that takes one message at a time.

use delight_proto::agent::{RecordBody, TurnStatus};
use delight_tests::until;

use super::life::ends;
use super::rig::Rig;

/// "I sent two and one was lost": the second waits until the first is done, also when the daemon dies meanwhile.
pub(super) fn takes_one_message_at_a_time(mut rig: Rig) {
    rig.prompt("gate one ;; say the first");
    rig.until_model_waits("one");
    let second = rig.sends("say the second", "second");
    let waiting = |rig: &mut Rig| rig.view().agent.map(|agent| agent.queued);
    until("the second waits", || waiting(&mut rig) == Some(1));
    drop(second);
    rig.daemon_dies();
    rig.daemon_comes();
    until("the second waits still", || waiting(&mut rig) == Some(1));
    let _again = rig.sends("say the second", "second");
    assert_eq!(waiting(&mut rig), Some(1), "the same again is the same");
    rig.model.open_gate("one");
    assert_eq!(rig.until_turns(2), TurnStatus::Completed);
    until("nothing waits", || waiting(&mut rig) == Some(0));
    assert_eq!((rig.said("the first"), rig.said("the second")), (1, 1));
    let begun = |body: &RecordBody| matches!(body, RecordBody::TurnStarted { .. });
    assert_eq!(rig.records().iter().filter(|body| begun(body)).count(), 2, "the agent was given it once");
    ends(rig);
}
