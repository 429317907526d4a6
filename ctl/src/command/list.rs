//! `list`: which sessions there are, those that need their owner first.

use delight_proto::api::method::{Empty, SessionList, SessionListResult};
use delight_proto::session::{Phase, SessionView};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::table::{Cell, lay_out};
use crate::{span, text, view};

/// An ended session is news for a day.
const NEWS_MS: u64 = 24 * 3_600_000;

/// Cells a table may take where there is no terminal to say how many it has (`list | less`): one long reason must not
/// push all that stands behind it out of sight. `show` tells all of it.
const NO_TERMINAL: usize = 200;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without an option it shows what is alive, what failed or was cut off, and what ended within the last day.
CTRL, while anything is driven, is who drives it: desktop or phone for an agent, else the client that types into its \
terminal.
With --json it always gives all of them (or, with --live, the live ones), in the same order.

Examples:
  delightctl list
  delightctl list --all
  delightctl list --json | jq -r '.sessions[] | select(.phase == \"running\") | .id'")]
pub(crate) struct Args {
    /// Also those that ended long ago
    #[arg(long, short, conflicts_with = "live")]
    all: bool,
    /// Only those that are alive
    #[arg(long, short)]
    live: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut sessions = context.daemon()?.call::<SessionList>(&Empty {})?.sessions;
        sessions.sort_by_key(|s| (view::attention(s), std::cmp::Reverse(s.since_ms)));
        if self.live {
            sessions.retain(|s| s.phase.is_live());
        }
        if context.out.json {
            context.out.document(&SessionListResult { sessions })?;
            return Ok(0);
        }
        let now = span::now_ms();
        let before = sessions.len();
        if !self.all {
            sessions.retain(|s| !is_old(s, now));
        }
        let hidden = before - sessions.len();
        let width = terminal_size::terminal_size().map_or(NO_TERMINAL, |(w, _)| usize::from(w.0));
        let home = view::home();
        let words = render(context.out, &sessions, hidden, now, Some(width), home.as_deref());
        context.out.result(&(), || words)?;
        Ok(0)
    }
}

fn is_old(session: &SessionView, now: u64) -> bool {
    matches!(session.phase, Phase::Exited | Phase::Stopped) && now.saturating_sub(session.since_ms) > NEWS_MS
}

fn render(
    out: Output,
    sessions: &[SessionView],
    hidden: usize,
    now: u64,
    width: Option<usize>,
    home: Option<&std::path::Path>,
) -> String {
    let rest = if hidden > 0 {
        format!("{} that ended more than a day ago not shown: --all\n", text::count(hidden as u64, "session"))
    } else {
        String::new()
    };
    let Some(first) = sessions.first() else {
        return format!("no sessions\n{rest}next: delightctl spawn\n");
    };
    // The column is worth its width only while somebody drives something.
    let driven = sessions.iter().any(|s| !view::control(s).is_empty());
    let rows: Vec<Vec<Cell>> = sessions
        .iter()
        .map(|s| {
            let mut row: Vec<Cell> = vec![
                s.id.short().to_owned().into(),
                s.name.as_ref().map(ToString::to_string).unwrap_or_default().into(),
                text::visible(&s.kind).into(),
                view::place(&s.cwd, home).into(),
                Cell { text: view::state(s), tone: view::tone(s) },
                view::since(s, now).into(),
            ];
            if driven {
                row.push(view::control(s).into());
            }
            row.push(Cell { text: view::command(s), tone: Tone::Plain });
            row
        })
        .collect();
    let mut head = vec!["ID", "NAME", "AGENT", "WHERE", "STATE", "SINCE", "COMMAND"];
    if driven {
        head.insert(6, "CTRL");
    }
    let table = lay_out(out, &head, &rows, &[head.len() - 1, 3, 4], width);
    let verb = if first.phase.is_live() { "attach" } else { "show" };
    format!("{table}{rest}next: delightctl {verb} {}\n", view::handle(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::example;
    use delight_proto::session::Exit;

    const PLAIN: Output = Output { json: false, colour: false, machine: None };

    fn sessions() -> Vec<SessionView> {
        let mut build = example::session(1, Phase::Running);
        build.name = Some("build".parse().unwrap());
        build.controller = Some("delightctl attach".to_owned());
        build.command = vec!["make".to_owned(), "-j 8".to_owned()];
        let mut broken = example::session(2, Phase::Failed);
        broken.reason = "no such program: frob".to_owned();
        let mut done = example::session(3, Phase::Exited);
        done.exit = Some(Exit::Code(0));
        done.command = Vec::new();
        vec![broken, build, done]
    }

    #[test]
    fn looks_like_this() {
        let home = Some(std::path::Path::new("/home/u"));
        assert_eq!(
            render(PLAIN, &sessions(), 2, 1_090_000, None, home),
            "\
ID        NAME   AGENT  WHERE  STATE                          SINCE  CTRL    COMMAND
081040g2         pty    ~/src  failed: no such program: frob  1m             bash
040g2081  build  pty    ~/src  running                        1m     attach  make '-j 8'
0c1g60r3         pty    ~/src  exited: exit status 0          1m             (pty default)
2 sessions that ended more than a day ago not shown: --all
next: delightctl show 081040g2
"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_command_and_place_before_the_state() {
        let text = render(PLAIN, &sessions()[..1], 0, 1_000_000, Some(76), None);
        assert!(text.lines().all(|line| text::width(line) <= 76), "{text}");
        assert!(text.contains("failed: no such program: frob"), "{text}");
    }

    #[test]
    fn nothing_at_all_points_to_the_first_step() {
        assert_eq!(render(PLAIN, &[], 0, 0, None, None), "no sessions\nnext: delightctl spawn\n");
    }

    #[test]
    fn only_quiet_ends_grow_old() {
        let old = NEWS_MS + 1_000_001;
        let [failed, running, done] = sessions().try_into().unwrap();
        assert!(!is_old(&failed, old) && !is_old(&running, old) && is_old(&done, old));
        assert!(!is_old(&done, NEWS_MS + 1_000_000));
    }
}
