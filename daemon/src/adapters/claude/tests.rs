//! Claude's protocol as recorded from the real program.

use delight_proto::agent::{AgentEvent, AgentMemory, AgentOrder, Decision, Message, PermissionAsk, Scope};
use delight_proto::session::Origin;
use serde_json::{Value, json};

use super::stream::Stream;
use crate::adapters::codec::Codec;
use crate::adapters::recorded::{coherent, survives, understood, with_launch, words};

const BASIC: &str = include_str!("../../../testdata/agents/claude-remote-basic.jsonl");
const PERMISSIONS: &str = include_str!("../../../testdata/agents/claude-remote-permissions.jsonl");
const INTERRUPT: &str = include_str!("../../../testdata/agents/claude-remote-interrupt.jsonl");
const CONTROLS: &str = include_str!("../../../testdata/agents/claude-remote-controls.jsonl");
const HOOKS: &str = include_str!("../../../testdata/agents/claude-remote-hook-callbacks.jsonl");
const SWITCHED: &str = include_str!("../../../testdata/agents/claude-switch-2-remote.jsonl");

fn codec() -> Stream {
    with_launch("claude", &AgentMemory::default(), Stream::new)
}

fn asks(events: &[AgentEvent]) -> Vec<PermissionAsk> {
    let asked = |event: &AgentEvent| match event {
        AgentEvent::Asked { ask } => Some(ask.clone()),
        _ => None,
    };
    events.iter().filter_map(asked).collect()
}

fn message(id: &str) -> AgentOrder {
    let message = Message {
        local_id: id.parse().unwrap(),
        text: "hi\n\"you\"".into(),
        origin: Origin::Desktop { pid: None },
    };
    AgentOrder::Prompt { message }
}

fn decide(ask: &PermissionAsk, decision: Value) -> AgentOrder {
    let decision: Decision = serde_json::from_value(decision).unwrap();
    AgentOrder::Decide { ask: ask.clone(), decision }
}

fn parsed(lines: &[u8]) -> Vec<Value> {
    assert!(lines.is_empty() || lines.ends_with(b"\n"));
    let lines = std::str::from_utf8(lines).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_conversation_is_ready_words_tools_and_ends_of_turns() {
    let events = understood(&mut codec(), BASIC).events;
    coherent(&events);
    assert_eq!(words(&events), EXPECTED_BASIC);
}

#[test]
fn everything_recorded_is_understood() {
    for recording in [PERMISSIONS, INTERRUPT, CONTROLS, HOOKS, SWITCHED] {
        coherent(&understood(&mut codec(), recording).events);
    }
}

#[test]
fn a_request_is_told_with_what_a_policy_needs() {
    let asked = asks(&understood(&mut codec(), PERMISSIONS).events);
    let first = &asked[0];
    assert_eq!(first.tool, "Bash");
    assert_eq!(first.command.as_deref(), Some("touch a1; echo one"));
    assert_eq!(first.title, "Bash: touch a1; echo one");
    assert!(first.call.is_some() && !first.read_only && !first.question && first.paths.is_empty());
    let questions: Vec<&str> = asked.iter().filter(|ask| ask.question).map(|ask| ask.tool.as_str()).collect();
    assert!(questions.contains(&"AskUserQuestion") && questions.contains(&"ExitPlanMode"), "{questions:?}");
}

#[test]
fn an_aborted_turn_is_cancelled_and_takes_its_request_back() {
    let words = words(&understood(&mut codec(), INTERRUPT).events);
    assert!(words.iter().filter(|word| *word == "}cancelled").count() >= 4, "{words:?}");
    assert!(words.contains(&"withdrawn".to_owned()));
}

#[test]
fn changes_of_model_and_mode_are_told_and_refusals_of_them_shown() {
    let words = words(&understood(&mut codec(), CONTROLS).events);
    for expected in ["mode:-:acceptEdits", "mode:claude-haiku-4-5:-", "mode:claude-opus-5-5:-"] {
        assert!(words.contains(&expected.to_owned()), "{expected} in {words:?}");
    }
    assert_eq!(words.iter().filter(|word| *word == "error").count(), 2, "{words:?}");
}

#[test]
fn a_message_is_written_once_however_often_it_is_told() {
    let mut first = codec();
    let lines = first.order(&message("m1")).unwrap();
    let written = &parsed(&lines)[0];
    assert_eq!(written["message"]["content"], "hi\n\"you\"");
    assert!(first.order(&message("m1")).unwrap().is_empty());
    // After a restart the journal tells.
    let mut second = codec();
    second.wrote(lines.trim_ascii_end());
    assert!(second.order(&message("m1")).unwrap().is_empty());
    assert_eq!(parsed(&second.order(&message("m2")).unwrap()).len(), 1);
}

#[test]
fn a_decision_is_written_once_and_says_exactly_what_was_decided() {
    let mut codec = codec();
    let answered = asks(&understood(&mut codec, PERMISSIONS).events).remove(0);
    assert!(codec.order(&decide(&answered, json!({"allow": true}))).unwrap().is_empty());
    let open =
        ask(&mut codec, &json!({"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "x"}}));
    let lines = codec.order(&decide(&open, json!({"allow": true, "scope": "session"}))).unwrap();
    assert!(codec.order(&decide(&open, json!({"allow": true}))).unwrap().is_empty());
    let response = &parsed(&lines)[0]["response"];
    assert_eq!(response["request_id"], open.id.as_str());
    assert_eq!(response["response"]["behavior"], "allow");
}

/// Feeds one request and returns it.
fn ask(codec: &mut Stream, request: &Value) -> PermissionAsk {
    let line = json!({"type": "control_request", "request_id": "r1", "request": request}).to_string();
    asks(&codec.line(line.as_bytes()).events).remove(0)
}

#[test]
fn only_rules_are_allowed_for_the_session() {
    let mut codec = codec();
    let request = json!({
        "subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "ls"},
        "permission_suggestions": [
            {"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "allow", "destination": "localSettings"},
            {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
        ],
    });
    let asked = ask(&mut codec, &request);
    let order = decide(&asked, json!({"allow": true, "scope": "session", "permission_mode": "plan"}));
    let answer = parsed(&codec.order(&order).unwrap())[0]["response"]["response"].clone();
    let rule = json!({"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "allow", "destination": "session"});
    let mode = json!({"type": "setMode", "mode": "plan", "destination": "session"});
    assert_eq!(answer, json!({"behavior": "allow", "updatedPermissions": [rule, mode]}));
    assert_eq!(serde_json::from_value::<Scope>(json!("session")).unwrap(), Scope::Session);
}

#[test]
fn a_question_is_answered_with_its_questions() {
    let mut codec = codec();
    let input = json!({"questions": [{"question": "Which?", "options": []}]});
    let request = json!({"subtype": "can_use_tool", "tool_name": "AskUserQuestion", "input": input});
    let asked = ask(&mut codec, &request);
    assert!(asked.question);
    let order = decide(&asked, json!({"allow": true, "answers": {"Which?": "this"}}));
    let answer = parsed(&codec.order(&order).unwrap())[0]["response"]["response"].clone();
    let expected = json!({"questions": input["questions"], "answers": {"Which?": "this"}});
    assert_eq!(answer, json!({"behavior": "allow", "updatedInput": expected}));
}

#[test]
fn a_no_carries_its_reason_and_a_mode_follows_it() {
    let mut codec = codec();
    let asked = ask(
        &mut codec,
        &json!({"subtype": "can_use_tool", "tool_name": "Write", "input": {"file_path": "x"}}),
    );
    assert_eq!(asked.paths, ["/srv/demo/proj/x"]);
    let order = decide(&asked, json!({"allow": false, "reason": "no!", "permission_mode": "plan"}));
    let lines = parsed(&codec.order(&order).unwrap());
    assert_eq!(lines[0]["response"]["response"], json!({"behavior": "deny", "message": "no!"}));
    assert_eq!(lines[1]["request"], json!({"subtype": "set_permission_mode", "mode": "plan"}));
}

#[test]
fn what_is_not_ours_to_serve_is_refused_at_once() {
    let mut codec = codec();
    let line = br#"{"type":"control_request","request_id":"x","request":{"subtype":"hook_callback","callback_id":"c"}}"#;
    let reply = parsed(&codec.line(line).reply);
    assert_eq!(
        (&reply[0]["response"]["subtype"], &reply[0]["response"]["request_id"]),
        (&json!("error"), &json!("x"))
    );
    let line = br#"{"type":"control_request","request_id":"a b","request":{"subtype":"can_use_tool","tool_name":"Bash"}}"#;
    let out = codec.line(line);
    assert_eq!(words(&out.events), ["skipped:a permission request with an unusable id"]);
    assert_eq!(parsed(&out.reply)[0]["response"]["subtype"], "error");
}

#[test]
fn control_requests_of_a_restarted_daemon_have_new_ids() {
    let mut first = codec();
    let interrupt = first.order(&AgentOrder::Abort).unwrap();
    let mut second = codec();
    second.wrote(interrupt.trim_ascii_end());
    let again = second.order(&AgentOrder::Abort).unwrap();
    assert_ne!(parsed(&interrupt)[0]["request_id"], parsed(&again)[0]["request_id"]);
    let both = json!({"model": "opus", "permission_mode": "plan"});
    assert_eq!(parsed(&second.order(&set(both)).unwrap()).len(), 2);
    assert_eq!(parsed(&second.order(&AgentOrder::End).unwrap())[0]["request"]["subtype"], "end_session");
}

/// The order to work like that.
fn set(mode: Value) -> AgentOrder {
    AgentOrder::SetMode(serde_json::from_value(mode).unwrap())
}

/// Claude takes whatever effort it is given: what it does not know is refused before, and what it works with is its word.
#[test]
fn an_effort_is_set_at_once_and_what_claude_says_of_it_holds() {
    let mut codec = codec();
    let models = json!([{"value": "opus", "supportedEffortLevels": ["low", "high"]}, {"value": "haiku"}]);
    let answer = |id: &str, subtype: &str, response: Value| {
        let response = json!({"subtype": subtype, "request_id": id, "response": response, "error": "no"});
        json!({"type": "control_response", "response": response}).to_string()
    };
    codec.line(answer("initialize", "success", json!({"models": models})).as_bytes());
    let refusal = codec.order(&set(json!({"effort": "hihg"}))).unwrap_err();
    assert!(refusal.fix.contains("high, low"), "{refusal:?}");

    let lines = parsed(&codec.order(&set(json!({"effort": "high"}))).unwrap());
    let set = json!({"subtype": "apply_flag_settings", "settings": {"effortLevel": "high"}});
    assert_eq!(lines[0]["request"], set);
    assert_eq!(lines[1]["request"]["subtype"], "get_settings");
    let [effort, settings] = [&lines[0], &lines[1]].map(|line| line["request_id"].as_str().unwrap());
    assert!(codec.line(answer(effort, "success", Value::Null).as_bytes()).events.is_empty());
    let applied = json!({"applied": {"model": "claude-opus-5-5", "effort": "medium"}});
    let told = codec.line(answer(settings, "success", applied).as_bytes()).events;
    assert_eq!(words(&told), ["mode:-:-:medium"]);
    let failed = codec.line(answer(effort, "error", Value::Null).as_bytes()).events;
    assert_eq!(words(&failed), ["error", "mode:-:-:medium"], "what holds is said again");
}

/// [happy 3.6: `tools`, `slashCommands`, `mcpServers`, `skills`]
#[test]
fn what_it_has_to_offer_is_read_with_each_turn_and_costs_none() {
    let events = understood(&mut codec(), BASIC).events;
    let offers = events.iter().find_map(|event| match event {
        AgentEvent::Offers(offers) => Some(offers.clone()),
        _ => None,
    });
    let offers = offers.unwrap();
    assert!(offers.tools.unwrap().contains(&"Bash".to_owned()));
    assert!(offers.commands.unwrap().contains(&"compact".to_owned()));
    assert!(offers.skills.unwrap().contains(&"code-review".to_owned()));
    assert_eq!(offers.servers, Some(Vec::new()));
    let odd = br#"{"type":"system","subtype":"init","uuid":"t","tools":[7]}"#;
    let events = words(&codec().line(odd).events);
    assert_eq!(events[0], "turn{");
    assert!(events[1].starts_with("skipped:"), "{events:?}");
}

#[test]
fn a_conversation_claude_does_not_know_is_told_as_unable() {
    let line = br#"{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation found with session ID: u"]}"#;
    let events = codec().line(line).events;
    assert!(
        matches!(&events[..], [AgentEvent::Unable { refusal }] if refusal.reason.contains("No conversation"))
    );
}

#[test]
fn any_bytes_are_survived() {
    survives(|| Box::new(codec()), PERMISSIONS);
    survives(|| Box::new(codec()), INTERRUPT);
}

const EXPECTED_BASIC: &[&str] = &[
    "conversation",
    "mode:-:default",
    "ready",
    "idle",
    "working",
    "conversation",
    "mode:claude-opus-5-5:-",
    "turn{",
    "offers",
    "thinking:pondering",
    "text:hello world",
    "usage",
    "}completed",
    "idle",
    "working",
    "turn{",
    "offers",
    "tool:Bash:Bash: echo hi > out.txt; cat out.txt",
    "needsdecision",
    "asked:Bash: echo hi > out.txt; cat out.txt",
    "working",
    "done",
    "text:done: hi",
    "usage",
    "}completed",
    "idle",
];
