//! `permissions`: what agents of all sessions wait for.

use delight_proto::api::method::{Empty, PermissionList, PermissionListResult, SessionPermission};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::table::{Cell, lay_out};
use crate::{happening, span, text};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl permissions
  delightctl permissions --json | jq '.permissions[].permission.ask.input'")]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let waiting = context.daemon()?.call::<PermissionList>(&Empty {})?;
        let now = span::now_ms();
        let width = terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
        context.out.result(&waiting, || render(context.out, &waiting, now, width))?;
        Ok(0)
    }
}

/// What one calls the session of a permission.
fn handle(waiting: &SessionPermission) -> String {
    waiting.name.as_ref().map_or_else(|| waiting.session.short().to_owned(), ToString::to_string)
}

fn render(out: Output, waiting: &PermissionListResult, now: u64, width: Option<usize>) -> String {
    let Some(first) = waiting.permissions.first() else {
        return "no agent waits for a permission\n".to_owned();
    };
    let rows: Vec<Vec<Cell>> = waiting
        .permissions
        .iter()
        .map(|one| {
            let ask = &one.permission.ask;
            let what = if ask.question { "question" } else { ask.tool.as_str() };
            vec![
                handle(one).into(),
                ask.id.to_string().into(),
                text::visible(what).into(),
                Cell { text: text::visible(&happening::excerpt(&ask.title)), tone: Tone::Warn },
                span::age(now.saturating_sub(one.permission.asked_ms)).into(),
            ]
        })
        .collect();
    let head = ["SESSION", "PERMISSION", "TOOL", "WHAT", "SINCE"];
    let table = lay_out(out, &head, &rows, &[3, 1], width);
    let (session, id) = (handle(first), &first.permission.ask.id);
    let or = if first.permission.ask.question { " --answer KEY=VALUE" } else { "" };
    format!("{table}next: delightctl allow {session} {id}{or}, or delightctl deny {session} {id}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::example;
    use delight_proto::session::Phase;

    #[test]
    fn looks_like_this() {
        let out = Output { json: false, colour: false, machine: None };
        assert_eq!(
            render(out, &PermissionListResult { permissions: vec![] }, 0, None),
            "no agent waits for a permission\n"
        );
        let session = example::session(1, Phase::Running);
        let permission = example::permission("p1", "Bash", "npm test\nand more");
        let one = SessionPermission { session: session.id, name: Some("web".parse().unwrap()), permission };
        assert_eq!(
            render(out, &PermissionListResult { permissions: vec![one] }, 61_000, None),
            "\
SESSION  PERMISSION  TOOL  WHAT       SINCE
web      p1          Bash  npm test…  1m
next: delightctl allow web p1, or delightctl deny web p1
"
        );
    }
}
