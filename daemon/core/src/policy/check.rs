//! Whether a rule may be kept.

use delight_proto::policy::{Effect, MAX_RULE_TEXT, Reach, Rule};
use delight_proto::refusal::{Code, Refusal};

use super::{paths, plain};

/// Times after which an unanswered permission may expire, in milliseconds: a second to a day.
const NO_ANSWER_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;

/// The rule as it is kept: its directories in their normal form.
///
/// # Errors
/// `bad-params`: a text that is empty, too long or can never fit; an allow without bounds; a time that is over.
pub fn checked(mut rule: Rule, now_ms: u64) -> Result<Rule, Refusal> {
    let refuse = |reason: String, fix: &str| {
        Err(Refusal::new(Code::BadParams, "the rule cannot be kept", reason).fix(fix))
    };
    let directory = match &mut rule.reach {
        Reach::Project { directory } => Some(("the project's directory", directory)),
        Reach::Session { .. } | Reach::Machine => None,
    };
    for (what, path) in directory.into_iter().chain(rule.path.as_mut().map(|path| ("path", path))) {
        if !path.starts_with('/') || path.split('/').any(|part| matches!(part, "." | "..")) {
            return refuse(format!("{what} {path:?} is not absolute, or has . or .. in it"), "name it whole");
        }
        *path = paths::normal("/", path).unwrap_or_default();
    }
    let project = if let Reach::Project { directory } = &rule.reach { Some(directory) } else { None };
    for text in [rule.tool.as_ref(), rule.command.as_ref(), rule.path.as_ref(), project].into_iter().flatten()
    {
        if text.trim().is_empty() || text.len() > MAX_RULE_TEXT || text.chars().any(char::is_control) {
            let bounds = format!("a text of it is empty, longer than {MAX_RULE_TEXT} bytes or not printable");
            return refuse(bounds, "give words a person can read");
        }
    }
    if rule.command.as_deref().is_some_and(|command| plain::words(command).is_none()) {
        return refuse(
            "its command is more than the first words of one program".to_owned(),
            "give a program and its first arguments, like `git status`",
        );
    }
    if rule.effect == Effect::Allow && rule.tool.is_none() && rule.command.is_none() && rule.path.is_none() {
        return refuse(
            "it would allow everything".to_owned(),
            "name a tool, a command or a path; or allow everything for a while: delightctl bypass",
        );
    }
    if rule.expires_ms.is_some_and(|until| until <= now_ms) {
        return refuse("it would be over already".to_owned(), "give a time to come");
    }
    Ok(rule)
}

/// Checks how long an unanswered permission waits.
///
/// # Errors
/// `bad-params` with the bounds.
pub fn no_answer_in_bounds(ms: u64) -> Result<u64, Refusal> {
    if NO_ANSWER_MS.contains(&ms) {
        return Ok(ms);
    }
    let (least, most) = NO_ANSWER_MS.into_inner();
    Err(Refusal::new(
        Code::BadParams,
        "the policy cannot be set",
        format!("no_answer_ms: {ms} is not {least} to {most}"),
    ))
}
