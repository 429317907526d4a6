//! `policy`: what agents may do without asking.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use delight_proto::agent::OnNoAnswer;
use delight_proto::api::method::{
    Empty, PolicyAdd, PolicyAddParams, PolicyGet, PolicyRemove, PolicyRemoveParams, PolicySet,
    PolicySetParams, PolicyTest, PolicyTestParams, SessionGet, SessionRef,
};
use delight_proto::policy::{Effect, Policy, Reach, Rule};
use serde_json::{Value, json};

use super::surroundings::working_dir;
use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Failure, usage};
use crate::output::{Output, Tone};
use crate::span;
use crate::table::{Cell, lay_out};
use crate::text;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A rule names a tool, the first words of a command, a directory, or several of them: then all must fit. An allow covers a \
command only if it is one plain program: no ; && | $( ) > and the like. A deny looks into all of them; where it cannot \
see, you are asked. Without a fitting rule you are asked.
A process inside a session cannot change the policy, nor answer what it asks itself.

Examples:
  delightctl policy list
  delightctl policy add allow --command 'git status'
  delightctl policy add allow --tool Edit --path . --project .
  delightctl policy add deny --command 'git push'
  delightctl policy test Bash --command 'git status; rm -rf x'
  delightctl policy set --on-no-answer deny --after 10m")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the rules, and what becomes of permissions nobody answers
    List,
    /// Add a rule
    Add(Add),
    /// Remove a rule
    Remove {
        /// Its number
        number: u64,
    },
    /// Set what becomes of permissions nobody answers
    Set(Set),
    /// Say what the policy would do, without asking anybody
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What the rule says
    effect: Says,
    /// The tool's name, as the agent says it
    #[arg(long)]
    tool: Option<String>,
    /// First words of a shell command
    #[arg(long, value_name = "WORDS")]
    command: Option<String>,
    /// Directory below which every path must lie (for a deny: any of them)
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Only in this session; the rule goes with it
    #[arg(long, conflicts_with = "project")]
    session: Option<String>,
    /// Only in sessions that work in this directory or below it
    #[arg(long, value_name = "DIR")]
    project: Option<PathBuf>,
    /// For so long
    #[arg(long = "for", value_name = "DURATION", value_parser = span::duration)]
    span: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Says {
    /// Yes, without asking
    Allow,
    /// Ask a person
    Ask,
    /// No, without asking
    Deny,
}

#[derive(Debug, clap::Args)]
struct Set {
    /// What becomes of a permission nobody answers
    #[arg(long, value_name = "WHAT")]
    on_no_answer: Unanswered,
    /// After how long [default: as before]
    #[arg(long, value_name = "DURATION", value_parser = span::duration)]
    after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Unanswered {
    /// It waits for ever
    Wait,
    /// It is denied
    Deny,
    /// What only reads is allowed, the rest denied
    AllowReadOnly,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// The tool's name
    tool: String,
    /// The shell command it would run
    #[arg(long, conflicts_with = "input")]
    command: Option<String>,
    /// The file it would touch
    #[arg(long, conflicts_with = "input")]
    path: Option<String>,
    /// The tool's input as JSON
    #[arg(long, value_name = "JSON", value_parser = parse_json)]
    input: Option<Value>,
    /// In this session
    #[arg(long)]
    session: Option<String>,
    /// In this directory [default: the session's, else this one]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
}

fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|e| e.to_string())
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut daemon = context.daemon()?;
        match self.what {
            What::List => {
                let policy = daemon.call::<PolicyGet>(&Empty {})?;
                let width = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
                context.out.result(&policy, || render(context.out, &policy, span::now_ms(), width))?;
            }
            What::Add(add) => {
                let rule = add.rule(&mut daemon)?;
                let rule = daemon.call::<PolicyAdd>(&PolicyAddParams { rule })?;
                context.out.result(&rule, || {
                    format!("rule {}: {}\nnext: delightctl policy list\n", rule.id, words(&rule))
                })?;
            }
            What::Remove { number } => {
                let rule = daemon.call::<PolicyRemove>(&PolicyRemoveParams { id: number })?;
                context.out.result(&rule, || format!("removed rule {}: {}\n", rule.id, words(&rule)))?;
            }
            What::Set(set) => {
                let on_no_answer = match set.on_no_answer {
                    Unanswered::Wait => OnNoAnswer::Wait,
                    Unanswered::Deny => OnNoAnswer::Deny,
                    Unanswered::AllowReadOnly => OnNoAnswer::AllowReadOnly,
                };
                let no_answer_ms = set.after.map(|after| after.as_millis() as u64);
                let policy = daemon.call::<PolicySet>(&PolicySetParams { on_no_answer, no_answer_ms })?;
                context.out.result(&policy, || unanswered(&policy))?;
            }
            What::Test(test) => {
                let verdict = daemon.call::<PolicyTest>(&test.params()?)?;
                context.out.result(&verdict, || {
                    let (word, tone) = effect(verdict.effect);
                    format!("{}: {}\n", context.out.paint(tone, word), text::visible(&verdict.why))
                })?;
            }
        }
        Ok(0)
    }
}

impl Add {
    fn rule(self, daemon: &mut Connection) -> Result<Rule, Failure> {
        let directory = |dir: PathBuf| working_dir(Some(&dir)).map(|dir| lexical(&dir));
        let reach = match (self.session, self.project) {
            (Some(session), _) => {
                Reach::Session { session: daemon.call::<SessionGet>(&SessionRef { session })?.id }
            }
            (None, Some(dir)) => Reach::Project { directory: directory(dir)? },
            (None, None) => Reach::Machine,
        };
        let effect = match self.effect {
            Says::Allow => Effect::Allow,
            Says::Ask => Effect::Ask,
            Says::Deny => Effect::Deny,
        };
        let path = self.path.map(directory).transpose()?;
        let expires_ms = self.span.map(|span| span::now_ms() + span.as_millis() as u64);
        Ok(Rule { id: 0, effect, reach, tool: self.tool, command: self.command, path, expires_ms })
    }
}

/// Without `.` and `..`; what links mean is the daemon's to find out.
fn lexical(dir: &str) -> String {
    let mut path = PathBuf::new();
    for part in Path::new(dir).components() {
        match part {
            std::path::Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
    }
    path.to_string_lossy().into_owned()
}

impl Test {
    fn params(self) -> Result<PolicyTestParams, Failure> {
        let input = self.input.unwrap_or_else(|| {
            let mut input = json!({});
            for (key, value) in [("command", self.command), ("file_path", self.path)] {
                if let Some(value) = value {
                    input[key] = value.into();
                }
            }
            input
        });
        if self.tool.trim().is_empty() {
            return Err(usage(
                "the policy cannot be tested",
                "the tool has no name",
                "give one, such as Bash",
            ));
        }
        let cwd = match (&self.cwd, &self.session) {
            (None, Some(_)) => None,
            (cwd, _) => Some(working_dir(cwd.as_deref())?),
        };
        Ok(PolicyTestParams { session: self.session, cwd, tool: self.tool, input })
    }
}

fn effect(effect: Effect) -> (&'static str, Tone) {
    match effect {
        Effect::Allow => ("allow", Tone::Good),
        Effect::Ask => ("ask", Tone::Warn),
        Effect::Deny => ("deny", Tone::Bad),
    }
}

/// What a rule is about.
fn subject(rule: &Rule) -> String {
    let parts: Vec<String> = [("tool", &rule.tool), ("command", &rule.command), ("path", &rule.path)]
        .into_iter()
        .filter_map(|(what, value)| value.as_ref().map(|value| format!("{what} {}", text::visible(value))))
        .collect();
    if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") }
}

fn reach(rule: &Rule) -> String {
    match &rule.reach {
        Reach::Session { session } => format!("session {}", session.short()),
        Reach::Project { directory } => text::visible(directory),
        Reach::Machine => "everywhere".to_owned(),
    }
}

fn words(rule: &Rule) -> String {
    let until = rule.expires_ms.map(|at| format!(", until {}", span::clock(at))).unwrap_or_default();
    format!("{} {} ({}{until})", effect(rule.effect).0, subject(rule), reach(rule))
}

fn unanswered(policy: &Policy) -> String {
    let after = span::age(policy.no_answer_ms);
    match policy.on_no_answer {
        OnNoAnswer::Wait => "unanswered permissions wait for ever\n".to_owned(),
        OnNoAnswer::Deny => format!("unanswered permissions are denied after {after}\n"),
        OnNoAnswer::AllowReadOnly => {
            format!("unanswered permissions are denied after {after}; what only reads is allowed\n")
        }
    }
}

fn render(out: Output, policy: &Policy, now: u64, width: Option<usize>) -> String {
    if policy.rules.is_empty() {
        return format!("no rules: you are asked about everything\n{}", unanswered(policy));
    }
    let mut rules: Vec<&Rule> = policy.rules.iter().collect();
    // As they count: deny, ask, allow.
    rules.sort_by_key(|rule| (std::cmp::Reverse(rule.effect), rule.id));
    let rows: Vec<Vec<Cell>> = rules
        .into_iter()
        .map(|rule| {
            let (word, tone) = effect(rule.effect);
            let left = rule.expires_ms.map(|at| match at.saturating_sub(now) {
                0 => "over".to_owned(),
                left => span::age(left),
            });
            vec![
                rule.id.to_string().into(),
                Cell { text: word.to_owned(), tone },
                subject(rule).into(),
                reach(rule).into(),
                left.unwrap_or_default().into(),
            ]
        })
        .collect();
    let table = lay_out(out, &["RULE", "SAYS", "ABOUT", "WHERE", "LEFT"], &rows, &[3, 2], width);
    format!("{table}{}next: delightctl policy test TOOL --command WORDS\n", unanswered(policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_like_this() {
        let rule = |id, effect, command: &str, expires_ms| Rule {
            id,
            effect,
            reach: Reach::Machine,
            tool: None,
            command: Some(command.to_owned()),
            path: None,
            expires_ms,
        };
        let policy = Policy {
            rules: vec![
                rule(1, Effect::Allow, "git status", Some(61_000)),
                rule(2, Effect::Deny, "git push", None),
            ],
            on_no_answer: OnNoAnswer::Deny,
            no_answer_ms: 300_000,
        };
        let out = Output { json: false, colour: false, machine: None };
        assert_eq!(
            render(out, &policy, 1_000, None),
            "\
RULE  SAYS   ABOUT               WHERE       LEFT
2     deny   command git push    everywhere
1     allow  command git status  everywhere  1m
unanswered permissions are denied after 5m
next: delightctl policy test TOOL --command WORDS
"
        );
    }

    #[test]
    fn directories_are_given_without_dots() {
        assert_eq!(lexical("/a/./b/../c"), "/a/c");
        assert_eq!(lexical("/../a"), "/a");
    }
}
