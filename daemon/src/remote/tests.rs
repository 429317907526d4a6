//! Calls of phones against a real supervisor, real holders and terminals. Tests whose names begin with a number are rows of
//! what is known to go wrong elsewhere (`facts/happy.md`, part 5).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use delight_proto::sync::bounds;
use delight_proto::sync::rpc::Address;
use serde_json::json;
use tokio::task::JoinHandle;

use super::settings::FileAccess;
use super::*;
use crate::store::Store;
use crate::supervisor::Ended;
use crate::testing::Rig;

/// A server that knows every session at once.
#[derive(Debug)]
struct Known;

impl ServerIds for Known {
    fn server_id(&self, id: SessionId) -> ServerIdSoon<'_> {
        Box::pin(async move { Ok(Id::cut(format!("srv-{id}"))) })
    }

    fn known(&self, id: SessionId) -> Option<Id> {
        Some(Id::cut(format!("srv-{id}")))
    }

    fn local_id(&self, id: &Id) -> Option<SessionId> {
        id.strip_prefix("srv-")?.parse().ok()
    }
}

/// A server that is not there.
#[derive(Debug)]
struct Nowhere;

impl ServerIds for Nowhere {
    fn server_id(&self, _: SessionId) -> ServerIdSoon<'_> {
        Box::pin(std::future::pending())
    }

    fn known(&self, _: SessionId) -> Option<Id> {
        None
    }

    fn local_id(&self, _: &Id) -> Option<SessionId> {
        None
    }
}

struct World {
    base: tempfile::TempDir,
    remote: Remote,
    store: Store,
    supervisor: JoinHandle<Ended>,
}

impl World {
    async fn new() -> Self {
        Self::with(Arc::new(Known), |_| {}).await
    }

    async fn with(ids: Arc<dyn ServerIds>, change: impl FnOnce(&mut RemoteSettings)) -> Self {
        let base = tempfile::tempdir().unwrap();
        let home = base.path().canonicalize().unwrap().join("home");
        fs::create_dir_all(home.join("work")).unwrap();
        let place = Place {
            state: home.join("state"),
            runtime: base.path().join("r"),
            config: home.join("config.toml"),
        };
        let holder = crate::testing::holder_program();
        let shell = Some("/bin/sh".into());
        let Rig { store, adapters, daemon, supervisor } =
            Rig::start(&place, holder, std::env::vars_os(), shell, 40).await;
        let mut settings = RemoteSettings::default();
        change(&mut settings);
        settings.check().unwrap();
        let (supervision, kinds) = (daemon.supervision.clone(), adapters.capabilities());
        let remote = Remote::new(Parts { supervision, settings, place, home, kinds, ids, daemon });
        Self { base, remote, store, supervisor }
    }

    fn home(&self) -> PathBuf {
        self.remote.home.clone()
    }

    async fn machine(&self, method: &str, params: Value) -> Value {
        self.remote.machine(method, &opened("machine", method, &params), "phone").await
    }

    async fn session(&self, id: SessionId, method: &str, params: Value) -> Value {
        self.remote.session(id, method, &opened("session", method, &params), "phone").await
    }

    /// A terminal in `~/work`, as a phone makes it.
    async fn terminal(&self) -> SessionId {
        let answer = self.machine("spawn-session", json!({"directory": "~/work", "agent": "terminal"})).await;
        self.remote
            .named(&Id::cut(answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"))))
            .unwrap()
    }

    async fn count(&self) -> usize {
        self.machine("list-sessions", json!({})).await["sessions"].as_array().unwrap().len()
    }

    /// Nothing outlives a test.
    async fn end(self) {
        let asked = Request::Shutdown { stop_sessions: true };
        self.remote.supervision.ask(Origin::Daemon, asked).await.unwrap();
        self.supervisor.await.unwrap();
        self.store.close().await;
        drop(self.base);
    }
}

fn opened(id: &str, method: &str, params: &Value) -> Params {
    let address: Address = format!("{id}:{method}").parse().unwrap();
    Params::open(params.to_string().as_bytes(), &address).unwrap()
}

fn failure(answer: &Value) -> String {
    answer::failure(answer).unwrap_or_else(|| panic!("it was done: {answer}")).0.to_string()
}

#[tokio::test]
async fn every_method_of_happys_is_answered_at_once_with_its_own_shape() {
    let world = World::new().await;
    for method in MACHINE_METHODS.concat() {
        if method == "stop-daemon" {
            continue;
        }
        let answer = world.machine(method, json!({})).await;
        match method {
            "ping" => assert_eq!(answer, json!({"success": true})),
            "list-sessions" => assert_eq!(answer, json!({"sessions": []})),
            _ => assert!(!failure(&answer).is_empty(), "{method}: {answer}"),
        }
    }
    for method in ["claude-fork-session", "codex-duplicate-thread", "claude-list-rewind-points"] {
        let params = json!({"directory": "/", "claudeSessionId": "x", "codexThreadId": "x"});
        assert!(failure(&world.machine(method, params).await).contains("not offered"), "{method}");
    }
    // [happy 5.10: 15 s for a name nobody registered]
    assert!(failure(&world.machine("no-such-method", json!({})).await).contains("no such method"));
    world.end().await;
}

#[tokio::test]
async fn a_missing_directory_is_asked_about_and_then_made() {
    let world = World::new().await;
    let request = json!({"type": "spawn-in-directory", "directory": "~/new/place", "agent": "terminal"});
    let answer = world.machine("spawn-happy-session", request.clone()).await;
    let new = world.home().join("new/place");
    assert_eq!(answer, json!({"type": "requestToApproveDirectoryCreation", "directory": new}));
    assert!(!new.exists());
    let mut approved = request;
    approved["approvedNewDirectoryCreation"] = true.into();
    let answer = world.machine("spawn-happy-session", approved).await;
    assert_eq!(answer["type"], "success", "{answer}");
    assert!(new.is_dir());
    let listed = world.machine("list-sessions", json!({})).await;
    let one = &listed["sessions"][0];
    assert_eq!(one["sessionId"], answer["sessionId"]);
    assert_eq!((one["kind"].as_str(), one["phase"].as_str()), (Some("pty"), Some("running")));
    assert_eq!(one["directory"].as_str(), new.to_str());
    world.end().await;
}

#[tokio::test]
async fn the_same_request_makes_one_session_with_a_key_and_without() {
    let world = Arc::new(World::new().await);
    let plain = json!({"directory": "~/work", "agent": "terminal"});
    let mut keyed = plain.clone();
    keyed["clientRequestId"] = "a key of the phone's ✓".into();
    // At once: a phone that repeats a call does not wait for the first answer.
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (world, params) = (Arc::clone(&world), if n % 2 == 0 { plain.clone() } else { keyed.clone() });
        calls.spawn(async move { world.machine("spawn-session", params).await });
    }
    let answers = calls.join_all().await;
    let mut ids = BTreeSet::new();
    for answer in answers {
        ids.insert(answer["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned());
    }
    assert_eq!((ids.len(), world.count().await), (2, 2), "one by the key, one by the same parameters");
    let mut other = keyed;
    other["directory"] = "~".into();
    let answer = world.machine("spawn-session", other).await;
    assert!(failure(&answer).contains("other parameters"), "a key means one request: {answer}");
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test]
async fn sixteen_spawns_at_once_are_sixteen_sessions() {
    let world = Arc::new(World::new().await);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..16 {
        let world = Arc::clone(&world);
        calls.spawn(async move {
            let params =
                json!({"directory": "~/work", "agent": "terminal", "clientRequestId": n.to_string()});
            world.machine("spawn-session", params).await
        });
    }
    let answers = calls.join_all().await;
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer["sessionId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 16);
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test]
async fn what_may_not_be_spawned_is_refused_with_its_reason() {
    let world = World::new().await;
    for (params, reason) in [
        (json!({"directory": "/etc", "agent": "terminal"}), "not below a directory"),
        (json!({"directory": "relative", "agent": "terminal"}), "not an absolute path"),
        (json!({"directory": "~/work", "agent": "nobody"}), "no agent \"nobody\""),
        (json!({"directory": "~/work", "agent": "terminal", "isSideChat": true}), "side conversations"),
        (
            json!({"directory": "~/work", "agent": "terminal", "environmentVariables": {"LD_PRELOAD": "/x.so"}}),
            "\"LD_PRELOAD\" may not be set",
        ),
        (
            json!({"directory": "~/work", "agent": "terminal",
                "environmentVariables": {"ANTHROPIC_API_KEY": "${NOT_SET_ANYWHERE_9}"}}),
            "has no \"NOT_SET_ANYWHERE_9\"",
        ),
        (json!({"directory": "~/work", "agent": "terminal", "token": "canary"}), "credential"),
    ] {
        let answer = world.machine("spawn-session", params).await;
        assert_eq!(answer["type"], "error", "{answer}");
        let words = failure(&answer);
        assert!(words.contains(reason) && !words.contains("canary"), "{words}");
    }
    assert_eq!(world.count().await, 0);
    world.end().await;
}

#[tokio::test]
async fn row_5_16_a_spawn_in_an_impossible_place_is_answered() {
    let world = World::with(Arc::new(Known), |settings| settings.roots = vec!["/".to_owned()]).await;
    let params =
        json!({"directory": "/proc/nope/x", "agent": "terminal", "approvedNewDirectoryCreation": true});
    let answer = world.machine("spawn-happy-session", params).await;
    assert!(failure(&answer).contains("could not be made"), "{answer}");
    world.end().await;
}

#[tokio::test]
async fn row_5_13_a_spawn_is_answered_only_when_the_server_knows_the_session() {
    let world = World::with(Arc::new(Nowhere), |_| {}).await;
    let params = json!({"directory": "~/work", "agent": "terminal", "clientRequestId": "k"});
    let params = opened("machine", "spawn-session", &params);
    let mut call = Box::pin(world.remote.machine("spawn-session", &params, "phone"));
    // The session is up, and still there is no answer.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        assert!(std::time::Instant::now() < deadline, "the session does not come up");
        tokio::select! {
            answer = &mut call => panic!("answered: {answer}"),
            listed = world.machine("list-sessions", json!({})) => {
                if listed["sessions"][0]["phase"] == "running" {
                    break;
                }
            }
        }
    }
    tokio::time::pause();
    let answer = (&mut call).await;
    drop(call);
    assert_eq!(answer, json!({"type": "pending", "clientRequestId": "k", "retryAfterMs": 1_000}));
    tokio::time::resume();
    world.end().await;
}

#[tokio::test]
async fn row_5_1_sessions_are_stopped_and_resumed_by_either_id_also_when_they_have_ended() {
    let world = World::new().await;
    let id = world.terminal().await;
    let by_server = json!({"sessionId": format!("srv-{id}")});
    let resumed = world.machine("resume-happy-session", by_server.clone()).await;
    assert_eq!(resumed["type"], "success", "one that runs is as good as resumed: {resumed}");
    for params in [json!({"sessionId": id}), by_server.clone()] {
        let answer = world.machine("stop-session", params).await;
        assert_eq!(answer, json!({"message": "Session stopped"}), "the second one has ended already");
    }
    assert_eq!(world.machine("list-sessions", json!({})).await["sessions"][0]["phase"], "stopped");
    let resumed = world.machine("resume-happy-session", by_server).await;
    assert_eq!(resumed, json!({"type": "success", "sessionId": format!("srv-{id}")}));
    assert_eq!(world.count().await, 1, "the same session, not another");
    let killed = world.session(id, "killSession", json!({})).await;
    assert_eq!(killed["success"], true, "{killed}");
    let unknown = world.machine("stop-session", json!({"sessionId": "cmwq45hn0"})).await;
    assert!(failure(&unknown).starts_with("Session not found"), "{unknown}");
    world.end().await;
}

#[tokio::test]
async fn row_5_11_a_decision_nobody_asked_for_is_no_success() {
    let world = World::new().await;
    let id = world.terminal().await;
    let answer = world.session(id, "permission", json!({"id": "nope", "approved": true})).await;
    assert!(!failure(&answer).is_empty());
    // A plain terminal has nothing to abort and nobody to hand over to.
    assert!(answer::failure(&world.session(id, "abort", json!({})).await).is_some());
    assert!(answer::failure(&world.session(id, "switch", json!({"to": "remote"})).await).is_some());
    world.end().await;
}

#[tokio::test]
async fn files_of_a_session_are_those_of_its_directory() {
    let world = World::with(Arc::new(Known), |settings| settings.files = FileAccess::Write).await;
    let id = world.terminal().await;
    let work = world.home().join("work");
    let file = work.join("a.txt");
    let write = json!({"path": file, "content": "aGVsbG8K", "expectedHash": null});
    let written = world.session(id, "writeFile", write).await;
    let hash = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    assert_eq!(written, json!({"success": true, "hash": hash}));
    let read = world.session(id, "readFile", json!({"path": "a.txt"})).await;
    assert_eq!(read, json!({"success": true, "content": "aGVsbG8K"}));
    let write = json!({"path": "a.txt", "content": "eAo=", "expectedHash": "00"});
    let refused = world.session(id, "writeFile", write).await;
    let words = failure(&refused);
    assert!(
        words.starts_with("File hash mismatch.") && words.contains(&format!("Expected: 00, Actual: {hash}")),
        "{words}"
    );
    symlink("/etc", work.join("link")).unwrap();
    for path in ["/etc/hostname", "../state/daemon.lock", "link/hostname"] {
        let refused = world.session(id, "readFile", json!({"path": path})).await;
        assert_eq!(
            failure(&refused),
            format!("Access denied: Path '{path}' is outside the working directory")
        );
    }
    let listed = world.session(id, "listDirectory", json!({"path": work})).await;
    let names: Vec<_> =
        listed["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a.txt", "link"]);
    let tree = world.session(id, "getDirectoryTree", json!({"path": ".", "maxDepth": 2})).await;
    assert_eq!(tree["tree"]["children"][0]["name"], "a.txt", "{tree}");
    assert_eq!(tree["tree"]["children"][0]["type"], "file");
    world.end().await;
}

/// [happy-cli#44] "File RPCs could read or write anywhere."
#[tokio::test]
async fn the_machines_own_files_and_keys_are_out_of_bounds() {
    let world = World::with(Arc::new(Known), |settings| settings.files = FileAccess::Write).await;
    fs::create_dir(world.home().join(".ssh")).unwrap();
    fs::write(world.home().join(".ssh/id"), "canary").unwrap();
    fs::write(world.home().join("config.toml"), "").unwrap();
    fs::write(world.home().join("fine"), "x").unwrap();
    for path in ["~/.ssh/id", "~/state/sessions", "~/config.toml", "/etc/passwd", "/proc/self/environ"] {
        let read = world.machine("readFile", json!({"path": path})).await;
        assert!(failure(&read).starts_with("Access denied"), "{path}: {read}");
        let write = world.machine("writeFile", json!({"path": path, "content": "eA=="})).await;
        assert!(answer::failure(&write).is_some(), "{path}: {write}");
    }
    assert_eq!(world.machine("readFile", json!({"path": "~/fine"})).await["content"], "eA==");
    assert!(answer::failure(&world.machine("listDirectory", json!({"path": "/"})).await).is_some());
    world.end().await;
}

#[tokio::test]
async fn what_the_owner_switched_off_is_off() {
    let world = World::with(Arc::new(Known), |settings| settings.stop_daemon = false).await;
    let id = world.terminal().await;
    let write = json!({"path": "new", "content": "eA=="});
    assert!(failure(&world.session(id, "writeFile", write).await).contains("switched off"));
    assert!(failure(&world.session(id, "bash", json!({"command": "echo"})).await).contains("switched off"));
    assert!(failure(&world.machine("stop-daemon", json!({})).await).contains("goes on"));
    assert!(!world.home().join("work/new").exists());
    world.end().await;
    let world = World::with(Arc::new(Known), |settings| settings.files = FileAccess::Off).await;
    assert!(failure(&world.machine("listDirectory", json!({"path": "~"})).await).contains("switched off"));
    world.end().await;
}

#[tokio::test]
async fn commands_run_in_the_directory_and_tell_how_they_ended() {
    let world = World::with(Arc::new(Known), |settings| settings.shell = true).await;
    let id = world.terminal().await;
    let answer =
        world.session(id, "bash", json!({"command": "echo hi; pwd; cat; echo oh >&2; exit 3"})).await;
    let expected = format!("hi\n{}\n", world.home().join("work").display());
    assert_eq!(answer, json!({"success": false, "exitCode": 3, "stdout": expected, "stderr": "oh\n"}));
    let late = world.session(id, "bash", json!({"command": "sleep 1000", "timeout": 50})).await;
    assert_eq!((late["success"].as_bool(), late["exitCode"].as_i64()), (Some(false), Some(-1)));
    assert!(late["error"].as_str().unwrap().contains("timed out"), "{late}");
    let home = world.machine("bash", json!({"command": "pwd", "cwd": "/"})).await;
    assert_eq!(home["stdout"].as_str().unwrap().trim(), world.home().to_str().unwrap());
    let outside = world.session(id, "bash", json!({"command": "pwd", "cwd": "/etc"})).await;
    assert!(failure(&outside).contains("outside"), "{outside}");
    world.end().await;
}

#[tokio::test]
async fn row_5_8_every_answer_fits_what_servers_carry() {
    let world = World::with(Arc::new(Known), |settings| settings.shell = true).await;
    let id = world.terminal().await;
    let work = world.home().join("work");
    fs::write(work.join("fits"), vec![b'x'; fitting::FILE]).unwrap();
    fs::write(work.join("large"), vec![b'x'; fitting::FILE + 1]).unwrap();
    let answers = [
        world.session(id, "readFile", json!({"path": "fits"})).await,
        world.session(id, "bash", json!({"command": "head -c 3000000 /dev/zero"})).await,
        world
            .session(id, "bash", json!({"command": "yes | head -c 3000000; yes | head -c 3000000 >&2"}))
            .await,
    ];
    for answer in &answers {
        let plaintext = answer.to_string().len();
        assert!((plaintext + 300) / 3 * 4 <= bounds::RPC_ANSWER, "{plaintext}");
    }
    assert_eq!(answers[0]["success"], true);
    assert!(answers[1]["stdout"].as_str().unwrap().ends_with("bytes are left out]\n"));
    assert!(
        failure(&world.session(id, "readFile", json!({"path": "large"})).await).starts_with("File too large")
    );
    world.end().await;
}

#[tokio::test]
async fn row_5_9_a_search_never_waits_for_input_and_a_missing_program_is_named() {
    let world = World::new().await;
    let id = world.terminal().await;
    fs::write(world.home().join("work/a.txt"), "hello\n").unwrap();
    let began = std::time::Instant::now();
    let answer = world.session(id, "ripgrep", json!({"args": ["hello"]})).await;
    assert!(began.elapsed() < Duration::from_secs(10));
    // Whether it is installed is the machine's business.
    match answer["exitCode"].as_i64() {
        Some(code) => assert_eq!((code, answer["stdout"].as_str()), (0, Some("./a.txt:hello\n")), "{answer}"),
        None => assert!(failure(&answer).contains("rg is not installed"), "{answer}"),
    }
    for (args, reason) in [
        (json!(["--pre", "sh", "x"]), "--pre is not let through"),
        (json!(["x", "/etc"]), "outside"),
        (json!(["x", "../.."]), "outside"),
        (json!([]), "nothing to search for"),
    ] {
        assert!(
            failure(&world.session(id, "ripgrep", json!({"args": args})).await).contains(reason),
            "{reason}"
        );
    }
    let one = world.session(id, "difftastic", json!({"args": ["a.txt"]})).await;
    assert!(failure(&one).contains("two files"), "{one}");
    world.end().await;
}

/// A phone that is asked for by many hands at once: each call has its answer.
#[tokio::test]
async fn a_storm_of_calls_is_answered_call_by_call() {
    let world = Arc::new(World::with(Arc::new(Known), |settings| settings.shell = true).await);
    let id = world.terminal().await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..60 {
        let world = Arc::clone(&world);
        calls.spawn(async move {
            match n % 3 {
                0 => world.session(id, "bash", json!({"command": "echo x"})).await["stdout"] == "x\n",
                1 => world.machine("ping", json!({})).await["success"] == true,
                _ => answer::failure(&world.machine("readFile", json!({"path": "~/none"})).await).is_some(),
            }
        });
    }
    assert!(calls.join_all().await.into_iter().all(|right| right));
    Arc::into_inner(world).unwrap().end().await;
}
