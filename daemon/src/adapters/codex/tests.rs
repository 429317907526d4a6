//! Codex's app server as recorded from the real program.

use delight_proto::agent::{AgentMemory, AgentOrder};
use serde_json::{Value, json};

use super::server::Server;
use crate::adapters::codec::Codec;
use crate::adapters::recorded::{
    asks, coherent, decide, parsed, prompt, survives, understood, with_launch, words,
};

const BASIC: &str = include_str!("../../../testdata/agents/codex-app-basic.jsonl");
const APPROVALS: &str = include_str!("../../../testdata/agents/codex-app-approvals.jsonl");
const INTERRUPT: &str = include_str!("../../../testdata/agents/codex-app-interrupt.jsonl");
const SHARED: &str = include_str!("../../../testdata/agents/codex-share-client.jsonl");
const RESUMED: &str = include_str!("../../../testdata/agents/codex-resume-2.jsonl");

fn codec() -> Server {
    with_launch("codex", &AgentMemory::default(), |launch| Server::new(launch, None, None, false))
}

/// One of a session that phone and desktop share.
fn shared() -> Server {
    with_launch("codex", &AgentMemory::default(), |launch| Server::new(launch, None, None, true))
}

#[test]
fn a_conversation_is_ready_words_tools_and_ends_of_turns() {
    let out = understood(&mut codec(), BASIC);
    coherent(&out.events);
    let words = words(&out.events);
    let expected = [
        "conversation",
        "mode:gpt-fake:-",
        "ready",
        "idle",
        "notice",
        "working",
        "turn{",
        "working",
        "thinking:pondering",
        "text:hello world",
        "usage",
        "idle",
        "}completed",
        "idle",
        "working",
        "turn{",
        "working",
        "tool:shell:echo hi > f.txt; cat f.txt",
        "done",
    ];
    assert_eq!(words[..expected.len()], expected, "{words:?}");
    let replies = parsed(&out.reply);
    assert_eq!(
        (&replies[0]["method"], &replies[1]["method"]),
        (&json!("initialized"), &json!("thread/start"))
    );
}

#[test]
fn everything_recorded_is_understood() {
    for recording in [APPROVALS, RESUMED] {
        coherent(&understood(&mut codec(), recording).events);
    }
    // The last row of this one is an answer Codex itself gave to a line that is not JSON.
    let words = words(&understood(&mut codec(), INTERRUPT).events);
    assert!(
        words.iter().any(|word| word == "}cancelled") && words.iter().any(|word| word == "}failed"),
        "{words:?}"
    );
    assert!(words.iter().any(|word| word == "withdrawn"), "{words:?}");
    assert!(!words.iter().any(|word| word.starts_with("skipped")), "{words:?}");
}

#[test]
fn a_request_is_told_with_what_a_policy_needs() {
    let asked = asks(&understood(&mut codec(), APPROVALS).events);
    assert_eq!(asked[0].command.as_deref(), Some("touch u-accept"));
    let change = asked.iter().find(|ask| ask.tool == "apply_patch").unwrap();
    assert_eq!(change.paths, ["/srv/demo/codex-appr/proj/pg.txt"]);
    assert_eq!(change.input["changes"][0]["diff"], "hello\n");
    let question = asked.iter().find(|ask| ask.question).unwrap();
    assert_eq!((question.title.as_str(), question.tool.as_str()), ("Which?", "request_user_input"));
    // Numbers begin at 0 in each process: the ids are unique all the same.
    assert!(asked[0].id.as_str().starts_with("0@01a1"), "{}", asked[0].id);
}

#[test]
fn a_decision_answers_its_request_once_in_the_agents_words() {
    let request = |codec: &mut Server, id: u32| {
        let params = json!({"turnId": "t", "itemId": "i", "command": "/bin/bash -lc 'ls'"});
        let line = json!({"id": id, "method": "item/commandExecution/requestApproval", "params": params});
        asks(&codec.line(line.to_string().as_bytes()).events).remove(0)
    };
    let mut codec = codec();
    let cases = [
        (json!({"allow": true}), "accept"),
        (json!({"allow": true, "scope": "session"}), "acceptForSession"),
        (json!({"allow": false, "reason": "no"}), "decline"),
    ];
    for (n, (decision, word)) in (0_u32..).zip(cases) {
        let ask = request(&mut codec, n);
        let order = decide(&ask, decision);
        let lines = codec.order(&order).unwrap();
        assert_eq!(
            (&parsed(&lines)[0]["id"], &parsed(&lines)[0]["result"]["decision"]),
            (&json!(n), &json!(word))
        );
        assert!(codec.order(&order).unwrap().is_empty());
        codec.wrote(lines.trim_ascii_end());
        let resolved = json!({"method": "serverRequest/resolved", "params": {"requestId": n}}).to_string();
        assert!(codec.line(resolved.as_bytes()).events.is_empty(), "it was answered, not withdrawn");
    }
}

/// The order to work like that.
fn set(mode: Value) -> AgentOrder {
    AgentOrder::SetMode(serde_json::from_value(mode).unwrap())
}

#[test]
fn a_message_is_written_once_with_the_mode_that_holds() {
    let mut codec = codec();
    assert_eq!(codec.order(&prompt("m")).unwrap_err().code, delight_proto::refusal::Code::Busy);
    understood(&mut codec, BASIC);
    let set = set(json!({"model": "m1", "permission_mode": "yolo", "effort": "high"}));
    assert!(codec.order(&set).unwrap().is_empty());
    let lines = codec.order(&prompt("m")).unwrap();
    let params = &parsed(&lines)[0]["params"];
    assert_eq!(params["sandboxPolicy"], json!({"type": "dangerFullAccess"}));
    assert_eq!((&params["approvalPolicy"], &params["model"]), (&json!("never"), &json!("m1")));
    assert_eq!(params["effort"], "high");
    assert!(codec.order(&prompt("m")).unwrap().is_empty());
    let mut later = super::tests::codec();
    understood(&mut later, BASIC);
    later.wrote(lines.trim_ascii_end());
    assert!(later.order(&prompt("m")).unwrap().is_empty());
    assert!(
        codec
            .order(&super::tests::set(json!({"permission_mode": "acceptEdits"})))
            .unwrap_err()
            .fix
            .contains("read-only")
    );
}

#[test]
fn a_restarted_daemon_does_not_end_the_turn_it_knows() {
    let memory = AgentMemory { turn: Some("t9".into()), ..AgentMemory::default() };
    let mut codec = with_launch("codex", &memory, |launch| Server::new(launch, None, None, false));
    let started = br#"{"method":"turn/started","params":{"turn":{"id":"t9","status":"inProgress"}}}"#;
    assert_eq!(words(&codec.line(started).events), ["turn{", "working"]);
    let next = br#"{"method":"turn/started","params":{"turn":{"id":"t10","status":"inProgress"}}}"#;
    assert_eq!(words(&codec.line(next).events), ["}failed", "turn{", "working"]);
}

#[test]
fn an_abort_names_the_turn_and_an_idle_agent_is_left_alone() {
    let mut codec = codec();
    understood(&mut codec, BASIC);
    assert!(codec.order(&AgentOrder::Abort).unwrap().is_empty());
    codec.line(br#"{"method":"turn/started","params":{"turn":{"id":"t9","status":"inProgress"}}}"#);
    let line = parsed(&codec.order(&AgentOrder::Abort).unwrap()).remove(0);
    assert_eq!((&line["method"], &line["params"]["turnId"]), (&json!("turn/interrupt"), &json!("t9")));
}

#[test]
fn a_conversation_that_was_never_written_begins_anew_and_says_so() {
    let conversation = Some("01a1fd18-828f-7b32-afb2-c6e05e414e1d".parse().unwrap());
    let memory = AgentMemory { conversation, ..AgentMemory::default() };
    let mut codec = with_launch("codex", &memory, |launch| Server::new(launch, None, None, false));
    let reply = codec.line(br#"{"id":"initialize","result":{}}"#).reply;
    assert_eq!(parsed(&reply)[1]["method"], "thread/resume");
    let refused = br#"{"id":"resume","error":{"code":-32600,"message":"no rollout found for thread id x"}}"#;
    let out = codec.line(refused);
    assert_eq!(words(&out.events), ["notice"]);
    assert_eq!(parsed(&out.reply)[0]["method"], "thread/start");
    let other =
        br#"{"id":"resume","error":{"code":-32600,"message":"thread x already has an active writer"}}"#;
    assert_eq!(words(&codec.line(other).events), ["unable"]);
}

#[test]
fn what_is_not_ours_to_serve_is_refused_at_once() {
    let reply = codec().line(br#"{"id":3,"method":"item/tool/call","params":{}}"#).reply;
    assert_eq!((&parsed(&reply)[0]["id"], &parsed(&reply)[0]["error"]["code"]), (&json!(3), &json!(-32601)));
    let out = codec().line(br#"{"id":4,"method":"item/tool/requestUserInput","params":{"questions":7}}"#);
    assert_eq!(parsed(&out.reply)[0]["id"], 4);
    assert_eq!(words(&out.events), ["skipped:JSON of an unknown shape"]);
}

/// Recorded beside Codex's own terminal program, which typed, approved, interrupted, died and came back.
#[test]
fn what_others_do_on_a_shared_server_is_told_like_what_we_do() {
    let out = understood(&mut shared(), SHARED);
    let words = words(&out.events);
    assert_eq!(words[..4], ["conversation", "mode:gpt-fake:-", "ready", "idle"]);
    let typed: Vec<_> = words.iter().filter(|word| word.starts_with("user:")).collect();
    assert_eq!(typed[0], "user:say from-tui-2", "{typed:?}");
    assert!(!typed.iter().any(|word| word.contains("from-remote") || word.contains("still")), "{typed:?}");
    let said = |text: &str| words.iter().filter(|word| **word == format!("text:{text}")).count();
    assert_eq!([said("from-remote-1"), said("from-tui-2"), said("still")], [1, 1, 1]);
    // Of two requests one was answered here and one there.
    let count = |what: &str| words.iter().filter(|word| word.starts_with(what)).count();
    assert_eq!((count("asked:"), count("withdrawn")), (2, 1), "{words:?}");
    assert_eq!(count("mode:"), 2, "and the mode it was started with by another: {words:?}");
    coherent(&out.events);
}

#[test]
fn a_conversation_begun_at_the_desktop_is_followed() {
    let mut codec = shared();
    let begin = understood(&mut codec, SHARED);
    let asked: Vec<_> = parsed(&begin.reply).iter().map(|line| line["method"].clone()).collect();
    // The last two are for the one the terminal program began when it came back.
    let names = ["initialized", "thread/start", "thread/name/set", "thread/name/set", "thread/resume"];
    assert_eq!(asked, names);
    let new = parsed(&begin.reply).pop().unwrap()["params"]["threadId"].as_str().unwrap().to_owned();
    codec.line(br#"{"method":"turn/started","params":{"turn":{"id":"t9","status":"inProgress"}}}"#);
    let answer =
        json!({"id": format!("follow {new}"), "result": {"thread": {"id": new}, "model": "gpt-fake"}});
    let out = codec.line(answer.to_string().as_bytes());
    assert_eq!(words(&out.events), ["}cancelled", "notice", "conversation", "mode:gpt-fake:-", "idle"]);
    assert_eq!(parsed(&codec.order(&prompt("n")).unwrap())[0]["params"]["threadId"], *new);
    let thread = |fields: Value| {
        let mut thread =
            json!({"id": "x", "ephemeral": false, "parentThreadId": null, "threadSource": "user"});
        thread.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"method": "thread/started", "params": {"thread": thread}}).to_string()
    };
    assert!(!codec.line(thread(json!({})).as_bytes()).reply.is_empty());
    let others = [json!({"ephemeral": true}), json!({"parentThreadId": "p"}), json!({"threadSource": null})];
    for other in others.into_iter().chain([json!({"id": new})]) {
        let line = thread(other);
        assert!(codec.line(line.as_bytes()).reply.is_empty(), "{line}");
    }
}

/// That a thread other than the session's does this now.
fn does(thread: &str, kind: &str) -> String {
    let params = json!({"threadId": thread, "status": {"type": kind}});
    json!({"method": "thread/status/changed", "params": params}).to_string()
}

#[test]
fn a_conversation_chosen_at_the_desktop_is_gone_along_to_and_back() {
    let mut codec = shared();
    understood(&mut codec, SHARED);
    let at = |codec: &mut Server, id: &str| {
        parsed(&codec.order(&prompt(id)).unwrap())[0]["params"]["threadId"].as_str().unwrap().to_owned()
    };
    let own = at(&mut codec, "one");
    let look = parsed(&codec.line(does("old", "idle").as_bytes()).reply);
    assert_eq!((&look[0]["method"], &look[0]["params"]["threadId"]), (&json!("thread/read"), &json!("old")));
    assert!(codec.line(does("old", "active").as_bytes()).reply.is_empty(), "it is being looked at");
    let seen = json!({"id": "look old", "result": {"thread": {"id": "old", "threadSource": null}}});
    let join = parsed(&codec.line(seen.to_string().as_bytes()).reply);
    assert_eq!(join.len(), 1, "its name is its owner's: {join:?}");
    assert_eq!(
        (&join[0]["method"], &join[0]["params"]["threadId"]),
        (&json!("thread/resume"), &json!("old"))
    );
    assert_eq!(at(&mut codec, "two"), own, "not before the server has answered");
    let answer = json!({"id": "rejoin old", "result": {"thread": {"id": "old"}, "model": "gpt-fake"}});
    let out = codec.line(answer.to_string().as_bytes());
    assert_eq!(words(&out.events), ["notice", "conversation", "mode:gpt-fake:-", "idle"]);
    assert_eq!(at(&mut codec, "three"), "old");
    // A turn begins in the one that was left: somebody is there again.
    assert!(words(&codec.line(does(&own, "idle").as_bytes()).events).is_empty());
    let back = codec.line(does(&own, "active").as_bytes());
    assert_eq!(words(&back.events), ["notice", "conversation", "working"]);
    assert!(back.reply.is_empty(), "it has been told of all along");
    assert_eq!(at(&mut codec, "four"), own);
}

#[test]
fn a_turn_that_goes_on_where_it_was_left_takes_nobody_back() {
    let mut codec = shared();
    understood(&mut codec, SHARED);
    let own = codec.thread().unwrap().to_owned();
    codec.line(br#"{"method":"turn/started","params":{"turn":{"id":"t9","status":"inProgress"}}}"#);
    codec.line(does("old", "idle").as_bytes());
    let answer = json!({"id": "rejoin old", "result": {"thread": {"id": "old"}}});
    codec.line(answer.to_string().as_bytes());
    assert_eq!(codec.thread(), Some("old"));
    for kind in ["active", "idle"] {
        assert!(words(&codec.line(does(&own, kind).as_bytes()).events).is_empty());
    }
    assert_eq!(codec.thread(), Some("old"));
    // It was unloaded, and is loaded again: it is not told of any more, and has to be joined.
    codec.line(does(&own, "notLoaded").as_bytes());
    assert_eq!(parsed(&codec.line(does(&own, "idle").as_bytes()).reply)[0]["method"], "thread/read");
}

#[test]
fn what_codex_begins_for_itself_is_never_gone_along_to() {
    let mut codec = shared();
    understood(&mut codec, SHARED);
    let begun = json!({"method": "thread/started", "params": {"thread": {"id": "title", "ephemeral": true}}});
    assert!(codec.line(begun.to_string().as_bytes()).reply.is_empty());
    assert!(codec.line(does("title", "active").as_bytes()).reply.is_empty());
    for what in
        [json!({"parentThreadId": "p"}), json!({"ephemeral": true}), json!({"threadSource": "subagent"})]
    {
        let mut thread = json!({"id": "sub"});
        thread.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        codec.line(does("sub", "idle").as_bytes());
        let seen = json!({"id": "look sub", "result": {"thread": thread}});
        let out = codec.line(seen.to_string().as_bytes());
        assert!(out.reply.is_empty() && out.events.is_empty(), "{seen}");
    }
    codec.line(does("gone", "idle").as_bytes());
    let refused = json!({"id": "look gone", "error": {"code": -32600, "message": "thread not loaded"}});
    assert!(codec.line(refused.to_string().as_bytes()).reply.is_empty());
    let mut alone = self::codec();
    understood(&mut alone, BASIC);
    assert!(alone.line(does("old", "idle").as_bytes()).reply.is_empty(), "nobody else is there");
}

#[test]
fn what_was_set_at_the_desktop_holds_and_what_was_chosen_here_is_not_undone() {
    let settings = |model: &str, approval: &str| {
        let effort = if model == "m3" { "low" } else { "high" };
        let sandbox = json!({"type": "workspaceWrite"});
        let thread =
            json!({"model": model, "approvalPolicy": approval, "sandboxPolicy": sandbox, "effort": effort});
        json!({"method": "thread/settings/updated", "params": {"threadSettings": thread}}).to_string()
    };
    let mut codec = shared();
    understood(&mut codec, SHARED);
    let told = |codec: &mut Server, line: String| words(&codec.line(line.as_bytes()).events);
    assert_eq!(told(&mut codec, settings("m1", "never")), ["mode:m1:never-ask:high"]);
    assert!(told(&mut codec, settings("m1", "never")).is_empty(), "it is known");
    let params =
        |codec: &mut Server, id: &str| parsed(&codec.order(&prompt(id)).unwrap())[0]["params"].clone();
    assert_eq!(params(&mut codec, "a")["model"], Value::Null, "nothing was chosen here");
    codec.order(&set(json!({"model": "m2", "permission_mode": "read-only", "effort": "xhigh"}))).unwrap();
    assert!(told(&mut codec, settings("m1", "never")).is_empty());
    let chosen = params(&mut codec, "b");
    assert_eq!((&chosen["model"], &chosen["effort"]), (&json!("m2"), &json!("xhigh")));
    assert_eq!(told(&mut codec, settings("m3", "on-request")), ["mode:m3:workspace-write:low"]);
    let later = params(&mut codec, "c");
    assert_eq!(later["effort"], "low");
    assert_eq!((&later["model"], &later["approvalPolicy"]), (&json!("m3"), &json!("on-request")));
    assert_eq!(later["clientUserMessageId"], "delight:c");
}

#[test]
fn any_bytes_are_survived() {
    survives(|| Box::new(codec()), APPROVALS);
    survives(|| Box::new(shared()), SHARED);
}
