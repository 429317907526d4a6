//! `agents`: which kinds of sessions can be started here.

use delight_proto::agent::Control;
use delight_proto::api::method::{AgentKind, AgentList, AgentListResult, Empty};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::table::{Cell, lay_out};
use crate::text;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl agents
  delightctl spawn claude .")]
pub(crate) struct Args {}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let listed = context.daemon()?.call::<AgentList>(&Empty {})?;
        context.out.result(&listed, || render(context.out, &listed))?;
        Ok(0)
    }
}

fn render(out: Output, listed: &AgentListResult) -> String {
    let rows: Vec<Vec<Cell>> = listed
        .agents
        .iter()
        .map(|kind| {
            let (state, tone) = match &kind.missing {
                None => ("ready".to_owned(), Tone::Good),
                Some(missing) => (text::visible(&missing.reason), Tone::Warn),
            };
            vec![
                text::visible(&kind.kind).into(),
                driven(kind).into(),
                Cell { text: state, tone },
                text::visible(kind.program.as_deref().unwrap_or_default()).into(),
            ]
        })
        .collect();
    let mut words = lay_out(out, &["KIND", "DRIVEN BY", "STATE", "PROGRAM"], &rows, &[], None);
    for kind in &listed.agents {
        if let Some(missing) = kind.missing.as_ref().filter(|missing| !missing.fix.is_empty()) {
            words += &format!("fix {}: {}\n", text::visible(&kind.kind), text::visible(&missing.fix));
        }
    }
    let ready = listed.agents.iter().find(|kind| kind.missing.is_none() && !kind.controls.is_empty());
    words + &format!("next: delightctl spawn {} .\n", ready.map_or("pty", |kind| kind.kind.as_str()))
}

fn driven(kind: &AgentKind) -> String {
    if kind.controls.is_empty() {
        return "terminal".to_owned();
    }
    let words: Vec<&str> = kind
        .controls
        .iter()
        .map(|control| match control {
            Control::Local => "desktop",
            Control::Remote => "phone",
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::refusal::{Code, Refusal};

    #[test]
    fn what_is_missing_comes_with_its_fix() {
        let agents = vec![
            AgentKind {
                kind: "claude".to_owned(),
                controls: vec![Control::Local, Control::Remote],
                program: None,
                missing: Some(Refusal::new(Code::StartFailed, "w", "not installed").fix("npm install it")),
            },
            AgentKind {
                kind: "pty".to_owned(),
                controls: vec![],
                program: Some("/bin/sh".to_owned()),
                missing: None,
            },
        ];
        let out = Output { json: false, colour: false, machine: None };
        assert_eq!(
            render(out, &AgentListResult { agents }),
            "\
KIND    DRIVEN BY       STATE          PROGRAM
claude  desktop, phone  not installed
pty     terminal        ready          /bin/sh
fix claude: npm install it
next: delightctl spawn pty .
"
        );
    }
}
