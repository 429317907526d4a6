//! The rules of the sync wire that golden files cannot show: one value for two ways, refusals, bounds, what is hidden.

// The helpers of this test are not test functions themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

use delight_proto::refusal::Code;
use delight_proto::sync::record::{Record, RecordBuilder, RecordId, SessionEvent, TurnStatus};
use delight_proto::sync::rpc::{
    Address, MachineRequest, Params, SessionRequest, answer, bind_answer, bind_request, read_bound_answer,
};
use delight_proto::sync::socket::{ClientEvent, ServerEvent};
use delight_proto::sync::state::{AgentState, SessionMetadata};
use delight_proto::sync::{bounds, http, state};
use proptest::prelude::*;
use serde_json::{Value, json};

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn open(plaintext: &Value, to: &str) -> Result<Params, Code> {
    Params::open(&serde_json::to_vec(plaintext).unwrap(), &address(to)).map_err(|refusal| refusal.code)
}

#[test]
fn legacy_and_structured_update_equal() {
    let row = json!({"id": "m1", "seq": 7, "localId": "l1", "content": {"t": "encrypted", "c": "AAAA"},
        "createdAt": 5, "updatedAt": 6});
    let structured = json!({"id": "u", "seq": 1, "createdAt": 9,
        "body": {"t": "new-message", "sid": "s1", "message": row}});
    let structured = ServerEvent::read("update", &[structured]).unwrap();
    for legacy in [json!({"sid": "s1", "message": row}), json!({"message": {"sid": "s1", "message": row}})] {
        let legacy = ServerEvent::read("message", &[legacy]).unwrap();
        assert!(legacy.new_message().is_some());
        assert_eq!(legacy.new_message(), structured.new_message());
    }
    let page: http::MessagePage = serde_json::from_value(json!({"messages": [row]})).unwrap();
    let of_page = page.messages[0].clone().into();
    assert_eq!(structured.new_message().map(|new| &new.message), Some(&of_page));
}

#[test]
fn a_known_event_of_another_shape_is_a_refusal_that_repeats_nothing() {
    for (name, args) in [
        (
            "update",
            vec![json!({"id": "u", "seq": 1, "body": {"t": "new-message", "sid": 5, "message": "canary"}})],
        ),
        ("update", vec![json!({"id": "u", "seq": "canary", "body": {}})]),
        ("update", vec![]),
        (
            "message",
            vec![
                json!({"sid": "s", "message": {"message": {"message": {"message": {"message": "canary"}}}}}),
            ],
        ),
        ("ephemeral", vec![json!({"type": "activity", "id": "s", "active": "canary"})]),
        ("rpc-request", vec![json!({"method": "s:abort", "params": {"canary": 1}})]),
    ] {
        let refusal = ServerEvent::read(name, &args).unwrap_err();
        assert_eq!(refusal.code, Code::BadParams, "{name}");
        assert!(!refusal.to_string().contains("canary"), "{refusal}");
    }
}

#[test]
fn oversized_values_are_refused() {
    let long = "x".repeat(bounds::ID + 1);
    assert!(ClientEvent::read("session-end", &[json!({"sid": long, "time": 1})]).is_err());
    let sealed = "A".repeat(bounds::SEALED + 1);
    assert!(ServerEvent::read("message", &[json!({"sid": "s", "message": sealed})]).is_err());
    let params = "A".repeat(bounds::PACKET + 1);
    assert!(ServerEvent::read("rpc-request", &[json!({"method": "s:bash", "params": params})]).is_err());
    let many: Vec<Value> =
        (0..=bounds::POST_MESSAGES).map(|n| json!({"content": "AAAA", "localId": n.to_string()})).collect();
    assert!(serde_json::from_value::<http::PostMessages>(json!({"messages": many})).is_err());
    let environment: Value = (0..=bounds::CALL_ENTRIES)
        .map(|n| (n.to_string(), json!("x")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let params =
        open(&json!({"directory": "/", "environmentVariables": environment}), "m:spawn-happy-session")
            .unwrap();
    assert_eq!(MachineRequest::read("spawn-happy-session", &params).unwrap_err().code, Code::BadParams);
    let path = "x".repeat(bounds::PATH + 1);
    let params = open(&json!({"path": path}), "m:readFile").unwrap();
    assert_eq!(MachineRequest::read("readFile", &params).unwrap_err().code, Code::BadParams);
    let state = format!("{{\"x\":\"{}\"}}", "x".repeat(bounds::STATE));
    assert_eq!(state::open::<SessionMetadata>(state.as_bytes()).unwrap_err().code, Code::TooLarge);
}

#[test]
fn nesting_without_end_is_refused_not_followed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(Record::open(deep.as_bytes()).unwrap_err().code, Code::BadRequest);
    assert_eq!(Params::open(deep.as_bytes(), &address("m:ping")).unwrap_err().code, Code::BadRequest);
}

/// A server that delivers something sealed for another purpose as the parameters of a call.
#[test]
fn what_was_sealed_as_something_else_is_no_request() {
    for reflected in [
        json!({"type": "success", "sessionId": "s1"}),
        json!({"type": "requestToApproveDirectoryCreation", "directory": "/etc"}),
        json!({"success": true, "content": "AAAA"}),
        json!({"error": "no"}),
        json!({"role": "session", "content": {}}),
        json!({"path": "/srv", "hostPid": 1, "lifecycleState": "running"}),
        json!({"controlledByUser": false}),
        json!({"happyCliVersion": "1", "homeDir": "/"}),
        json!({"status": "running", "pid": 1, "httpPort": 2}),
    ] {
        for method in ["m:stop-session", "m:stop-daemon", "m:spawn-happy-session", "m:readFile"] {
            assert_eq!(open(&reflected, method), Err(Code::Forbidden), "{reflected} as {method}");
        }
    }
    for nothing in [json!(null), json!([]), json!("text"), json!(7)] {
        assert_eq!(open(&nothing, "s:killSession"), Err(Code::BadParams), "{nothing}");
    }
    assert_eq!(Params::open(b"", &address("s:killSession")).unwrap_err().code, Code::BadRequest);
}

#[test]
fn a_bound_request_serves_its_method_and_scope_while_it_is_new() {
    let here = address("m1:stop-session");
    let nonce = "AAAAAAAAAAAAAAAAAAAAAA==";
    let bound = bind_request(&here, &json!({"sessionId": "s1"}), 1_000_000, nonce);
    let plaintext = serde_json::to_vec(&bound).unwrap();

    let params = Params::open(&plaintext, &here).unwrap();
    assert!(matches!(MachineRequest::read(&here.method, &params), Ok(MachineRequest::StopSession(_))));
    assert_eq!(params.issued_at(), Some(1_000_000));
    assert!(params.check_time(1_000_000 + 299_999).is_ok() && params.check_time(1_000_000 - 299_999).is_ok());
    assert_eq!(params.check_time(1_300_001).unwrap_err().code, Code::Forbidden);

    for elsewhere in ["m1:stop-daemon", "m2:stop-session"] {
        assert_eq!(open(&bound, elsewhere), Err(Code::Forbidden), "{elsewhere}");
    }
    for (field, value) in
        [("rpcBinding", json!(2)), ("nonce", json!(1)), ("extra", json!(1)), ("params", json!("x"))]
    {
        let mut changed = bound.clone();
        changed[field] = value;
        assert_eq!(open(&changed, "m1:stop-session"), Err(Code::BadParams), "{field}");
    }

    let answer = bind_answer(&params, json!({"message": "stopped"}));
    assert_eq!(read_bound_answer(&answer, nonce), Ok(json!({"message": "stopped"})));
    assert_eq!(read_bound_answer(&answer, "other").unwrap_err().code, Code::Forbidden);
    assert_eq!(read_bound_answer(&json!({"message": "stopped"}), nonce).unwrap_err().code, Code::Forbidden);
    let unbound = open(&json!({}), "m1:ping").unwrap();
    assert_eq!(bind_answer(&unbound, json!({"success": true})), json!({"success": true}));
}

#[test]
fn methods_nobody_knows_are_refused_as_such() {
    let params = open(&json!({}), "m:rm-rf").unwrap();
    assert_eq!(MachineRequest::read("rm-rf", &params).unwrap_err().code, Code::UnknownMethod);
    assert_eq!(SessionRequest::read("spawn-happy-session", &params).unwrap_err().code, Code::UnknownMethod);
    for bad in ["abort", ":abort", "s:", ""] {
        assert!(bad.parse::<Address>().is_err(), "{bad}");
    }
}

#[test]
fn switch_sets_and_never_guesses() {
    for bad in [json!({}), json!({"to": "toggle"}), json!({"to": null})] {
        let params = open(&bad, "s:switch").unwrap();
        assert_eq!(SessionRequest::read("switch", &params).unwrap_err().code, Code::BadParams, "{bad}");
    }
}

#[test]
fn failures_are_recognised_in_all_spellings() {
    for failed in [
        json!({"error": "no"}),
        json!({"success": false, "error": "no"}),
        json!({"success": false, "message": "no"}),
        json!({"type": "error", "errorMessage": "no"}),
    ] {
        assert_eq!(answer::failure(&failed).unwrap().to_string(), "no", "{failed}");
    }
    for done in
        [json!({"success": true, "error": "old"}), json!(null), json!(true), json!({"message": "stopped"})]
    {
        assert_eq!(answer::failure(&done), None, "{done}");
    }
    assert_eq!(answer::failure(&answer::failed("no")), answer::failure(&answer::error("no")));
}

#[test]
fn what_others_wrote_into_a_state_survives_our_writing() {
    let theirs =
        json!({"path": "/srv", "host": "vm", "name": "theirs", "sandbox": null, "new": {"field": [1]}});
    let mut metadata: SessionMetadata = serde_json::from_value(theirs.clone()).unwrap();
    metadata.lifecycle_state = Some("archived".try_into().unwrap());
    let mut expected = theirs;
    expected["lifecycleState"] = json!("archived");
    assert_eq!(serde_json::to_value(&metadata).unwrap(), expected);
}

#[test]
fn completed_requests_do_not_grow_without_end() {
    let completed: Value = (0..500)
        .map(|n| {
            (
                format!("t{n}"),
                json!({"tool": "Bash", "arguments": {}, "completedAt": n, "status": "approved"}),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    let mut state: AgentState = serde_json::from_value(json!({ "completedRequests": completed })).unwrap();
    state.forget_completed(20);
    let kept = state.completed_requests.unwrap();
    assert_eq!(kept.len(), 20);
    assert!(kept.values().all(|request| request.completed_at >= Some(480)));
}

#[test]
fn a_turn_of_the_builder_is_what_remote_clients_wait_for() {
    let id = |n: u8| RecordId::from_random([n; 24]);
    let mut builder = RecordBuilder::new("cli".try_into().unwrap());
    let turn = id(1);
    let records = [
        builder.turn_start(&id(2), 10, turn.clone()),
        builder.text(&id(3), 11, "hello").unwrap(),
        builder.turn_end(&id(4), 12, TurnStatus::Completed),
        builder.text(&id(5), 13, "after").unwrap(),
    ];
    let turns: Vec<Option<String>> = records
        .iter()
        .map(|record| match record {
            Record::Session(record) => record.content.turn.as_ref().map(ToString::to_string),
            other => panic!("{other:?}"),
        })
        .collect();
    let in_turn = Some(turn.to_string());
    assert_eq!(turns, [in_turn.clone(), in_turn.clone(), in_turn, None]);
    for record in &records {
        assert_eq!(&Record::open(&record.plaintext().unwrap()).unwrap(), record);
    }
    let Record::Session(end) = &records[2] else { panic!("an envelope") };
    assert!(matches!(end.content.ev, SessionEvent::TurnEnd(_)));
    assert!(turn.to_string().len() == 24 && turn.to_string().starts_with(|c: char| c.is_ascii_lowercase()));
}

#[test]
fn debug_shows_no_content() {
    let event = ClientEvent::read("message", &[json!({"sid": "s1", "message": "canary"})]).unwrap();
    let record = Record::open(
        br#"{"role":"user","content":{"type":"text","text":"canary"},"meta":{"appendSystemPrompt":"canary","x":"canary"}}"#,
    )
    .unwrap();
    let unknown = Record::open(br#"{"role":"other","x":"canary"}"#).unwrap();
    let odd = ServerEvent::read("odd", &[json!("canary")]).unwrap();
    let spawn = open(
        &json!({"directory": "/srv", "token": "canary", "environmentVariables": {"A": "canary"}}),
        "m:spawn-happy-session",
    )
    .unwrap();
    let request = MachineRequest::read("spawn-happy-session", &spawn).unwrap();
    let state: AgentState = serde_json::from_value(
        json!({"requests": {"t": {"tool": "Bash", "arguments": {"command": "canary"}}}, "x": "canary"}),
    )
    .unwrap();
    let metadata: SessionMetadata = serde_json::from_value(json!({"path": "canary", "x": "canary"})).unwrap();
    let login: http::LoggedIn = serde_json::from_value(json!({"token": "canary"})).unwrap();
    let shown = format!(
        "{event:?} {record:?} {unknown:?} {odd:?} {spawn:?} {request:?} {state:?} {metadata:?} {login:?}"
    );
    assert!(!shown.contains("canary"), "{shown}");
}

/// JSON of all kinds, with the wire's own names in it so that more than `Unknown` is reached.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec![
        "t",
        "c",
        "type",
        "role",
        "content",
        "message",
        "sid",
        "id",
        "seq",
        "body",
        "ev",
        "time",
        "data",
        "metadata",
        "requests",
        "result",
        "version",
        "rpcBinding",
        "method",
        "params",
        "path",
        "to",
        "success",
        "error",
    ]);
    let word = prop::sample::select(vec![
        "new-message",
        "update-session",
        "activity",
        "user",
        "agent",
        "session",
        "text",
        "output",
        "event",
        "turn-end",
        "success",
        "local",
        "AAAA",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_a_reader_panic_and_states_lose_nothing(value in any_json(), at: prop::sample::Index) {
        let client = ClientEvent::NAMES[at.index(ClientEvent::NAMES.len())];
        let server = ServerEvent::NAMES[at.index(ServerEvent::NAMES.len())];
        let args = [value.clone()];
        if let Ok(event) = ClientEvent::read(client, &args) {
            let again = ClientEvent::read(client, &event.args().unwrap()).unwrap();
            prop_assert_eq!(again, event);
        }
        if let Ok(event) = ServerEvent::read(server, &args) {
            let again = ServerEvent::read(server, &event.args().unwrap()).unwrap();
            prop_assert_eq!(again, event);
        }
        let plaintext = serde_json::to_vec(&value).unwrap();
        let record = Record::open(&plaintext).unwrap();
        prop_assert_eq!(&Record::open(&record.plaintext().unwrap()).unwrap(), &record);
        if let Ok(params) = Params::open(&plaintext, &address("m:spawn-happy-session")) {
            for method in MachineRequest::METHODS {
                let _ = MachineRequest::read(method, &params);
            }
            for method in SessionRequest::METHODS {
                let _ = SessionRequest::read(method, &params);
            }
        }
        if value.is_object() {
            let metadata: SessionMetadata = serde_json::from_value(value.clone()).unwrap();
            prop_assert_eq!(serde_json::to_value(&metadata).unwrap(), value);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::open(&bytes);
        let _ = Params::open(&bytes, &address("m:ping"));
        let _ = state::open::<AgentState>(&bytes);
    }
}
