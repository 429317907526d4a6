//! What phones are shown of a session.

use delight_core::session::{AgentHeard, Capabilities, Command, Controls, Ended, Happening, Runner, Session};
use delight_core::testing::table::{asked, happened, running, step};
use delight_core::uplink::{Facts, Host, facts};
use delight_proto::agent::{Activity, AgentEvent, Control, PermissionAsk, Source};
use delight_proto::session::{Exit, Phase, RestartPolicy, SessionView};
use serde_json::{Value, json};

fn shown(view: &SessionView) -> Facts {
    let host = Host {
        host: "h".into(),
        machine_id: "m".into(),
        home_dir: "/home".into(),
        state_dir: "/state".into(),
        lib_dir: "/lib".into(),
        version: "1".into(),
        os: "linux".into(),
    };
    facts(view, &host, None)
}

fn heard(s: Session, at: u64, events: Vec<AgentEvent>) -> Session {
    let line = AgentHeard { generation: 2, source: Source::Stream, offset: at, first: 0, events };
    step(s, at, happened(Happening::Agent(Box::new(line)))).0
}

fn asks() -> AgentEvent {
    let ask = PermissionAsk {
        id: "req-1".parse().unwrap(),
        tool: "Bash".into(),
        title: "npm test".into(),
        input: json!({ "command": "npm test" }),
        call: Some("call-1".into()),
        command: Some("npm test".into()),
        paths: Vec::new(),
        read_only: false,
        question: false,
    };
    AgentEvent::Asked { ask }
}

/// The desktop drives, then the phone: since its switch began.
fn handed_over() -> (Session, Session) {
    let controls = Controls { local: true, remote: true, shared: false };
    let s = running(RestartPolicy::Never, Capabilities::agent(controls));
    let switched = step(s.clone(), 20, asked(2, Command::Switch { to: Control::Remote })).0;
    (s, switched)
}

#[test]
fn the_agent_state_says_who_drives_and_what_waits_for_an_answer() {
    let (s, switched) = handed_over();
    let by_user = |s: &Session| shown(&s.view()).agent_state["controlledByUser"].clone();
    assert_eq!((by_user(&s), by_user(&switched)), (json!(true), json!(false)));
    let ended = Ended { generation: 1, exit: Exit::Signal(15), offset: 0, at_ms: 1, survivors: 0 };
    let (s, _) = step(switched, 30, happened(Happening::RunnerExited(ended)));
    let runner = Runner { generation: 2, pid: 101 };
    let (s, _) = step(s, 31, happened(Happening::RunnerUp { runner, offset: 0 }));
    let s = heard(s, 32, vec![AgentEvent::Ready, AgentEvent::Activity { activity: Activity::Working }]);
    assert!(shown(&s.view()).thinking);
    let s = heard(s, 33, vec![asks()]);
    let facts = shown(&s.view());
    let request = &facts.agent_state["requests"]["req-1"];
    assert_eq!((&request["tool"], &request["toolUseId"]), (&json!("Bash"), &json!("call-1")));
    assert!(!facts.thinking, "it waits for a person");

    // Nobody can answer for what nothing runs behind.
    let over = shown(&SessionView { phase: Phase::Interrupted, ..s.view() });
    assert_eq!(over.agent_state["requests"], Value::Object(delight_proto::sync::Object::new()));
    assert!(!over.live);
}

/// Under the names the real Happy writes and its app reads.
#[test]
fn the_metadata_says_what_the_agent_has_to_offer_and_how_it_works() {
    let offers = json!({
        "did": "offers", "tools": ["Bash", "Edit"], "commands": ["compact"], "skills": ["verify"],
        "servers": [{"name": "happy", "status": "connected"}],
        "models": [{"code": "m1", "name": "Model one", "description": "large"}],
        "permission_modes": [{"code": "plan", "name": "Plan"}],
    });
    let mode = json!({"did": "mode", "model": "m1", "permission_mode": "plan", "effort": "high"});
    let events = [offers, mode].map(|event| serde_json::from_value(event).unwrap());
    let (s, _) = handed_over();
    assert_eq!(shown(&s.view()).metadata["tools"], Value::Null, "nothing was said");
    let line =
        AgentHeard { generation: 1, source: Source::Status, offset: 0, first: 0, events: events.to_vec() };
    let (s, _) = step(s, 50, happened(Happening::Agent(Box::new(line))));
    let metadata = Value::Object(shown(&s.view()).metadata);
    for (field, expected) in [
        ("tools", json!(["Bash", "Edit"])),
        ("slashCommands", json!(["compact"])),
        ("skills", json!(["verify"])),
        ("mcpServers", json!([{"name": "happy", "status": "connected"}])),
        ("models", json!([{"code": "m1", "value": "Model one", "description": "large"}])),
        ("operatingModes", json!([{"code": "plan", "value": "Plan"}])),
        ("thoughtLevels", Value::Null),
        ("currentModelCode", json!("m1")),
        ("currentOperatingModeCode", json!("plan")),
        ("currentThoughtLevelCode", json!("high")),
    ] {
        assert_eq!(metadata[field], expected, "{field}");
    }
    // What the wire's own types make of it.
    let read: delight_proto::sync::state::SessionMetadata = serde_json::from_value(metadata).unwrap();
    assert_eq!(read.mcp_servers.unwrap()[0].name.as_deref(), Some("happy"));
}

#[test]
fn nothing_that_has_ended_is_shown_as_thinking() {
    let (s, _) = handed_over();
    let line = AgentHeard {
        generation: 1,
        source: Source::Status,
        offset: 0,
        first: 0,
        events: vec![AgentEvent::Activity { activity: Activity::Working }],
    };
    let (s, _) = step(s, 20, happened(Happening::Agent(Box::new(line))));
    assert!(shown(&s.view()).thinking);
    assert!(!shown(&SessionView { phase: Phase::Interrupted, ..s.view() }).thinking);
}
