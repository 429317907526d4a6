//! Telling the owner.

use delight_proto::agent::Control;
use delight_proto::api::method::{SessionSpawn, SpawnParams};
use delight_proto::session::Phase;
use delight_tests::api::spawn;
use delight_tests::{Sandbox, until};

/// The hook hears who needs its owner, who is done and who failed, and nothing of what was said.
#[test]
fn needs_you_done_and_failed_are_told_without_content() {
    let sandbox = Sandbox::new();
    let out = sandbox.path().join("told");
    let hook = format!("echo $DELIGHT_EVENT $DELIGHT_NAME >> {0}; env >> {0}.env", out.display());
    let config =
        format!("[notify]\ncommand = [\"sh\", \"-c\", {hook:?}]\ndone_after_s = 0\ncooldown_s = 0\n");
    std::fs::write(&sandbox.place().config, config).unwrap();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    let name = Some("worker".parse().unwrap());
    let mut params = SpawnParams { kind: "fake".to_owned(), name, ..spawn(&[]) };
    params.agent.control = Some(Control::Remote);
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    let told =
        |line: &str| std::fs::read_to_string(&out).is_ok_and(|text| text.lines().any(|one| one == line));
    sandbox.ctl(["send", id.as_str(), "do ask canary; say canary"]).ok();
    until("needs-you is told", || told("needs-you worker"));
    assert!(!told("done worker"));
    sandbox.ctl(["allow"]).ok();
    until("done is told", || told("done worker"));
    let ended = client.spawn(&["sh", "-c", "exit 3"]).id;
    client.wait(ended, &[Phase::Exited]);
    until("failed is told", || told(&format!("failed {}", ended.short())));
    let seen = std::fs::read_to_string(sandbox.path().join("told.env")).unwrap();
    assert!(seen.contains(id.as_str()) && !seen.contains("canary"), "{seen}");
}
