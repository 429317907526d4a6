//! Every shape of the sync wire, in every spelling that is read, and as it is written.
//!
//! A file of `data/golden` is a list of `{"in": …, "out": …}`; without `out` it is written as it was read. What is written
//! must read and write the same once more.

// The helpers of this test are not test functions themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

use delight_proto::sync::record::Record;
use delight_proto::sync::rpc::{Address, MachineRequest, Params, SessionRequest};
use delight_proto::sync::socket::{ClientEvent, Kept, ServerEvent, VersionedAck};
use delight_proto::sync::{ephemeral, http, legacy, record, rpc, socket, state, update};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

type Rewrite = fn(&Value) -> Value;

const SHAPES: &[(&str, Rewrite)] = &[
    ("ack-agent-state", |v| VersionedAck::read(Kept::AgentState, v).unwrap().write(Kept::AgentState)),
    ("ack-daemon-state", |v| VersionedAck::read(Kept::DaemonState, v).unwrap().write(Kept::DaemonState)),
    ("ack-metadata", |v| VersionedAck::read(Kept::Metadata, v).unwrap().write(Kept::Metadata)),
    ("ack-rpc", again::<socket::RpcAck>),
    ("agent-state", of_state::<state::AgentState>),
    ("answer-pairing", again::<http::AnswerPairing>),
    ("ask-challenge", again::<http::AskChallenge>),
    ("ask-pairing", again::<http::AskPairing>),
    ("challenge", again::<http::Challenge>),
    ("client-event", client_event),
    ("command-outcome", again::<rpc::CommandOutcome>),
    ("connect-auth", again::<socket::ConnectAuth>),
    ("connected", again::<socket::Connected>),
    ("create-machine", again::<http::CreateMachine>),
    ("create-session", again::<http::CreateSession>),
    ("daemon-state", of_state::<state::DaemonState>),
    ("directory-listing", again::<rpc::DirectoryListing>),
    ("directory-tree", again::<rpc::DirectoryTree>),
    ("done", again::<http::Done>),
    ("failure", again::<http::Failure>),
    ("file-content", again::<rpc::FileContent>),
    ("file-written", again::<rpc::FileWritten>),
    ("forked", again::<rpc::Forked>),
    ("legacy-message", legacy_message),
    ("logged-in", again::<http::LoggedIn>),
    ("login", again::<http::Login>),
    ("machine-created", again::<http::MachineCreated>),
    ("machine-list", again::<http::MachineList>),
    ("machine-metadata", of_state::<state::MachineMetadata>),
    ("machine-request", machine_request),
    ("machine-sessions", again::<rpc::MachineSessions>),
    ("message-answer", again::<rpc::answer::Message>),
    ("message-page", again::<http::MessagePage>),
    ("pairing-state", again::<http::PairingState>),
    ("pairing-status", again::<http::PairingStatus>),
    ("post-messages", again::<http::PostMessages>),
    ("posted", again::<http::Posted>),
    ("push-event", again::<http::PushEvent>),
    ("push-outcome", again::<http::PushOutcome>),
    ("record", of_record),
    ("rewind-points", again::<rpc::RewindPoints>),
    ("server-event", server_event),
    ("session-created", again::<http::SessionCreated>),
    ("session-list", again::<http::SessionList>),
    ("session-metadata", of_state::<state::SessionMetadata>),
    ("session-request", session_request),
    ("spawn-result", again::<rpc::SpawnResult>),
    ("transport-open", again::<socket::TransportOpen>),
];

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(format!("{name}.json"));
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(!cases.is_empty(), "{name}");
    cases
}

#[test]
fn every_shape_reads_its_spellings_and_writes_one() {
    for (name, rewrite) in SHAPES {
        for case in cases(name) {
            let written = rewrite(&case["in"]);
            let expected = case.get("out").unwrap_or(&case["in"]);
            assert_eq!(&written, expected, "{name}: {}", case["in"]);
            // A legacy event is read into another shape, which the server's events cover.
            if *name != "legacy-message" {
                assert_eq!(&rewrite(&written), expected, "{name}, read again");
            }
        }
    }
}

#[test]
fn every_file_is_read_and_every_shape_has_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let shapes: BTreeSet<String> = SHAPES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, shapes);
}

#[test]
fn no_kind_was_forgotten() {
    covers("machine-request", "method", MachineRequest::METHODS);
    covers("machine-request", "method", rpc::FileRequest::METHODS);
    covers("session-request", "method", SessionRequest::METHODS);
    covers("session-request", "method", rpc::FileRequest::METHODS);
    covers("client-event", "event", ClientEvent::NAMES);
    let not_by_update: Vec<&str> =
        ServerEvent::NAMES.iter().copied().filter(|name| *name != "message").collect();
    covers("server-event", "event", &not_by_update);
    covers("server-event", "t", update::UpdateBody::KINDS);
    covers("server-event", "type", ephemeral::Ephemeral::KINDS);
    covers("record", "t", record::SessionEvent::KINDS);
    covers("record", "type", record::AgentContent::KINDS);
    covers("record", "type", record::AgentEvent::KINDS);
    covers("record", "type", record::UserContent::KINDS);
    covers("record", "type", record::Block::KINDS);
    covers("spawn-result", "type", rpc::SpawnResult::KINDS);
}

/// Each of `names` stands somewhere in the file under `key`.
fn covers(file: &str, key: &str, names: &[&str]) {
    fn collect<'a>(value: &'a Value, key: &str, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, key, found)),
            Value::Object(object) => {
                found.extend(object.get(key).and_then(Value::as_str));
                object.values().for_each(|inner| collect(inner, key, found));
            }
            _ => {}
        }
    }
    let cases = cases(file);
    let mut found = BTreeSet::new();
    cases.iter().for_each(|case| collect(&case["in"], key, &mut found));
    for name in names {
        assert!(found.contains(name), "{file} has no {key} {name}");
    }
}

fn again<T: DeserializeOwned + Serialize>(value: &Value) -> Value {
    let shape: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    serde_json::to_value(shape).unwrap()
}

fn of_state<T: DeserializeOwned + Serialize>(value: &Value) -> Value {
    let state: T = state::open(&serde_json::to_vec(value).unwrap()).unwrap();
    serde_json::from_slice(&state::plaintext(&state).unwrap()).unwrap()
}

fn of_record(value: &Value) -> Value {
    let record = Record::open(&serde_json::to_vec(value).unwrap()).unwrap();
    serde_json::from_slice(&record.plaintext().unwrap()).unwrap()
}

fn client_event(value: &Value) -> Value {
    let event =
        ClientEvent::read(value["event"].as_str().unwrap(), value["args"].as_array().unwrap()).unwrap();
    json!({ "event": event.name(), "args": event.args().unwrap() })
}

fn server_event(value: &Value) -> Value {
    let event =
        ServerEvent::read(value["event"].as_str().unwrap(), value["args"].as_array().unwrap()).unwrap();
    json!({ "event": event.name(), "args": event.args().unwrap() })
}

/// What a legacy event gives, written as the structured update's body; and a legacy event of ours gives it again.
fn legacy_message(value: &Value) -> Value {
    let message = legacy::read(value).unwrap();
    let ours = ServerEvent::Message(message.clone());
    let reread = ServerEvent::read("message", &ours.args().unwrap()).unwrap();
    assert_eq!(reread.new_message(), Some(&message));
    serde_json::to_value(message).unwrap()
}

fn params(value: &Value) -> (String, Params) {
    let method = value["method"].as_str().unwrap();
    let address: Address = format!("id:{method}").parse().unwrap();
    (method.to_owned(), Params::open(&serde_json::to_vec(&value["params"]).unwrap(), &address).unwrap())
}

fn machine_request(value: &Value) -> Value {
    let (method, params) = params(value);
    let request = MachineRequest::read(&method, &params).unwrap();
    json!({ "method": request.method(), "params": request.params().unwrap() })
}

fn session_request(value: &Value) -> Value {
    let (method, params) = params(value);
    let request = SessionRequest::read(&method, &params).unwrap();
    json!({ "method": request.method(), "params": request.params().unwrap() })
}
