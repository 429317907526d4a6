//! A canary sings where it must not: nowhere.

use delight_proto::api::method::{
    DaemonStatus, Empty, EventsParams, SessionEvents, SessionSpawn, SessionStop, StopParams,
};
use delight_proto::holder::Attach;
use delight_proto::session::Size;
use delight_tests::api::spawn;
use delight_tests::attached::controller;
use delight_tests::{Sandbox, kernel};

const IN_ENVIRONMENT: &str = "canary-in-the-environment";
const TYPED: &str = "canary-typed-as-a-password";
const PRINTED: &str = "canary-printed-by-the-session";

/// Every file below a directory.
fn files(below: &std::path::Path) -> Vec<std::path::PathBuf> {
    let (mut found, mut next) = (Vec::new(), vec![below.to_owned()]);
    while let Some(path) = next.pop() {
        if path.is_dir() {
            next.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

fn holds(path: &std::path::Path, canary: &str) -> bool {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
}

/// "My API key was in the log I attached to the bug report."
#[test]
fn secret_never_in_logs() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(delight_tests::binaries::program("delightd"));
    // Whatever a person turns on to find a fault.
    command.env("RUST_LOG", "trace").env("DELIGHT_LOG", "trace").env("RUST_BACKTRACE", "1");
    let daemon = delight_tests::daemon::Daemon::start(command, sandbox.next_daemon_log(), sandbox.place());
    let mut client = sandbox.client();
    let agent = delight_tests::binaries::program("delight-fake-agent");
    let script = format!("say ready; read; say {PRINTED}; exit 1");
    let mut params = spawn(&[agent.to_str().unwrap(), "--script", &script]);
    params.env.insert("API_TOKEN".to_owned(), IN_ENVIRONMENT.to_owned());
    let id = client.call::<SessionSpawn>(&params).unwrap().id;
    client.until_output(id, "ready");
    let mut terminal = sandbox.attach(id);
    terminal.hello(controller(Attach::Screen, Size::default()));
    terminal.input(format!("{TYPED}\n").as_bytes());
    client.wait(id, &[]);
    // Failures are where secrets leak: a start that cannot work, a stop, a crash, a restart, garbage.
    params.command = vec!["/no/such/program".to_owned()];
    let refusal = client.call::<SessionSpawn>(&params).unwrap_err();
    params.command = vec!["sleep".to_owned(), "1000".to_owned()];
    let second = client.call::<SessionSpawn>(&params).unwrap().id;
    let _ = client.send_raw(format!("{{\"token\":\"{IN_ENVIRONMENT}\"}}\n").as_bytes());
    daemon.kill9();
    let _daemon = sandbox.start_daemon();
    let mut client = sandbox.client();
    client
        .call::<SessionStop>(&StopParams { session: second.to_string(), kill: true, grace_ms: None })
        .unwrap();

    let status = client.call::<DaemonStatus>(&Empty {}).unwrap();
    let events =
        client.call::<SessionEvents>(&EventsParams { session: id.to_string(), after: 0, limit: 1000 });
    let told = format!("{refusal:?} {status:?} {events:?} {:?} {}", client.list(), sandbox.daemon_logs());
    let shown = [
        sandbox.ctl(["list"]).ok(),
        sandbox.ctl(["show", id.as_str()]).ok(),
        sandbox.ctl(["status"]).ok(),
        sandbox.ctl(["events", id.as_str()]).ok(),
    ];
    for canary in [IN_ENVIRONMENT, TYPED] {
        assert!(!told.contains(canary), "{canary} was told");
        for done in &shown {
            assert!(!done.stdout.contains(canary) && !done.stderr.contains(canary), "{done:?}");
        }
    }
    assert!(!sandbox.daemon_logs().contains(PRINTED), "output has no business in the log");

    // On disk: the environment is in the registry only (it is needed to start again), what is typed in the journal only;
    // both are for their owner's eyes.
    for path in files(&sandbox.place().state) {
        if holds(&path, IN_ENVIRONMENT) {
            assert!(path.starts_with(sandbox.place().registry()), "{}", path.display());
        }
        if holds(&path, TYPED) || holds(&path, PRINTED) {
            let journal = path.components().any(|part| part.as_os_str() == "journal");
            // The command line holds the script's text, so the registry and the spawn's event know it too.
            let command_line = !holds(&path, TYPED);
            assert!(journal || command_line, "{}", path.display());
        }
        assert_eq!(kernel::mode(&path) & 0o077, 0, "{} is open to others", path.display());
    }
    // No process shows an environment value in its arguments.
    for process in kernel::processes().values() {
        assert!(!process.command.contains(IN_ENVIRONMENT), "{process:?}");
    }
}
