//! The Agent Client Protocol as recorded from real agents.

use delight_proto::agent::{AgentEvent, AgentMemory, AgentOrder, Choice, Mode, PermissionAsk};
use delight_proto::refusal::Code;
use serde_json::{Value, json};

use super::client::Client;
use crate::adapters::codec::{Codec, Understood};
use crate::adapters::recorded::{
    asks, coherent, decide, parsed, prompt, survives, understood, with_launch, words,
};

const GEMINI: &str = include_str!("../../../testdata/agents/acp-gemini.jsonl");
const CLAUDE: &str = include_str!("../../../testdata/agents/acp-claude-agent-acp.jsonl");
const LOADED: &str = include_str!("../../../testdata/agents/acp-claude-agent-acp-load.jsonl");
const CODEX: &str = include_str!("../../../testdata/agents/acp-codex-acp2.jsonl");
const OPENCODE: &str = include_str!("../../../testdata/agents/acp-opencode.jsonl");

fn client(conversation: Option<&str>) -> Client {
    let conversation = conversation.map(|id| id.parse().unwrap());
    let memory = AgentMemory { conversation, ..AgentMemory::default() };
    with_launch("gemini", &memory, |launch| Client::new("gemini", launch, None, None))
}

/// A client whose agent is ready in conversation `s`.
fn ready() -> Client {
    let mut client = client(None);
    client.line(br#"{"jsonrpc":"2.0","id":"initialize","result":{"protocolVersion":1}}"#);
    client.line(br#"{"jsonrpc":"2.0","id":"new","result":{"sessionId":"s"}}"#);
    client
}

#[test]
fn a_conversation_is_ready_words_tools_and_ends_of_turns() {
    let words = words(&understood(&mut client(None), GEMINI).events);
    let expected = [
        "conversation",
        "offers",
        "mode:-:default",
        "ready",
        "idle",
        "turn{",
        "working",
        "thinking:**** pondering",
        "text:hello acp",
        "usage",
        "}completed",
        "idle",
        "turn{",
        "working",
        "tool:execute:touch made1; echo made",
        "asked:touch made1; echo made",
        "needsdecision",
        "working",
        "done",
    ];
    assert_eq!(words[..expected.len()], expected, "{words:?}");
}

/// The answer to `session/new` of an agent that has plain modes, and options for all three.
fn with_options(client: &mut Client) -> Understood {
    client.line(br#"{"jsonrpc":"2.0","id":"initialize","result":{"protocolVersion":1}}"#);
    let option = |id: &str, category: &str, current: &str, values: Value| json!({"id": id, "category": category, "type": "select", "currentValue": current, "options": values});
    let began = json!({"jsonrpc": "2.0", "id": "new", "result": {
        "sessionId": "s",
        "modes": {"currentModeId": "default", "availableModes": [{"id": "default", "name": "Manual"}]},
        "configOptions": [
            option("mode", "mode", "default", json!([{"value": "default", "name": "Manual"}])),
            option("model", "model", "opus", json!([
                {"value": "opus", "name": "Opus 5.5", "description": "everyday"},
                {"group": "small", "name": "Small", "options": [{"value": "haiku", "name": "Haiku"}]},
                7,
            ])),
            option("effort-of-model", "thought_level", "low", json!([{"value": "high", "name": "High"}])),
            {"id": "fast", "category": "model_config", "currentValue": true},
        ],
    }});
    client.line(began.to_string().as_bytes())
}

/// [happy 3.6: `models[]`, `operatingModes[]`, `thoughtLevels[]`]
#[test]
fn what_can_be_chosen_is_told_and_set_in_the_way_the_agent_has_for_it() {
    let mut client = client(None);
    let began = with_options(&mut client);
    assert_eq!(words(&began.events)[1..3], ["offers", "mode:opus:default:low"], "{:?}", began.events);
    let Some(AgentEvent::Offers(offers)) = began.events.get(1) else { panic!("{:?}", began.events) };
    let codes = |list: &Option<Vec<Choice>>| -> Vec<String> {
        list.iter().flatten().map(|choice| choice.code.clone()).collect()
    };
    assert_eq!(codes(&offers.models), ["opus", "haiku"]);
    assert_eq!(
        (codes(&offers.permission_modes), codes(&offers.efforts)),
        (vec!["default".into()], vec!["high".into()])
    );

    let mode = json!({"model": "haiku", "permission_mode": "plan", "effort": "high"});
    let set = AgentOrder::SetMode(serde_json::from_value(mode).unwrap());
    let lines = parsed(&client.order(&set).unwrap());
    let asked: Vec<_> =
        lines.iter().map(|line| (line["method"].as_str().unwrap(), &line["params"])).collect();
    assert_eq!(
        asked,
        [
            ("session/set_mode", &json!({"sessionId": "s", "modeId": "plan"})),
            ("session/set_config_option", &json!({"sessionId": "s", "configId": "model", "value": "haiku"})),
            (
                "session/set_config_option",
                &json!({"sessionId": "s", "configId": "effort-of-model", "value": "high"})
            ),
        ]
    );
    let set = json!({"jsonrpc": "2.0", "id": lines[0]["id"], "result": {}});
    assert_eq!(words(&client.line(set.to_string().as_bytes()).events), ["mode:-:plan"]);
    let refused = json!({"jsonrpc": "2.0", "id": lines[2]["id"], "error": {"code": -32602, "message": "no"}});
    let told = words(&client.line(refused.to_string().as_bytes()).events);
    assert_eq!(told, ["error", "mode:opus:plan:low"], "what holds is said again");
    let now = json!([{"id": "model", "category": "model", "currentValue": "haiku", "options": []}]);
    let done = json!({"jsonrpc": "2.0", "id": lines[1]["id"], "result": {"configOptions": now}});
    assert_eq!(
        words(&client.line(done.to_string().as_bytes()).events),
        ["mode:haiku:-", "offers", "mode:haiku:-"]
    );
}

#[test]
fn an_agent_without_efforts_refuses_one() {
    let effort = Mode { effort: Some("high".into()), ..Mode::default() };
    let mut without = ready();
    assert_eq!(without.order(&AgentOrder::SetMode(effort.clone())).unwrap_err().code, Code::BadParams);
    let memory = AgentMemory { mode: effort, ..AgentMemory::default() };
    let mut asked = with_launch("gemini", &memory, |launch| Client::new("gemini", launch, None, None));
    asked.line(br#"{"jsonrpc":"2.0","id":"initialize","result":{"protocolVersion":1}}"#);
    let began = asked.line(br#"{"jsonrpc":"2.0","id":"new","result":{"sessionId":"s"}}"#);
    assert_eq!(
        words(&began.events),
        ["conversation", "unable"],
        "what was asked for is not silently left out"
    );
    let mut asked = with_launch("gemini", &memory, |launch| Client::new("gemini", launch, None, None));
    let set = parsed(&with_options(&mut asked).reply);
    assert_eq!(set.last().unwrap()["params"]["value"], "high");
}

#[test]
fn commands_are_told_whatever_else_an_agent_says_of_them() {
    let mut client = ready();
    let mut update = |commands: Value| {
        let update = json!({"sessionUpdate": "available_commands_update", "availableCommands": commands});
        let params = json!({"sessionId": "s", "update": update});
        let line = json!({"jsonrpc": "2.0", "method": "session/update", "params": params}).to_string();
        client.line(line.as_bytes()).events
    };
    let events =
        update(json!([{"name": "init", "description": "d", "input": null}, {"name": "memory show"}]));
    let [AgentEvent::Offers(offers)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(offers.commands.as_deref(), Some(&["init".to_owned(), "memory show".to_owned()][..]));
    assert!(update(json!({"other": "shape"})).is_empty());
}

#[test]
fn everything_recorded_is_understood() {
    for recording in [GEMINI, CLAUDE, CODEX, OPENCODE] {
        let events = understood(&mut client(None), recording).events;
        let skipped: Vec<_> = words(&events).into_iter().filter(|word| word.starts_with("skipped")).collect();
        assert_eq!(skipped, Vec::<String>::new());
    }
    coherent(&understood(&mut client(None), CLAUDE).events);
}

#[test]
fn a_request_is_told_with_what_a_policy_needs() {
    let asked = asks(&understood(&mut client(None), CLAUDE).events);
    let command = asked.iter().find(|ask| ask.command.is_some()).unwrap();
    assert_eq!((command.tool.as_str(), command.paths.len()), ("Bash", 0));
    let edit = asked.iter().find(|ask| ask.tool == "Write").unwrap();
    assert_eq!(edit.paths, ["/srv/demo/acp-claude-agent-acp/proj/d.txt"]);
    assert_eq!(edit.input["content"], "one\n");
    // Gemini sends no input: the title is the command, the difference is the input.
    let asked = asks(&understood(&mut client(None), GEMINI).events);
    assert_eq!(asked[0].command.as_deref(), Some("touch made1; echo made"));
    assert_eq!(asked[1].input["content"][0]["newText"], "one\n");
}

#[test]
fn an_old_conversation_told_again_is_not_news() {
    let mut client = client(Some("94433cb7-9894-4c42-913c-536c97f8a01e"));
    let events = understood(&mut client, LOADED).events;
    let words = words(&events);
    let ready = words.iter().position(|word| word == "ready").unwrap();
    assert!(
        !words[..ready].iter().any(|word| word.starts_with("text") || word.starts_with("tool")),
        "{words:?}"
    );
    assert!(words[ready..].iter().any(|word| word.starts_with("text")), "{words:?}");
}

#[test]
fn a_conversation_is_resumed_where_the_agent_can_and_begun_anew_where_it_fails() {
    let first = |capabilities: Value| {
        let line =
            json!({"id": "initialize", "result": {"protocolVersion": 1, "agentCapabilities": capabilities}});
        parsed(&client(Some("c")).line(line.to_string().as_bytes()).reply).remove(0)["method"].clone()
    };
    assert_eq!(first(json!({"loadSession": true, "sessionCapabilities": {"resume": {}}})), "session/resume");
    assert_eq!(first(json!({"loadSession": true})), "session/load");
    assert_eq!(first(json!({})), "session/new");
    let out =
        client(Some("c")).line(br#"{"id":"load","error":{"code":-32603,"message":"Session not found"}}"#);
    assert_eq!(words(&out.events), ["notice"]);
    assert_eq!(parsed(&out.reply)[0]["method"], "session/new");
    let line = br#"{"id":"new","error":{"code":-32000,"message":"Authentication required"}}"#;
    assert_eq!(words(&client(None).line(line).events), ["unable"]);
    assert_eq!(
        words(&client(None).line(br#"{"id":"initialize","result":{"protocolVersion":9}}"#).events),
        ["unable"]
    );
}

#[test]
fn the_owners_mode_and_model_are_set_before_anything_runs() {
    let wanted = (Some("pro".to_owned()), Some("plan".to_owned()));
    let mut client = with_launch("gemini", &AgentMemory::default(), |launch| {
        Client::new("gemini", launch, wanted.0, wanted.1)
    });
    let line = br#"{"id":"new","result":{"sessionId":"s","modes":{"currentModeId":"default"}}}"#;
    let replies = parsed(&client.line(line).reply);
    assert_eq!(replies[0]["params"], json!({"sessionId": "s", "modeId": "plan"}));
    assert_eq!(replies[1]["params"], json!({"sessionId": "s", "modelId": "pro"}));
}

#[test]
fn one_message_at_a_time_and_each_once() {
    let mut client = ready();
    let lines = client.order(&prompt("m1")).unwrap();
    assert_eq!(parsed(&lines)[0]["params"]["sessionId"], "s");
    assert!(client.order(&prompt("m1")).unwrap().is_empty());
    let refusal = client.order(&prompt("m2")).unwrap_err();
    assert!(refusal.code == Code::Busy && refusal.retry);
    client.line(br#"{"id":"prompt m1","result":{"stopReason":"end_turn"}}"#);
    assert!(client.order(&prompt("m1")).unwrap().is_empty());
    assert_eq!(parsed(&client.order(&prompt("m2")).unwrap()).len(), 1);
    // A restarted daemon learns it from the journal.
    let mut later = ready();
    later.wrote(lines.trim_ascii_end());
    assert!(later.order(&prompt("m1")).unwrap().is_empty());
    assert_eq!(later.order(&prompt("m2")).unwrap_err().code, Code::Busy);
}

fn asked(client: &mut Client, options: &Value) -> PermissionAsk {
    let params =
        json!({"sessionId": "s", "toolCall": {"toolCallId": "t1", "kind": "read"}, "options": options});
    let line = json!({"id": 0, "method": "session/request_permission", "params": params});
    asks(&client.line(line.to_string().as_bytes()).events).remove(0)
}

#[test]
fn an_option_is_chosen_by_its_kind() {
    let options = json!([
        {"optionId": "a", "kind": "allow_always"}, {"optionId": "b", "kind": "allow_once"},
        {"optionId": "c", "kind": "reject_once"},
    ]);
    let chosen = |options: &Value, decision: Value| {
        let mut client = ready();
        let ask = asked(&mut client, options);
        let line = parsed(&client.order(&decide(&ask, decision.clone())).unwrap()).remove(0);
        assert!(client.order(&decide(&ask, decision)).unwrap().is_empty());
        let outcome = &line["result"]["outcome"];
        outcome["optionId"].as_str().unwrap_or_else(|| outcome["outcome"].as_str().unwrap()).to_owned()
    };
    assert_eq!(chosen(&options, json!({"allow": true})), "b");
    assert_eq!(chosen(&options, json!({"allow": true, "scope": "session"})), "a");
    assert_eq!(chosen(&options, json!({"allow": false})), "c");
    // Never more than was allowed, and never silence.
    let always = json!([{"optionId": "a", "kind": "allow_always"}]);
    assert_eq!(chosen(&always, json!({"allow": true})), "cancelled");
    assert_eq!(chosen(&json!([]), json!({"allow": false})), "cancelled");
}

#[test]
fn an_abort_answers_what_is_open_before_it_cancels() {
    let mut client = ready();
    assert!(client.order(&AgentOrder::Abort).unwrap().is_empty());
    client.order(&prompt("m1")).unwrap();
    asked(&mut client, &json!([]));
    let lines = client.order(&AgentOrder::Abort).unwrap();
    let parsed = parsed(&lines);
    assert_eq!(parsed[0]["result"]["outcome"]["outcome"], "cancelled");
    assert_eq!(parsed[1]["method"], "session/cancel");
    let out = client.line(br#"{"id":"prompt m1","result":{"stopReason":"cancelled"}}"#);
    assert_eq!(words(&out.events), ["failed", "withdrawn", "}cancelled", "idle"]);
}

#[test]
fn what_is_not_ours_to_serve_is_refused_at_once() {
    let reply = client(None).line(br#"{"id":"x","method":"craft/drainMidTurnQueue","params":{}}"#).reply;
    assert_eq!(
        (&parsed(&reply)[0]["id"], &parsed(&reply)[0]["error"]["code"]),
        (&json!("x"), &json!(-32601))
    );
    let out = client(None).line(br#"{"id":5,"method":"session/request_permission","params":{}}"#);
    assert_eq!(parsed(&out.reply)[0]["id"], 5);
}

#[test]
fn long_words_are_told_in_parts_with_keys_of_their_own() {
    let mut client = ready();
    client.order(&prompt("m1")).unwrap();
    let piece = "x".repeat(100 << 10);
    let update = json!({"sessionUpdate": "agent_message_chunk", "messageId": "w", "content": {"type": "text", "text": piece}});
    let line =
        json!({"method": "session/update", "params": {"sessionId": "s", "update": update}}).to_string();
    let mut events = Vec::new();
    (0..3).for_each(|_| events.extend(client.line(line.as_bytes()).events));
    events.extend(client.line(br#"{"id":"prompt m1","result":{"stopReason":"end_turn"}}"#).events);
    let keys: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Record { record } if word_of(event).starts_with("text") => record.key.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(keys, ["w", "w#1"]);
}

fn word_of(event: &AgentEvent) -> String {
    crate::adapters::recorded::word(event)
}

#[test]
fn any_bytes_are_survived() {
    survives(|| Box::new(client(None)), OPENCODE);
    survives(|| Box::new(client(None)), GEMINI);
}
