//! Whether a rule covers a request.

use delight_proto::agent::PermissionAsk;
use delight_proto::policy::{Effect, Rule};

use super::seen::{Seen, Word};
use super::{paths, plain, programs, seen};

/// How well something fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It does not.
    No,
    /// It cannot be told.
    Maybe,
    /// It does.
    Yes,
}

impl From<bool> for Fit {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

/// A request, looked into once for all rules.
pub(super) struct Request<'a> {
    ask: &'a PermissionAsk,
    cwd: &'a str,
    /// The paths it names, normal; none when one of them cannot be told.
    paths: Option<Vec<String>>,
    plain: Option<Vec<String>>,
    seen: Option<Seen>,
}

impl<'a> Request<'a> {
    pub(super) fn new(ask: &'a PermissionAsk, cwd: &'a str) -> Self {
        Self {
            ask,
            cwd,
            paths: ask.paths.iter().map(|path| paths::normal(cwd, path)).collect(),
            plain: ask.command.as_deref().and_then(plain::words),
            seen: ask.command.as_deref().map(seen::look),
        }
    }

    /// Whether the rule covers it: all that the rule says must fit.
    pub(super) fn covered(&self, rule: &Rule) -> Fit {
        let allows = rule.effect == Effect::Allow;
        let mut fit = Fit::Yes;
        if let Some(tool) = &rule.tool {
            let same =
                if allows { *tool == self.ask.tool } else { tool.eq_ignore_ascii_case(&self.ask.tool) };
            fit = fit.min(same.into());
        }
        if let Some(command) = &rule.command {
            fit = fit.min(if allows { self.only_runs(command).into() } else { self.may_run(command) });
        }
        if let Some(directory) = &rule.path {
            // What a command touches beyond what was named is not known: a directory alone allows none.
            let covers = if !allows {
                self.touches(directory)
            } else if self.ask.command.is_some() && rule.command.is_none() {
                Fit::No
            } else {
                self.stays_below(directory).into()
            };
            fit = fit.min(covers);
        }
        fit
    }

    /// Whether it is one plain command that begins with these words.
    fn only_runs(&self, command: &str) -> bool {
        let (Some(rule), Some(words)) = (plain::words(command), &self.plain) else { return false };
        words.starts_with(&rule) && (words.len() == rule.len() || !programs::may_run_another(words))
    }

    /// Whether a command that begins with these words is anywhere in it.
    fn may_run(&self, command: &str) -> Fit {
        let (Some(rule), Some(seen)) = (plain::words(command), &self.seen) else { return Fit::No };
        let certain = seen.commands.iter().map(|words| begins(&rule, words)).max();
        let doubtful = seen.perhaps.iter().map(|words| begins(&rule, words).min(Fit::Maybe)).max();
        let hidden = if seen.clear { Fit::No } else { Fit::Maybe };
        certain.max(doubtful).unwrap_or(Fit::No).max(hidden)
    }

    /// Whether all it names lies below the directory.
    fn stays_below(&self, directory: &str) -> bool {
        self.paths
            .as_ref()
            .is_some_and(|all| !all.is_empty() && all.iter().all(|path| paths::below(directory, path)))
    }

    /// Whether anything it names lies below the directory, or above it (then it may reach into it).
    fn touches(&self, directory: &str) -> Fit {
        let one = |path: &String| {
            if paths::below(directory, path) {
                Fit::Yes
            } else if paths::below(path, directory) {
                Fit::Maybe
            } else {
                Fit::No
            }
        };
        let named =
            self.paths.as_ref().map_or(Fit::Maybe, |all| all.iter().map(one).max().unwrap_or(Fit::No));
        let Some(seen) = &self.seen else { return named };
        let moves = |words: &Vec<Word>| matches!(words[0].text.as_str(), "cd" | "pushd" | "popd");
        let hidden = !seen.clear || seen.commands.iter().any(moves);
        let words = seen.commands.iter().chain(&seen.perhaps).flatten().chain(&seen.loose);
        let mentioned = words.map(|word| {
            let value = word.text.split_once('=').map(|(_, value)| value);
            let known = [Some(word.text.as_str()), value].into_iter().flatten();
            let fit = known.filter_map(|text| paths::normal(self.cwd, text)).map(|path| one(&path)).max();
            fit.unwrap_or(Fit::Maybe).max(if word.literal { Fit::No } else { Fit::Maybe })
        });
        mentioned.max().unwrap_or(Fit::No).max(named).max(if hidden { Fit::Maybe } else { Fit::No })
    }
}

/// Whether a command begins with the rule's words. Options in between leave a doubt.
fn begins(rule: &[String], words: &[Word]) -> Fit {
    let same = |at: usize, word: &Word| {
        let wanted = &rule[at];
        let name = if at == 0 && !wanted.contains('/') { programs::name(&word.text) } else { &word.text };
        if at == 0 { name.eq_ignore_ascii_case(wanted) } else { name == wanted }
    };
    if !words.first().is_some_and(|program| program.literal && same(0, program)) {
        // A program that is not literal makes the whole not clear.
        return Fit::No;
    }
    if words.len() >= rule.len()
        && words.iter().take(rule.len()).enumerate().all(|(at, w)| w.literal && same(at, w))
    {
        return Fit::Yes;
    }
    if words.iter().any(|word| !word.literal) {
        return Fit::Maybe;
    }
    let mut wanted = 1;
    for word in &words[1..] {
        if wanted < rule.len() && same(wanted, word) {
            wanted += 1;
        }
    }
    if wanted == rule.len() { Fit::Maybe } else { Fit::No }
}
