//! House rules of the command line, held by every command.

use delight_tests::client::Done;
use delight_tests::{Sandbox, binaries, until};
use serde_json::Value;

/// An error says what, why and how to fix it; never a stack trace; nothing on standard output.
#[track_caller]
fn says_what_why_fix(done: &Done) {
    assert_eq!(done.stdout, "", "an error belongs on standard error: {done:?}");
    assert!(!done.stderr.trim().is_empty(), "silent failure: {done:?}");
    assert!(done.stderr.contains("why:"), "{}", done.stderr);
    assert!(done.stderr.contains("fix:"), "{}", done.stderr);
    for trace in ["panicked", "RUST_BACKTRACE", "Os {", "Error {", "Some("] {
        assert!(!done.stderr.contains(trace), "{}", done.stderr);
    }
}

/// The same error for a program: one JSON document that carries code, what, reason, fix.
#[track_caller]
fn error_document(done: &Done) -> Value {
    let document = done.json();
    let error = document.get("error").unwrap_or(&document);
    for key in ["code", "what", "reason"] {
        assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "no {key}: {document}");
    }
    error.clone()
}

/// The session in a document about one session.
fn session(document: &Value) -> &Value {
    &document["session"]
}

#[test]
fn json_everywhere_gives_exactly_one_document() {
    let sandbox = Sandbox::new();
    sandbox.ctl(["up", "--json"]).json();
    let spawned =
        sandbox.ctl(["spawn", "--json", "--no-attach", "--name", "one", "--", "sleep", "1000"]).json();
    let id = session(&spawned)["id"].as_str().unwrap_or_else(|| panic!("no id: {spawned}")).to_owned();
    for arguments in [
        &["up"][..],
        &["status"],
        &["list"],
        &["list", "--all"],
        &["show", &id],
        &["events", &id],
        &["rename", &id, "two"],
        &["send", &id, "text"],
        &["wait", &id, "--until", "running"],
        &["logs", &id],
        &["rpc", "session.list"],
        &["stop", &id],
        &["resume", &id],
        &["kill", &id],
        &["rm", &id],
        &["spawn", "--wait", "--", "true"],
        &["down"],
    ] {
        let done = sandbox.ctl(["--json"].iter().chain(arguments)).run();
        assert_eq!(done.status, Some(0), "{arguments:?}: {done:?}");
        if arguments[0] == "logs" {
            // Raw bytes are no JSON: with --json it is a document per record or one document, each line whole.
            for line in done.stdout.lines() {
                serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            }
        } else {
            done.json();
        }
    }
}

#[test]
fn exit_statuses_are_the_documented_ones() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    sandbox.ctl(["spawn", "--no-attach", "--name", "taken", "--", "sleep", "1000"]).ok();
    for (arguments, status) in [
        (&["no-such-command"][..], 2),
        (&["list", "--no-such-flag"], 2),
        (&["show", "nobody"], 3),
        (&["stop", "nobody"], 3),
        (&["logs", "nobody"], 3),
        (&["resume", "taken"], 6),
        (&["rm", "taken"], 6),
        (&["spawn", "--no-attach", "--name", "taken", "--", "true"], 6),
        (&["wait", "taken", "--timeout", "50ms"], 7),
        (&["spawn", "--no-attach", "--", "/no/such/program"], 1),
        (&["spawn", "--no-attach", "--size", "0x0", "--", "true"], 2),
        (&["spawn", "--no-attach", "--kind", "no-such-kind"], 2),
        (&["attach", "taken"], 10),
    ] {
        let done = sandbox.ctl(arguments).run();
        assert_eq!(done.status, Some(status), "{arguments:?}: {done:?}");
        if status != 2 || arguments[0] == "spawn" {
            if !arguments.contains(&"0x0") {
                says_what_why_fix(&done);
            }
            let json = sandbox.ctl(arguments.iter().chain(&["--json"])).run();
            if !arguments.contains(&"--") {
                assert_eq!(json.status, Some(status), "{arguments:?}: {json:?}");
                error_document(&json);
            }
        }
    }
}

/// A help that does not name the exit codes, or a documented code nobody can see, is a lie.
#[test]
fn help_is_complete() {
    let sandbox = Sandbox::new();
    let help = sandbox.ctl(["--help"]).ok().stdout;
    for code in 0..=10 {
        assert!(help.contains(&code.to_string()), "exit status {code} is not in --help");
    }
    for command in [
        "up",
        "down",
        "status",
        "spawn",
        "list",
        "show",
        "attach",
        "logs",
        "send",
        "wait",
        "next",
        "permissions",
        "allow",
        "deny",
        "switch",
        "abort",
        "mode",
        "bypass",
        "policy",
        "why",
        "agents",
        "stop",
        "kill",
        "rm",
        "resume",
        "rename",
        "events",
        "rpc",
        "completions",
        "service",
    ] {
        assert!(help.contains(command), "{command} is not in --help");
        let own = sandbox.ctl([command, "--help"]).ok().stdout;
        assert!(own.contains("Usage:"), "{own}");
    }
    assert_eq!(
        sandbox.ctl(["--version"]).ok().stdout.trim(),
        format!("delightctl {}", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.ctl(["completions", shell]).ok().stdout.contains("delightctl"));
    }
}

#[test]
fn without_a_daemon_reads_say_so_and_spawn_starts_one() {
    let sandbox = Sandbox::new();
    let status = sandbox.ctl(["status"]).ends(4);
    assert!(status.stdout.contains("not running") && status.stdout.contains("delightctl up"), "{status:?}");
    for arguments in [&["list"][..], &["show", "@last"], &["stop", "@last"]] {
        let done = sandbox.ctl(arguments).ends(4);
        says_what_why_fix(&done);
        assert!(done.stderr.contains("delightctl"), "what to type next: {}", done.stderr);
    }
    assert_eq!(sandbox.processes().len(), 0, "reading starts nothing");
    let spawned = sandbox.ctl(["spawn", "--json", "--no-attach", "--", "sleep", "1000"]).json();
    assert_eq!(session(&spawned)["phase"], "running");
    // `up` on top of it is fine and says the same daemon.
    let first = sandbox.ctl(["up", "--json"]).json();
    let second = sandbox.ctl(["up", "--json"]).json();
    assert_eq!(first["pid"], second["pid"]);
    // `down` keeps sessions and says so; the next command finds them.
    let down = sandbox.ctl(["down"]).ok();
    assert!(down.stdout.contains('1'), "it says how many go on: {}", down.stdout);
    until("only the session is left", || sandbox.processes().len() == 2);
    sandbox.ctl(["up"]).ok();
    let list = sandbox.ctl(["list", "--json"]).json();
    assert_eq!(list["sessions"][0]["id"], session(&spawned)["id"], "{list}");
    sandbox.ctl(["down", "--all"]).ok();
    sandbox.ends_empty();
}

/// Twenty shells opened at once in a fresh login: one daemon, twenty sessions.
#[test]
fn spawns_at_once_without_a_daemon_start_one_daemon() {
    let sandbox = Sandbox::new();
    let runs: Vec<_> = (0..10)
        .map(|_| sandbox.ctl(["spawn", "--json", "--no-attach", "--", "sleep", "1000"]).start())
        .collect();
    for run in runs {
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let daemons = sandbox.processes().into_values().filter(|p| p.command.contains("delightd"));
    assert_eq!(daemons.count(), 1);
    assert_eq!(sandbox.runners().len(), 10);
    assert_eq!(sandbox.client().list().len(), 10);
}

#[test]
fn spawn_waits_and_ends_as_its_command_did() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    sandbox.ctl(["spawn", "--wait", "--", "sh", "-c", "exit 0"]).ok();
    sandbox.ctl(["spawn", "--wait", "--", "sh", "-c", "exit 37"]).ends(37);
    sandbox.ctl(["spawn", "--wait", "--", "sh", "-c", "kill -TERM $$"]).ends(128 + 15);
}

/// The session gets the caller's directory and the caller's own `PATH`, and what `--env` says.
#[test]
fn a_session_starts_where_its_caller_stands() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let here = sandbox.path().join("here");
    std::fs::create_dir(&here).unwrap();
    let agent = binaries::program("delight-fake-agent");
    let script = "cwd; env PATH; env GIVEN; env PASSED; env NOT_PASSED";
    sandbox
        .ctl(["spawn", "--wait", "--name", "env", "--env", "GIVEN=a b", "--env", "PASSED", "--"])
        .args([agent.to_str().unwrap(), "--script", script])
        .cwd(&here)
        .env("PATH", "/opt/mine:/usr/bin:/bin")
        .env("PASSED", "through")
        .env("NOT_PASSED", "secret of the caller")
        .ok();
    let output = sandbox.ctl(["logs", "env"]).ok().stdout;
    for line in [
        &format!("cwd: {}", here.display()),
        "PATH=/opt/mine:/usr/bin:/bin",
        "GIVEN=a b",
        "PASSED=through",
        "NOT_PASSED is not set",
    ] {
        assert!(output.lines().any(|l| l == line), "{line:?} is not in {output}");
    }
    // A missing directory is asked for, not made.
    let missing = sandbox.path().join("not/yet");
    let missing = missing.to_str().unwrap();
    says_what_why_fix(&sandbox.ctl(["spawn", "--no-attach", "--cwd", missing, "--", "true"]).ends(3));
    sandbox.ctl(["spawn", "--no-attach", "--cwd", missing, "--create", "--", "true"]).ok();
    assert_eq!(delight_tests::kernel::mode(std::path::Path::new(missing)), 0o700);
}

/// Colour on a terminal only, and never where nobody wants it.
#[test]
fn output_to_a_pipe_has_no_colour_and_names_are_shown_harmlessly() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    sandbox.ctl(["spawn", "--no-attach", "--", "sh", "-c", "sleep 1000 # \x1b]0;owned\x07\x1b[31m"]).ok();
    for arguments in [&["list"][..], &["show", "@last"], &["status"]] {
        let done = sandbox.ctl(arguments).ok();
        assert!(!done.stdout.contains('\x1b'), "{:?}", done.stdout);
    }
}

/// A prefix must be long enough to mean something; one that is not says so instead of guessing.
#[test]
fn a_prefix_that_is_too_short_is_told() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn(&["sleep", "1000"]).id;
    let done = sandbox.ctl(["show", &id.as_str()[..3]]).run();
    assert!(matches!(done.status, Some(2 | 3)), "{done:?}");
    says_what_why_fix(&done);
    sandbox.ctl(["show", &id.as_str()[..6]]).ok();
}

#[test]
fn the_schema_of_the_api_answers_raw_calls() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let status = sandbox.ctl(["rpc", "daemon.status", "{}"]).json();
    assert!(status["pid"].is_u64(), "{status}");
    let done = sandbox.ctl(["rpc", "no.such.method"]).run();
    assert_eq!(done.status, Some(2), "{done:?}");
}
