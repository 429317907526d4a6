//! The owner's policy: a table of what it says, and what must never happen whatever is asked.

#![allow(clippy::panic, clippy::expect_used)] // Helpers of tests, which clippy does not take for tests.

use delight_core::policy::{Circumstances, checked, evaluate, no_answer_in_bounds, unanswered};
use delight_proto::agent::{OnNoAnswer, PermissionAsk};
use delight_proto::id::SessionId;
use delight_proto::policy::{Effect, Policy, Reach, Rule};
use proptest::prelude::*;
use serde_json::Value;

const HERE: Circumstances<'static> =
    Circumstances { session: None, cwd: "/src/app", bypass_until_ms: None, now_ms: 1_000 };

fn rule(effect: Effect) -> Rule {
    Rule { id: 1, effect, reach: Reach::Machine, tool: None, command: None, path: None, expires_ms: None }
}

fn command_rule(effect: Effect, command: &str) -> Rule {
    Rule { command: Some(command.to_owned()), ..rule(effect) }
}

fn path_rule(effect: Effect, path: &str) -> Rule {
    Rule { path: Some(path.to_owned()), ..rule(effect) }
}

fn ask(tool: &str) -> PermissionAsk {
    PermissionAsk {
        id: "p1".parse().expect("an id"),
        tool: tool.to_owned(),
        title: String::new(),
        input: Value::Null,
        call: None,
        command: None,
        paths: Vec::new(),
        read_only: false,
        question: false,
    }
}

fn run(command: &str) -> PermissionAsk {
    PermissionAsk { command: Some(command.to_owned()), ..ask("Bash") }
}

fn touch(paths: &[&str]) -> PermissionAsk {
    PermissionAsk { paths: paths.iter().map(|path| (*path).to_owned()).collect(), ..ask("Edit") }
}

fn policy(rules: &[Rule]) -> Policy {
    Policy { rules: rules.to_vec(), no_answer_ms: 300_000, ..Policy::default() }
}

fn says(rules: &[Rule], ask: &PermissionAsk) -> Effect {
    evaluate(&policy(rules), ask, &HERE).effect
}

#[test]
fn what_an_allow_covers() {
    let allow = [command_rule(Effect::Allow, "git status")];
    for command in ["git status", "git status -s", "  git   'status' ", "git status 'a; rm b'"] {
        assert_eq!(says(&allow, &run(command)), Effect::Allow, "{command}");
    }
    for command in [
        "git",
        "git push",
        "gitstatus",
        "git statusx",
        "git status; rm a",
        "git status && rm a",
        "git status & rm a",
        "git status | sh",
        "git status\nrm a",
        "git status $(rm a)",
        "git status `rm a`",
        "git status > /etc/x",
        "git status < x",
        "A=1 git status",
        "/tmp/git status",
        "git status \"$(rm a)\"",
        "(git status)",
        "! git status",
        "git status $'a'",
        "git status {a,b}",
        "git -C /x status",
    ] {
        assert_eq!(says(&allow, &run(command)), Effect::Ask, "{command}");
    }
}

#[test]
fn an_allow_of_a_launcher_covers_what_was_named_and_nothing_it_runs() {
    let allow = [command_rule(Effect::Allow, "env"), command_rule(Effect::Allow, "find .")];
    assert_eq!(says(&allow, &run("env")), Effect::Allow);
    assert_eq!(says(&allow, &run("env rm -rf x")), Effect::Ask);
    assert_eq!(says(&allow, &run("find . -name x")), Effect::Allow);
    assert_eq!(says(&allow, &run("find . -exec rm '{}' +")), Effect::Ask);
    assert_eq!(says(&[command_rule(Effect::Allow, "sh -c")], &run("sh -c 'rm x'")), Effect::Ask);
}

#[test]
fn a_deny_sees_every_command_inside() {
    let deny = [command_rule(Effect::Deny, "git push"), rule(Effect::Allow)];
    for command in [
        "git push",
        "git push origin",
        "a; git push",
        "a && git push",
        "a || git push",
        "a | git push",
        "a & git push",
        "a\ngit push",
        "(git push)",
        "{ git push; }",
        "a $(git push)",
        "a \"$(git push)\"",
        "a `git push`",
        "if true; then git push; fi",
        "for x in a; do git push; done",
        "! git push",
        "A=1 git push",
        "g'it' \"push\"",
        "g\\it pu\\\nsh",
        "/usr/bin/git push",
        "git push > x",
        "2>x git push",
        "sudo git push",
        "sudo -n git push",
        "env A=1 git push",
        "timeout 5 git push",
        "bash -c 'git push'",
        "sh -ec 'a; git push'",
        "eval git push",
        "eval 'git push'",
        "find . -exec git push ';'",
        "a <(git push)",
        "time git push",
        "f() { git push; }; f",
        "ssh host git push",
        "nohup sudo git push",
        "while git push; do a; done",
        "GIT push",
    ] {
        assert_eq!(says(&deny, &run(command)), Effect::Deny, "{command}");
    }
}

#[test]
fn what_a_deny_cannot_see_is_asked() {
    let deny = [command_rule(Effect::Deny, "git push"), rule(Effect::Allow)];
    for command in [
        "$x",
        "$x push",
        "git $x",
        "git -C /x push",
        "`x` push",
        "bash x.sh",
        "echo 'git push' | sh",
        "bash -c \"$x\"",
        "eval \"$x\"",
        "cat <<EOF | sh\ngit push\nEOF",
        "git pus?",
        "echo x | xargs git",
        "alias g=git; g push",
        ". ./x",
        "g$'i't push",
        "a 'b",
        "sudo -u me git push",
    ] {
        assert_eq!(says(&deny, &run(command)), Effect::Ask, "{command}");
    }
    let everything = [command_rule(Effect::Deny, "git push"), command_rule(Effect::Allow, "git")];
    for command in ["git status", "git log -p", "git commit -m 'git pushes'"] {
        assert_eq!(says(&everything, &run(command)), Effect::Allow, "{command}");
    }
    let deep = format!("{}git push{}", "$(".repeat(50), ")".repeat(50));
    assert_eq!(says(&deny, &run(&deep)), Effect::Ask);
    assert_eq!(says(&deny, &run(&"a ".repeat(40_000))), Effect::Ask);
}

#[test]
fn paths_are_allowed_all_together_and_denied_one_by_one() {
    let allow = [path_rule(Effect::Allow, "/src/app")];
    assert_eq!(says(&allow, &touch(&["/src/app/a", "b"])), Effect::Allow);
    assert_eq!(says(&allow, &touch(&["/src/app/a", "/etc/passwd"])), Effect::Ask);
    assert_eq!(says(&allow, &touch(&["../other"])), Effect::Ask);
    assert_eq!(says(&allow, &touch(&["/src/app/../other"])), Effect::Ask);
    assert_eq!(says(&allow, &touch(&["/src/apple"])), Effect::Ask);
    assert_eq!(says(&allow, &touch(&[])), Effect::Ask, "what it touches is not known");
    assert_eq!(says(&allow, &run("cat /src/app/a")), Effect::Ask, "a directory alone allows no command");

    let deny = [path_rule(Effect::Deny, "/src/app/secret"), rule(Effect::Allow)];
    assert_eq!(says(&deny, &touch(&["/src/app/a", "secret/key"])), Effect::Deny);
    assert_eq!(says(&deny, &touch(&["/src/app/a"])), Effect::Allow);
    assert_eq!(says(&deny, &touch(&["/src/app"])), Effect::Ask, "it may reach into it");
    for command in [
        "cat secret/key",
        "cat ../app/secret/key",
        "x --file=/src/app/secret/a",
        "a > secret/b",
        "a; b secret",
    ] {
        assert_eq!(says(&deny, &run(command)), Effect::Deny, "{command}");
    }
    for command in ["cat $x", "cat s*", "cd .. && cat app/x", "rm -r /src"] {
        assert_eq!(says(&deny, &run(command)), Effect::Ask, "{command}");
    }
    assert_eq!(says(&deny, &run("cat README")), Effect::Allow);
}

#[test]
fn deny_beats_ask_and_ask_beats_allow() {
    let allow = Rule { tool: Some("Edit".to_owned()), ..rule(Effect::Allow) };
    let asking = Rule { id: 2, effect: Effect::Ask, ..allow.clone() };
    let deny = Rule { id: 3, effect: Effect::Deny, ..allow.clone() };
    assert_eq!(says(&[allow.clone(), asking.clone(), deny], &ask("Edit")), Effect::Deny);
    assert_eq!(says(&[allow.clone(), asking], &ask("Edit")), Effect::Ask);
    assert_eq!(says(std::slice::from_ref(&allow), &ask("Edit")), Effect::Allow);
    assert_eq!(says(&[allow], &ask("edit")), Effect::Ask, "an allow takes the tool's name as it is");
    assert_eq!(says(&[], &ask("Edit")), Effect::Ask);
}

#[test]
fn a_rule_reaches_as_far_as_it_says() {
    let (mine, other) = (SessionId::from_random([1; 10]), SessionId::from_random([2; 10]));
    let allow = Rule { tool: Some("Edit".to_owned()), ..rule(Effect::Allow) };
    let at = Circumstances { session: Some(mine), ..HERE };
    let cases = [
        (Reach::Session { session: mine }, Effect::Allow),
        (Reach::Session { session: other }, Effect::Ask),
        (Reach::Project { directory: "/src".into() }, Effect::Allow),
        (Reach::Project { directory: "/src/app".into() }, Effect::Allow),
        (Reach::Project { directory: "/src/app/below".into() }, Effect::Ask),
        (Reach::Project { directory: "/sr".into() }, Effect::Ask),
        (Reach::Machine, Effect::Allow),
    ];
    for (reach, want) in cases {
        let rules = policy(&[Rule { reach: reach.clone(), ..allow.clone() }]);
        assert_eq!(evaluate(&rules, &ask("Edit"), &at).effect, want, "{reach:?}");
    }
}

#[test]
fn a_rule_ends_at_its_time() {
    let allow = Rule { tool: Some("Edit".to_owned()), expires_ms: Some(1_001), ..rule(Effect::Allow) };
    assert_eq!(says(std::slice::from_ref(&allow), &ask("Edit")), Effect::Allow);
    let later = Circumstances { now_ms: 1_001, ..HERE };
    assert_eq!(evaluate(&policy(&[allow]), &ask("Edit"), &later).effect, Effect::Ask);
}

#[test]
fn bypass_allows_all_but_questions_and_denies() {
    let rules = [command_rule(Effect::Deny, "git push"), command_rule(Effect::Ask, "git")];
    let at = Circumstances { bypass_until_ms: Some(1_001), ..HERE };
    let says = |ask: &PermissionAsk, at: &Circumstances<'_>| evaluate(&policy(&rules), ask, at).effect;
    assert_eq!(says(&run("git status"), &at), Effect::Allow);
    assert_eq!(says(&run("git push"), &at), Effect::Deny);
    assert_eq!(says(&run("git $x"), &at), Effect::Ask);
    assert_eq!(says(&PermissionAsk { question: true, ..ask("AskUserQuestion") }, &at), Effect::Ask);
    assert_eq!(says(&run("git status"), &Circumstances { now_ms: 1_001, ..at }), Effect::Ask, "it is over");
}

#[test]
fn no_policy_answers_a_question() {
    let question = PermissionAsk { question: true, ..ask("Edit") };
    for effect in [Effect::Allow, Effect::Deny] {
        let rules = [Rule { tool: Some("Edit".to_owned()), ..rule(effect) }];
        assert_eq!(says(&rules, &question), Effect::Ask);
    }
    let policy = Policy { on_no_answer: OnNoAnswer::Deny, ..policy(&[]) };
    assert_eq!(unanswered(&policy, &question, &HERE), None);
}

#[test]
fn what_nobody_answers() {
    let reads = PermissionAsk { read_only: true, ..ask("Read") };
    let after = |on_no_answer, ask: &PermissionAsk, rules: &[Rule]| {
        unanswered(&Policy { on_no_answer, ..policy(rules) }, ask, &HERE).map(|verdict| verdict.effect)
    };
    assert_eq!(after(OnNoAnswer::Wait, &reads, &[]), None);
    assert_eq!(after(OnNoAnswer::Deny, &reads, &[]), Some(Effect::Deny));
    assert_eq!(after(OnNoAnswer::AllowReadOnly, &reads, &[]), Some(Effect::Allow));
    assert_eq!(after(OnNoAnswer::AllowReadOnly, &ask("Edit"), &[]), Some(Effect::Deny));
    assert_eq!(after(OnNoAnswer::AllowReadOnly, &reads, &[rule(Effect::Deny)]), Some(Effect::Deny));
}

#[test]
fn the_verdict_names_the_rule() {
    let rules = policy(&[Rule { id: 7, ..command_rule(Effect::Deny, "git push") }]);
    let verdict = evaluate(&rules, &run("git push"), &HERE);
    assert_eq!(verdict.rule, Some(7));
    assert_eq!(verdict.why, "rule 7 (deny command \"git push\")");
    let verdict = evaluate(&rules, &run("git $x"), &HERE);
    assert_eq!(verdict.rule, Some(7));
    assert!(verdict.why.contains("cannot be told"), "{}", verdict.why);
}

#[test]
fn rules_that_cannot_be_kept() {
    let project = |directory: &str| Rule {
        reach: Reach::Project { directory: directory.into() },
        tool: Some("Edit".into()),
        ..rule(Effect::Allow)
    };
    for bad in [
        rule(Effect::Allow),
        command_rule(Effect::Allow, "a; b"),
        command_rule(Effect::Deny, "a | b"),
        command_rule(Effect::Deny, ""),
        path_rule(Effect::Deny, "relative"),
        path_rule(Effect::Deny, "/a/../b"),
        Rule { tool: Some("x".repeat(2_000)), ..rule(Effect::Deny) },
        Rule { tool: Some("a\nb".into()), ..rule(Effect::Deny) },
        Rule { expires_ms: Some(5), ..rule(Effect::Deny) },
        project("src"),
    ] {
        let refusal = checked(bad.clone(), 5).unwrap_err();
        assert!(!refusal.fix.is_empty() && !refusal.reason.is_empty(), "{bad:?}");
    }
    assert_eq!(checked(path_rule(Effect::Deny, "/a//b/"), 5).unwrap().path.as_deref(), Some("/a/b"));
    assert_eq!(checked(project("/src/"), 5).unwrap().reach, Reach::Project { directory: "/src".into() });
    assert!(checked(rule(Effect::Deny), 5).is_ok());
    assert!(no_answer_in_bounds(999).is_err() && no_answer_in_bounds(86_400_001).is_err());
    assert_eq!(no_answer_in_bounds(1_000).unwrap(), 1_000);
}

/// Pieces shells give a meaning to, and such that look harmless.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(" ".to_owned()),
        "[a-z/.=-]{1,5}",
        prop::sample::select(vec![
            ";", "&", "|", "\n", "$(", ")", "`", "\"", "'", "\\", ">", "<", "<<", "#", "{", "}", "(", "$",
            "${", "~", "*", "git", "push", "sudo", "sh", "-c", "eval", "then", "\u{0}", "é", "\r", "A=1",
            "!", "xargs",
        ])
        .prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A second program behind an allowed one is never allowed with it, whatever stands around.
    #[test]
    fn a_second_program_is_never_allowed(
        before in "( [a-z]{1,4}){0,3}",
        joint in prop::sample::select(vec![";", "&&", "||", "|", "&", "\n", "|&", ";;", "$(", "`", "<(", ">", "\"$(", "\n\n"]),
        after in text(),
    ) {
        let command = format!("git{before}{joint}evil{after}");
        prop_assert_eq!(says(&[command_rule(Effect::Allow, "git")], &run(&command)), Effect::Ask);
    }

    /// What is allowed is, word by word, what a real shell would run, and nothing else is in it.
    #[test]
    fn what_is_allowed_has_no_meaning_to_a_shell(command in text()) {
        let command = format!("git {command}");
        if says(&[command_rule(Effect::Allow, "git")], &run(&command)) == Effect::Allow {
            let mut quote = None;
            for c in command.trim_end().chars() {
                match quote {
                    Some(q) if c == q => quote = None,
                    Some('"') => prop_assert!(!"$`\\!".contains(c)),
                    Some(_) => {}
                    None if c == '"' || c == '\'' => quote = Some(c),
                    None => prop_assert!(!";&|\n$()`\\<>#{}~*?[]!^\r\0".contains(c), "{:?} in {:?}", c, command),
                }
            }
            prop_assert_eq!(quote, None);
        }
    }

    /// No rule, bypass or time turns a deny that fits into anything else.
    #[test]
    fn a_deny_always_beats(
        before in text(),
        others in prop::collection::vec(prop::sample::select(vec![Effect::Allow, Effect::Ask]), 0..4),
        bypass in proptest::option::of(0u64..5_000),
    ) {
        let mut rules: Vec<Rule> = others.into_iter().map(|effect| command_rule(effect, "git")).collect();
        rules.push(command_rule(Effect::Deny, "git push"));
        let at = Circumstances { bypass_until_ms: bypass, ..HERE };
        let verdict = evaluate(&policy(&rules), &run("git push"), &at);
        prop_assert_eq!(verdict.effect, Effect::Deny);
        // Behind anything at all it is seen, or what is before may hide it: then somebody is asked.
        let verdict = evaluate(&policy(&rules), &run(&format!("{before}\ngit push")), &at);
        let commented = before.contains(['\'', '"', '#']) || before.ends_with('\\');
        prop_assert!(verdict.effect != Effect::Allow || commented, "{:?}", before);
    }

    /// Nothing makes it panic or take long.
    #[test]
    fn anything_gets_a_verdict(command in any::<String>(), more in text()) {
        let rules = [command_rule(Effect::Deny, "git push"), path_rule(Effect::Deny, "/etc")];
        let _ = says(&rules, &run(&command));
        prop_assert!(matches!(says(&rules, &run(&more)), Effect::Ask | Effect::Deny));
    }
}
