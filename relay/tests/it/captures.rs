//! The recorded traffic of a real Happy server and its real clients, played again: our answers have the same shape, the
//! same words and the same versions, and the same updates reach the same connections in the same order.
//!
//! The recordings are facts that do not lie in this repository; where they are missing the test says so and does nothing.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::rig::{Event, Rig, Socket, request};

/// Fields whose values are each server's own.
const OWN: &[&str] = &[
    "id",
    "token",
    "createdAt",
    "updatedAt",
    "activeAt",
    "timestamp",
    "time",
    "challenge",
    "sid",
    "sessionId",
    "method",
];

fn recordings() -> Option<PathBuf> {
    let named = std::env::var_os("DELIGHT_HAPPY_CAPTURES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/facts/captures/happy");
    named.or(Some(beside)).filter(|path| path.is_dir())
}

/// Removes what the recorder added.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) if fields.contains_key("cipher") => fields["cipher"].clone(),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .filter(|(name, _)| !name.contains('#'))
                .map(|(name, one)| (name.clone(), plain(one)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn differences(path: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    let own = path.rsplit('.').next().is_some_and(|name| OWN.contains(&name));
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            let recorded: BTreeMap<_, _> = recorded.iter().collect();
            for (name, value) in &recorded {
                match ours.get(*name) {
                    Some(our) => differences(&format!("{path}.{name}"), value, our, found),
                    None => found.push(format!("{path}.{name} is missing")),
                }
            }
        }
        (Value::Array(recorded), Value::Array(ours)) if recorded.len() == ours.len() => {
            for (number, (recorded, our)) in recorded.iter().zip(ours).enumerate() {
                differences(&format!("{path}.{number}"), recorded, our, found);
            }
        }
        (Value::String(_), Value::String(_)) | (Value::Number(_), Value::Number(_)) if own => {}
        (Value::String(recorded), Value::String(ours)) if same_cipher(recorded, ours) => {}
        (recorded, ours) if recorded == ours => {}
        _ => found.push(format!("{path}: recorded {recorded}, ours {ours}")),
    }
}

/// The recorder kept the beginnings of ciphertexts, and not always equally much.
fn same_cipher(recorded: &str, ours: &str) -> bool {
    let shown = |text: &str| text.split_once('…').map(|(shown, _)| shown.to_owned());
    match (shown(recorded), shown(ours)) {
        (Some(a), Some(b)) => a.starts_with(&b) || b.starts_with(&a),
        (Some(a), None) => ours.starts_with(&a),
        (None, Some(b)) => recorded.starts_with(&b),
        (None, None) => recorded == ours,
    }
}

/// Where ours is better on purpose: a session resumed within a minute of its end is present at once (the recorded server
/// ignored it for a minute), and a machine whose daemon said goodbye is away at once (there after ten minutes).
const BETTER: &[(&str, &str)] = &[
    ("15-resume-session /v1/sessions.sessions.0.active", "recorded false, ours true"),
    ("16-machine-stop-session /v1/sessions.sessions.0.active", "recorded false, ours true"),
    ("19-daemon-stop /v1/machines.0.active", "recorded true, ours false"),
];

struct Replay {
    rig: Rig,
    token: String,
    /// What the recorded server named, and what ours names.
    names: HashMap<String, String>,
    sockets: HashMap<u64, Open>,
    responses: HashMap<u64, (StatusCode, Value)>,
    found: Vec<String>,
    compared: usize,
}

struct Open {
    socket: Socket,
    asked: HashMap<u64, u64>,
    requests: HashMap<u64, Event>,
    expected: Vec<Value>,
    heard: Vec<Value>,
    left: bool,
}

impl Replay {
    fn translate(&self, value: &Value) -> Value {
        let mut text = plain(value).to_string();
        for (theirs, ours) in &self.names {
            text = text.replace(theirs, ours);
        }
        serde_json::from_str(&text).unwrap()
    }

    fn compare(&mut self, what: &str, recorded: &Value, ours: &Value) {
        self.compared += 1;
        let mut found = Vec::new();
        differences(what, &self.translate(recorded), ours, &mut found);
        self.found.extend(found);
    }

    async fn line(&mut self, file: &str, line: &Value) {
        match line["kind"].as_str().unwrap() {
            "http-request" => self.ask(line).await,
            "http-response" => {
                let number = line["n"].as_u64().unwrap();
                let Some((status, ours)) = self.responses.remove(&number) else { return };
                let what = format!("{file} {}", line["url"].as_str().unwrap());
                if line["status"] != status.as_u16() {
                    self.found.push(format!("{what}: recorded {}, ours {status} {ours}", line["status"]));
                }
                if let (Some(theirs), Some(id)) =
                    (line["body"]["session"]["id"].as_str(), ours["session"]["id"].as_str())
                {
                    self.names.insert(theirs.to_owned(), id.to_owned());
                }
                self.compare(&what, &line["body"], &ours);
            }
            "ws" if line["eio"] == "message" => self.frame(file, line).await,
            "ws-close" => {
                if let Some(open) = self.sockets.remove(&line["c"].as_u64().unwrap()) {
                    self.settle(open).await;
                }
            }
            _ => {}
        }
    }

    async fn ask(&mut self, line: &Value) {
        let method = Method::from_bytes(line["method"].as_str().unwrap().as_bytes()).unwrap();
        let mut path = line["url"].as_str().unwrap().to_owned();
        for (theirs, ours) in &self.names {
            path = path.replace(theirs, ours);
        }
        let token = (line["auth"] == "Bearer").then_some(self.token.as_str());
        let body = line.get("body").filter(|body| !body.is_null()).map(|body| self.translate(body));
        let (status, answer) = request(&self.rig.http, &self.rig.base, token, method, &path, body).await;
        if let Some(token) = answer["token"].as_str() {
            self.token = token.to_owned();
        }
        self.responses.insert(line["n"].as_u64().unwrap(), (status, answer));
    }

    async fn frame(&mut self, file: &str, line: &Value) {
        let number = line["c"].as_u64().unwrap();
        let from_client = line["dir"] == "client->server";
        let kind = line["sio"].as_str().unwrap();
        if from_client && kind == "CONNECT" {
            let mut auth = self.translate(&line["data"]);
            auth["token"] = self.token.clone().into();
            let socket = Socket::connect(&self.rig.base, &auth).await.unwrap();
            let open = Open {
                socket,
                asked: HashMap::new(),
                requests: HashMap::new(),
                expected: Vec::new(),
                heard: Vec::new(),
                left: false,
            };
            self.sockets.insert(number, open);
            return;
        }
        // A connection from before this recording began.
        let Some(mut open) = self.sockets.remove(&number) else { return };
        let ack = line["ack"].as_u64();
        if open.left {
            self.sockets.insert(number, open);
            return;
        }
        match (from_client, kind) {
            (true, "EVENT") => {
                let name = line["event"].as_str().unwrap();
                let payload = line["args"].get(0).map(|payload| self.translate(payload));
                match ack {
                    Some(ack) => {
                        open.asked.insert(ack, open.socket.begin(name, payload).await);
                    }
                    None => open.socket.emit(name, payload.unwrap_or(Value::Null)).await,
                }
                if name != "rpc-call" {
                    // What this caused has happened before the next line is played.
                    open.heard.extend(updates(open.socket.drain().await, &mut open.requests));
                }
            }
            (true, "ACK") => {
                let result = self.translate(&line["data"][0]);
                if let Some(asked) = open.requests.remove(&ack.unwrap()) {
                    open.socket.answer(&asked, result).await;
                }
            }
            (true, "DISCONNECT") => {
                open.heard.extend(updates(open.socket.drain().await, &mut open.requests));
                open.socket.raw("41").await;
                open.left = true;
            }
            (false, "ACK") => {
                if let Some(asked) = open.asked.remove(&ack.unwrap()) {
                    let ours = open.socket.finish(asked).await;
                    let theirs = line["data"][0].clone();
                    self.compare(&format!("{file} ack"), &theirs, &ours);
                }
            }
            (false, "EVENT") => match line["event"].as_str().unwrap() {
                "update" => open.expected.push(self.translate(&line["args"][0]["body"])),
                "rpc-request" => {
                    let asked = loop {
                        let event = open.socket.until(|_| true).await;
                        if event.name == "rpc-request" {
                            break event;
                        }
                        open.heard.extend(updates(vec![event], &mut open.requests));
                    };
                    let theirs = line["args"][0].clone();
                    self.compare(&format!("{file} rpc-request"), &theirs, &asked.payload);
                    open.requests.insert(ack.unwrap(), asked);
                }
                _ => {}
            },
            _ => {}
        }
        self.sockets.insert(number, open);
    }

    async fn settle(&mut self, mut open: Open) {
        if !open.left {
            // A recording may end before its last update: what is missing is looked for, what is more is not minded.
            open.heard.extend(updates(open.socket.drain().await, &mut open.requests));
        }
        for (number, expected) in open.expected.iter().enumerate() {
            let Some(heard) = open.heard.get(number).cloned() else {
                self.found.push(format!("update {number} of {} never came: {expected}", open.expected.len()));
                return;
            };
            self.compared += 1;
            differences(&format!("update {number}"), expected, &heard, &mut self.found);
        }
    }
}

fn updates(events: Vec<Event>, requests: &mut HashMap<u64, Event>) -> Vec<Value> {
    let mut bodies = Vec::new();
    for event in events {
        match event.name.as_str() {
            "update" => bodies.push(event.payload["body"].clone()),
            // Out of the recording's order: kept under a number no recording uses.
            "rpc-request" => drop(requests.insert(u64::MAX - event.ack.unwrap(), event)),
            _ => {}
        }
    }
    bodies
}

async fn replay(files: Vec<PathBuf>) -> usize {
    let rig = Rig::with(|config| {
        // Recorded requests come at once here.
        config.limits.anonymous_per_second = 10_000;
        config.limits.account_per_second = 10_000;
    })
    .await;
    let mut replay = Replay {
        rig,
        token: String::new(),
        names: HashMap::new(),
        sockets: HashMap::new(),
        responses: HashMap::new(),
        found: Vec::new(),
        compared: 0,
    };
    for path in files {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            replay.line(&file, &line).await;
        }
    }
    for (_, open) in std::mem::take(&mut replay.sockets) {
        replay.settle(open).await;
    }
    replay.found.retain(|found| !BETTER.iter().any(|(path, what)| *found == format!("{path}: {what}")));
    assert!(
        replay.found.is_empty(),
        "{} of {} differ:\n{}",
        replay.found.len(),
        replay.compared,
        replay.found.join("\n")
    );
    replay.compared
}

fn files(directory: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .filter(|path| wanted(&path.file_name().unwrap().to_string_lossy()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_day_of_happy_with_data_keys() {
    let Some(directory) = recordings() else {
        println!("skipped: no recordings; name their directory by DELIGHT_HAPPY_CAPTURES");
        return;
    };
    let files = files(&directory, |name| name.starts_with(|letter: char| letter.is_ascii_digit()));
    let compared = replay(files).await;
    assert!(compared > 200, "only {compared} compared");
}

#[tokio::test]
async fn a_day_of_happy_with_one_secret() {
    let Some(directory) = recordings() else {
        println!("skipped: no recordings; name their directory by DELIGHT_HAPPY_CAPTURES");
        return;
    };
    let mut all = files(&directory, |name| name.starts_with("01-"));
    all.extend(files(&directory, |name| name.starts_with("legacy-")));
    let compared = replay(all).await;
    assert!(compared > 100, "only {compared} compared");
}

#[test]
fn the_comparison_finds_what_differs() {
    let recorded = json!({ "id": "a", "version": 1, "list": [{ "seq": 1 }], "x#plain": 1 });
    let mut found = Vec::new();
    differences(
        "",
        &plain(&recorded),
        &json!({ "id": "b", "version": 1, "list": [{ "seq": 1 }], "more": 1 }),
        &mut found,
    );
    assert_eq!(found, Vec::<String>::new());
    differences("", &plain(&recorded), &json!({ "id": 7, "version": 2, "list": [] }), &mut found);
    assert_eq!(found.len(), 3, "{found:?}");
}
