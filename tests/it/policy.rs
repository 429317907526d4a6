//! The owner's policy, and who may change it.

use std::path::Path;

use delight_proto::api::method::{Empty, PolicyGet};
use delight_proto::session::Phase;
use delight_tests::Sandbox;

/// A rule is kept over a restart, `policy test` says what it says, and a session's rules go with it.
#[test]
fn policy_is_kept_tested_and_forgotten_with_its_session() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    sandbox.ctl(["policy", "add", "allow", "--command", "git status"]).ok();
    sandbox.ctl(["policy", "add", "deny", "--command", "git push", "--project", "/"]).ok();
    sandbox.ctl(["policy", "set", "--on-no-answer", "deny", "--after", "10m"]).ok();
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let verdict = |command: &str| {
        sandbox.ctl(["policy", "test", "Bash", "--json", "--command", command]).json()["effect"].clone()
    };
    assert_eq!(verdict("git status -s"), "allow");
    assert_eq!(verdict("git status; rm -rf x"), "ask");
    assert_eq!(verdict("true && git push"), "deny");
    assert_eq!(verdict("make"), "ask");
    let listed = sandbox.ctl(["policy", "list"]).ok().stdout;
    assert!(listed.contains("deny   command git push"), "{listed}");
    assert!(listed.contains("denied after 10m"), "{listed}");

    let mut client = sandbox.client();
    let id = client.spawn(&["true"]).id;
    client.wait(id, &[Phase::Exited]);
    sandbox.ctl(["policy", "add", "allow", "--tool", "Edit", "--session", id.as_str()]).ok();
    assert_eq!(client.call::<PolicyGet>(&Empty {}).unwrap().rules.len(), 3);
    sandbox.ctl(["rm", id.as_str()]).ok();
    assert_eq!(client.call::<PolicyGet>(&Empty {}).unwrap().rules.len(), 2);
    sandbox.ctl(["policy", "remove", "2"]).ok();
    sandbox.ctl(["policy", "remove", "2"]).ends(3);
    sandbox.ctl(["policy", "add", "allow"]).ends(2);
    sandbox.ctl(["policy", "add", "allow", "--command", "a; b"]).ends(2);
}

/// [agent-deck] An agent that can run the client approves whatever it likes: below a session's holder it is refused, also
/// when it has detached itself from everything it was started by.
#[test]
fn in_session_process_cannot_approve_itself() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let ctl = delight_tests::binaries::program("delightctl");
    let tries = |detached: &str, out: &Path| {
        format!(
            "{detached} sh -c '{} policy add allow --tool Bash >{out} 2>&1; echo $? >>{out}; mv {out} {out}.done' & wait",
            ctl.display(),
            out = out.display()
        )
    };
    for (n, detached) in
        ["", "setsid", "setsid -f", "nohup setsid -f env -u DELIGHT_SESSION_ID"].iter().enumerate()
    {
        let out = sandbox.path().join(format!("try-{n}"));
        let environment = sandbox.environment().into_iter().map(|(name, value)| format!("{name}='{value}'"));
        let assigned = environment.collect::<Vec<_>>().join(" ");
        let script = format!("export {assigned}; {}; sleep 1000", tries(detached, &out));
        let id = client.spawn(&["sh", "-c", &script]).id;
        let done = sandbox.path().join(format!("try-{n}.done"));
        let said = delight_tests::until_some("the client inside has answered", || {
            std::fs::read_to_string(&done).ok()
        });
        assert!(said.contains("runs inside session"), "{detached}: {said}");
        assert!(said.contains(id.as_str()), "{said}");
        assert_eq!(said.lines().last(), Some("5"), "{detached}: {said}");
    }
    assert!(client.call::<PolicyGet>(&Empty {}).unwrap().rules.is_empty());
    // From outside it is done.
    sandbox.ctl(["policy", "add", "allow", "--tool", "Bash"]).ok();
}
