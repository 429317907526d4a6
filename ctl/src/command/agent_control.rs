//! `switch`, `abort`, `mode`, `bypass`: who drives an agent, and how it works.

use std::time::Duration;

use clap::ValueEnum;
use delight_proto::agent::Control;
use delight_proto::api::method::{
    BypassParams, SessionAbort, SessionBypass, SessionRef, SessionSetMode, SessionSwitch, SetModeParams,
    SwitchParams,
};
use delight_proto::session::SessionView;

use crate::context::Context;
use crate::failure::Failure;
use crate::view::{self, OneSession};
use crate::{happening, span};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
local: the agent's own program in the terminal. remote: the phone, or delightctl send, allow and deny. The conversation goes \
on. If the agent cannot start there, control goes back and the reason is told.

Examples:
  delightctl switch review remote
  delightctl switch review local && delightctl attach review")]
pub(crate) struct Switch {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// Who is to drive
    to: To,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// The desktop
    Local,
    /// The phone
    Remote,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  delightctl abort review")]
pub(crate) struct Abort {
    /// Session: ID, unique prefix, name or @last
    session: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The words are the agent's own.

Example:
  delightctl mode review --model opus --permission-mode plan --effort high")]
#[group(required = true, multiple = true, args = ["model", "permission_mode", "effort"])]
pub(crate) struct Mode {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// The model
    #[arg(long)]
    model: Option<String>,
    /// The permission mode
    #[arg(long, value_name = "MODE")]
    permission_mode: Option<String>,
    /// How hard it is to think
    #[arg(long, value_name = "LEVEL")]
    effort: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Rules that deny still do, and questions are still asked. It is shown in list and show as long as it holds.

Examples:
  delightctl bypass review --for 10m
  delightctl bypass review --off")]
#[group(required = true, multiple = false, args = ["span", "off"])]
pub(crate) struct Bypass {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// How long, at most a day
    #[arg(long = "for", value_name = "DURATION", value_parser = span::duration)]
    span: Option<Duration>,
    /// End it
    #[arg(long)]
    off: bool,
}

impl Switch {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let to = match self.to {
            To::Local => Control::Local,
            To::Remote => Control::Remote,
        };
        let view = context.daemon()?.call::<SessionSwitch>(&SwitchParams { session: self.session, to })?;
        let next = match to {
            Control::Local => format!("delightctl attach {}", view::handle(&view)),
            Control::Remote => format!("delightctl send {} WORDS", view::handle(&view)),
        };
        let words = match &view.agent {
            Some(agent) if agent.shared => "desktop and phone drive it at once".to_owned(),
            _ => format!("{} drives", happening::driver(to)),
        };
        tell(context, &view, &words, &next)
    }
}

impl Abort {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let view = context.daemon()?.call::<SessionAbort>(&SessionRef { session: self.session })?;
        tell(context, &view, "was told to stop", &format!("delightctl show {}", view::handle(&view)))
    }
}

impl Mode {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let Self { session, model, permission_mode, effort } = self;
        let params = SetModeParams { session, model, permission_mode, effort };
        let view = context.daemon()?.call::<SessionSetMode>(&params)?;
        tell(context, &view, "was told", &format!("delightctl show {}", view::handle(&view)))
    }
}

impl Bypass {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let for_ms = self.span.map(|span| span.as_millis() as u64);
        let params = BypassParams { session: self.session, for_ms };
        let view = context.daemon()?.call::<SessionBypass>(&params)?;
        let until = view.agent.as_ref().and_then(|agent| agent.bypass_until_ms);
        let words = until.map_or_else(
            || "permissions are asked for".to_owned(),
            |until| format!("everything is allowed unasked until {}", span::clock(until)),
        );
        tell(context, &view, &words, &format!("delightctl bypass {} --off", view::handle(&view)))
    }
}

fn tell(context: &Context, view: &SessionView, what: &str, next: &str) -> Result<u8, Failure> {
    context.out.result(&OneSession { session: view }, || {
        format!("{}: {what}\n  {}\nnext: {next}\n", view::title(view), view::state(view))
    })?;
    Ok(0)
}
