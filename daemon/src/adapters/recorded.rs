//! Recorded conversations with the real agents (`testdata/agents`), for tests of codecs.

use delight_proto::agent::{
    AgentEvent, AgentMemory, AgentOrder, Control, Decision, Message, Mode, PermissionAsk, RecordBody,
};
use delight_proto::id::SessionId;
use delight_proto::session::{Origin, StartSpec};
use serde_json::Value;

use super::Launch;
use super::codec::{Codec, Understood};

/// What a codec is made for in these tests.
pub(super) fn with_launch<T>(kind: &str, memory: &AgentMemory, make: impl FnOnce(&Launch<'_>) -> T) -> T {
    let spec: StartSpec =
        serde_json::from_value(serde_json::json!({"kind": kind, "cwd": "/srv/demo/proj"})).unwrap();
    let id = SessionId::from_random([7; 10]);
    make(&Launch { id, spec: &spec, control: Some(Control::Remote), memory })
}

/// One line of a recording: whether the agent wrote it, and the line.
pub(super) fn lines(recording: &str) -> Vec<(bool, Vec<u8>)> {
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let spoken = recording.lines().map(parse).filter(|row| row["dir"] == "in" || row["dir"] == "out");
    spoken
        .map(|row| {
            let text = match &row["msg"] {
                Value::String(text) => text.clone(),
                message => message.to_string(),
            };
            (row["dir"] == "out", text.into_bytes())
        })
        .collect()
}

/// Everything the codec makes of a recording.
pub(super) fn understood(codec: &mut dyn Codec, recording: &str) -> Understood {
    let mut all = Understood::default();
    for (from_agent, line) in lines(recording) {
        if from_agent {
            let Understood { events, reply } = codec.line(&line);
            all.events.extend(events);
            all.reply.extend(reply);
        } else {
            codec.wrote(&line);
        }
    }
    all
}

/// One word an event, for tables.
pub(super) fn word(event: &AgentEvent) -> String {
    match event {
        AgentEvent::Ready => "ready".into(),
        AgentEvent::Conversation { .. } => "conversation".into(),
        AgentEvent::Activity { activity } => format!("{activity:?}").to_lowercase(),
        AgentEvent::Record { record } => match &record.body {
            RecordBody::TurnStarted { .. } => "turn{".into(),
            RecordBody::TurnEnded { status, .. } => format!("}}{status:?}").to_lowercase(),
            RecordBody::UserText { text } => format!("user:{text}"),
            RecordBody::Text { text } => format!("text:{}", text.lines().next().unwrap_or_default()),
            RecordBody::Thinking { text } => format!("thinking:{}", text.replace('\n', " ")),
            RecordBody::ToolStarted { tool, title, .. } => format!("tool:{tool}:{title}"),
            RecordBody::ToolEnded { failed, .. } => if *failed { "failed" } else { "done" }.into(),
            RecordBody::Usage { .. } => "usage".into(),
            RecordBody::Error { retrying, .. } => if *retrying { "retry" } else { "error" }.into(),
            RecordBody::Notice { .. } => "notice".into(),
        },
        AgentEvent::Asked { ask } => format!("asked:{}", ask.title),
        AgentEvent::Withdrawn { .. } => "withdrawn".into(),
        AgentEvent::Mode(Mode { model, permission_mode, effort }) => {
            let effort = effort.as_ref().map(|effort| format!(":{effort}")).unwrap_or_default();
            let [model, mode] = [model, permission_mode].map(|name| name.as_deref().unwrap_or("-"));
            format!("mode:{model}:{mode}{effort}")
        }
        AgentEvent::Offers(_) => "offers".into(),
        AgentEvent::Unable { .. } => "unable".into(),
        AgentEvent::Skipped { what, .. } => format!("skipped:{what}"),
    }
}

/// All of them in one line each.
pub(super) fn words(events: &[AgentEvent]) -> Vec<String> {
    events.iter().map(word).collect()
}

/// What must hold of whatever an agent does: nothing of a good recording is skipped, turns and tools that begin end.
#[track_caller]
pub(super) fn coherent(events: &[AgentEvent]) {
    let (mut turn, mut tools) = (None, std::collections::BTreeSet::new());
    for event in events {
        match event {
            AgentEvent::Skipped { what, .. } => panic!("skipped: {what}"),
            AgentEvent::Record { record } => match &record.body {
                RecordBody::TurnStarted { turn: new } => assert_eq!(turn.replace(new.clone()), None),
                RecordBody::TurnEnded { turn: ended, .. } => assert_eq!(turn.take().as_ref(), Some(ended)),
                RecordBody::ToolStarted { call, .. } => drop(tools.insert(call.clone())),
                RecordBody::ToolEnded { call, .. } => assert!(tools.remove(call), "{call} ended twice"),
                _ => {}
            },
            _ => {}
        }
    }
    assert_eq!(turn, None, "a turn does not end");
    assert!(tools.is_empty(), "tools do not end: {tools:?}");
}

/// Any bytes: a codec neither panics nor stops working.
pub(super) fn survives(make: impl Fn() -> Box<dyn Codec>, recording: &str) {
    use proptest::prelude::*;
    let good: Vec<Vec<u8>> =
        lines(recording).into_iter().filter(|(out, _)| *out).map(|(_, line)| line).collect();
    let wholly = words(&understood(&mut *make(), recording).events);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(128));
    // Good lines with bytes changed, cut off, or in any order.
    let at = (0..good.len(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    let hostile = (prop::collection::vec(at, 1..12), prop::collection::vec(any::<u8>(), 0..64));
    runner
        .run(&hostile, |(changes, noise)| {
            let mut codec = make();
            codec.line(&noise);
            codec.wrote(&noise);
            for (n, index, byte, cut) in changes {
                let mut line = good[n].clone();
                let at = index.index(line.len());
                if cut {
                    line.truncate(at);
                } else {
                    line[at] = byte;
                }
                codec.line(&line);
                codec.wrote(&line);
            }
            Ok(())
        })
        .unwrap();
    // Noise between good lines is skipped and changes nothing else.
    let mut codec = make();
    let mut events = Vec::new();
    for (from_agent, line) in lines(recording) {
        if from_agent {
            events.extend(codec.line(b"npm warn something").events);
            events.extend(codec.line(b"[1, {\"type\": 7}").events);
            events.extend(codec.line(&line).events);
        } else {
            codec.wrote(&line);
        }
    }
    events.retain(|event| !matches!(event, AgentEvent::Skipped { .. }));
    assert_eq!(words(&events), wholly);
}

/// The requests among these.
pub(super) fn asks(events: &[AgentEvent]) -> Vec<PermissionAsk> {
    let asked = |event: &AgentEvent| match event {
        AgentEvent::Asked { ask } => Some(ask.clone()),
        _ => None,
    };
    events.iter().filter_map(asked).collect()
}

/// Lines of JSON.
pub(super) fn parsed(lines: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(lines).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A message to the agent.
pub(super) fn prompt(id: &str) -> AgentOrder {
    let message =
        Message { local_id: id.parse().unwrap(), text: "hi".into(), origin: Origin::Desktop { pid: None } };
    AgentOrder::Prompt { message }
}

/// The answer to a request, as its JSON form says.
pub(super) fn decide(ask: &PermissionAsk, decision: Value) -> AgentOrder {
    let decision: Decision = serde_json::from_value(decision).unwrap();
    AgentOrder::Decide { ask: ask.clone(), decision }
}
