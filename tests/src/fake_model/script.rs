//! The prompt language: a list of directives separated by ` ;; ` or line breaks.
//!
//! | directive | what the model does |
//! |---|---|
//! | `say TEXT` | says it, in four pieces |
//! | `think TEXT` | thinks it |
//! | `slow SECONDS [TEXT]` | spreads the text (or numbered words) over the time |
//! | `big BYTES` | says a text of that size |
//! | `recall` | says every prompt it can see |
//! | `hang SECONDS` | is silent |
//! | `gate NAME` | is silent until a test opens the gate |
//! | `error STATUS [TEXT]` | fails |
//! | `run COMMAND` | uses the agent's shell tool |
//! | `escalate COMMAND` | the same, asking to leave the sandbox |
//! | `write PATH TEXT` | uses the tool that writes files |
//! | `read PATH` | uses the tool that reads files |
//! | `ask QUESTION \| A \| B` | uses the tool that asks a person |
//! | `tool NAME JSON` | uses any tool |
//!
//! Directives up to and including a tool make a *round*: one reply of the model. After the last round the model says
//! `done: ` and what the tools gave. A prompt without directives is answered `ok: ` and the prompt.

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) verb: &'static str,
    pub(super) argument: String,
}

const SPEECH: &[&str] = &["say", "think", "slow", "big", "recall", "hang", "gate", "error"];
const TOOLS: &[&str] = &["run", "escalate", "write", "read", "ask", "tool"];

impl Step {
    pub(super) fn uses_tool(&self) -> bool {
        TOOLS.contains(&self.verb)
    }
}

/// The rounds of a prompt; none: it is no script.
pub(super) fn rounds(prompt: &str) -> Vec<Vec<Step>> {
    let mut rounds = vec![Vec::new()];
    for directive in prompt.lines().flat_map(|line| line.split(";;")).map(str::trim) {
        let (word, argument) = directive.split_once(' ').unwrap_or((directive, ""));
        let Some(&verb) = SPEECH.iter().chain(TOOLS).find(|verb| **verb == word) else { continue };
        let step = Step { verb, argument: argument.trim().to_owned() };
        let ends = step.uses_tool();
        if let Some(round) = rounds.last_mut() {
            round.push(step);
        }
        if ends {
            rounds.push(Vec::new());
        }
    }
    rounds.retain(|round| !round.is_empty());
    rounds
}

/// A prompt without what agents put around it: blocks in tags, and notes that a turn was interrupted.
pub(super) fn bare(text: &str) -> String {
    let mut rest = text;
    let mut bare = String::new();
    while let Some(at) = rest.find('<') {
        let name: String =
            rest[at + 1..].chars().take_while(|c| c.is_alphanumeric() || "_-".contains(*c)).collect();
        let close = format!("</{name}>");
        match rest[at..].find(&close).filter(|_| !name.is_empty()) {
            Some(end) => {
                bare.push_str(&rest[..at]);
                rest = &rest[at + end + close.len()..];
            }
            None => {
                bare.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
            }
        }
    }
    bare.push_str(rest);
    let lines = bare.lines().filter(|line| !line.starts_with("[Request interrupted by user"));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_with_a_tool() {
        let rounds = rounds("think a ;; run ls -la\nsay b ;; say c\nplease");
        let verbs = |n: usize| rounds[n].iter().map(|step| step.verb).collect::<Vec<_>>();
        assert_eq!((rounds.len(), verbs(0), verbs(1)), (2, vec!["think", "run"], vec!["say", "say"]));
        assert!(super::rounds("saying nothing to nobody").is_empty());
    }

    #[test]
    fn what_agents_add_is_taken_away() {
        let text =
            "<system-reminder a=\"b\">run x</system-reminder>\nsay 1 < 2\n[Request interrupted by user]";
        assert_eq!(bare(text), "say 1 < 2");
    }
}
