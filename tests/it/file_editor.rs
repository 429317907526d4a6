//! `file-editor` sessions from end to end: what a person far away does with the files below one directory.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::method::{SendParams, SessionSend, SessionSpawn, SpawnParams};
use delight_proto::id::SessionId;
use delight_proto::session::Phase;
use delight_tests::api::{Client, spawn};
use delight_tests::{Sandbox, until, until_some};
use serde_json::{Value, json};

/// A person, and the editor of a directory.
struct Person {
    client: Client,
    id: SessionId,
    root: PathBuf,
    asked: u64,
}

impl Person {
    fn new(sandbox: &Sandbox) -> Self {
        let root = sandbox.home().join("project");
        fs::create_dir(&root).unwrap();
        let cwd = root.to_str().unwrap().to_owned();
        let params = SpawnParams { kind: "file-editor".to_owned(), cwd, ..spawn(&[]) };
        let mut client = sandbox.client();
        let id = client.call::<SessionSpawn>(&params).expect("the editor starts").id;
        Self { client, id, root, asked: 0 }
    }

    /// Everything it has said.
    fn heard(&mut self) -> Vec<Value> {
        let output = self.client.output(self.id);
        let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map_while(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Asks for something and gives the result, or the code of the refusal.
    #[allow(clippy::needless_pass_by_value)] // Every caller makes its value for this.
    fn asks(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let number = self.asked;
        let line = format!("{}\n", json!({"id": number, "method": method, "params": params}));
        let data = BASE64_STANDARD.encode(line);
        let send = SendParams { session: self.id.to_string(), data, request_id: None };
        self.client.call::<SessionSend>(&send).expect("the editor is asked");
        let answers = |person: &mut Self| {
            let of_this = |line: &Value| line["id"] == number;
            person.heard().into_iter().filter(of_this).collect::<Vec<_>>()
        };
        let answer = until_some(&format!("{method} is answered"), || answers(self).pop());
        assert_eq!(answers(self).len(), 1, "once");
        if answer["error"].is_null() { answer["result"].clone() } else { answer["error"]["code"].clone() }
    }

    /// Waits until it was told of a change of this name.
    fn hears_of(&mut self, name: &str) {
        until(&format!("a change of {name} is told"), || {
            self.heard().iter().any(|line| line["method"] == "changed" && line["params"]["name"] == name)
        });
    }
}

/// Seed 3 (Dispatch): list, read, write and watch below one directory, whatever becomes of the daemon.
#[test]
fn files_are_listed_read_written_and_watched_and_a_killed_daemon_changes_nothing() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut person = Person::new(&sandbox);
    let words = BASE64_STANDARD.encode("fn main() {}\n");
    let written = person.asks("write", json!({"path": "main.rs", "content": words, "expectedHash": null}));
    let hash = written["hash"].clone();
    assert_eq!(fs::read_to_string(person.root.join("main.rs")).unwrap(), "fn main() {}\n");
    assert_eq!(person.asks("read", json!({"path": "main.rs"}))["content"], words);
    assert_eq!(person.asks("list", json!({"path": "."}))["entries"][0]["name"], "main.rs");
    assert_eq!(person.asks("watch", json!({"path": "."})), json!({}));
    fs::write(person.root.join("from-outside.txt"), "x").unwrap();
    person.hears_of("from-outside.txt");
    let before = person.client.get(person.id);

    daemon.kill9();
    fs::write(person.root.join("while-away.txt"), "x").unwrap();
    let _daemon = sandbox.start_daemon();
    person.client = sandbox.client();
    let after = person.client.get(person.id);
    assert_eq!((after.phase, after.pid, after.generation), (Phase::Running, before.pid, 1));
    person.hears_of("while-away.txt");
    fs::write(person.root.join("afterwards.txt"), "x").unwrap();
    person.hears_of("afterwards.txt");
    assert_eq!(person.asks("read", json!({"path": "main.rs"}))["content"], words);
    // Two people write at once: the second one is told, and nothing is written over.
    let stale = json!({"path": "main.rs", "content": "", "expectedHash": null});
    assert_eq!(person.asks("write", stale), "conflict");
    let fresh = json!({"path": "main.rs", "content": "", "expectedHash": hash});
    assert!(person.asks("write", fresh)["hash"].is_string());

    let id = person.id;
    let view = person.client.stop(id, false);
    assert_eq!(view.phase, Phase::Stopped);
    until("nothing of it is left", || sandbox.holders().is_empty());
    let pid = before.pid.unwrap();
    until("its program has ended", || !delight_tests::kernel::alive(pid));
}

/// "It read my keys": neither a path, nor a link, nor the daemon's own directory leads outside.
#[test]
fn nothing_outside_its_directory_is_reached() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let mut person = Person::new(&sandbox);
    fs::write(sandbox.home().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink(sandbox.home(), person.root.join("out")).unwrap();
    for path in ["../secret", "/etc/passwd", "out/secret", "a/../../secret"] {
        assert_eq!(person.asks("read", json!({"path": path})), "forbidden", "{path}");
        assert_eq!(person.asks("write", json!({"path": path, "content": ""})), "forbidden", "{path}");
    }
    for path in ["..", "out", "/"] {
        assert_eq!(person.asks("list", json!({"path": path})), "forbidden", "{path}");
        assert_eq!(person.asks("watch", json!({"path": path})), "forbidden", "{path}");
    }
    assert_eq!(fs::read_to_string(sandbox.home().join("secret")).unwrap(), "x");

    // An editor of a directory above the daemon's own does not reach into that.
    let cwd = sandbox.path().to_str().unwrap().to_owned();
    let params = SpawnParams { kind: "file-editor".to_owned(), cwd, ..spawn(&[]) };
    person.id = person.client.call::<SessionSpawn>(&params).expect("the editor starts").id;
    assert_eq!(person.asks("list", json!({"path": "state"})), "forbidden");
    assert!(person.asks("list", json!({"path": "home"}))["entries"].is_array());
}
