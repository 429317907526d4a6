//! `spawn`: makes a session, and attaches to it.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use delight_proto::agent::{AgentOptions, Control, Mode};
use delight_proto::api::method::{SessionSpawn, SessionWait, SpawnParams, WaitParams};
use delight_proto::id::{BadName, ConversationId, RequestId, SessionName};
use delight_proto::place::Place;
use delight_proto::refusal::Code;
use delight_proto::session::{PhoneMessages, RestartPolicy, SessionView, Size};

use super::rename::parse_name;
use super::surroundings::{dir_afar, environment, working_dir};
use super::wait::{exit_status, told};
use crate::attach;
use crate::context::Context;
use crate::failure::{Failure, system};
use crate::keys::DetachKey;
use crate::logs::form::{Form, Printer};
use crate::logs::history::History;
use crate::output::{Tone, note, stdout};
use crate::view::{self, OneSession};
use crate::{span, text};

/// How long the daemon may need to see that a session's holder has gone.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Characters of a command that are shown of a new session.
const COMMAND_SHOWN: usize = 400;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The session is attached when standard input and output are a terminal; ctrl-\\ detaches and leaves it running.
The daemon is started if none runs. Of your environment the session gets PATH, TERM, COLORTERM, LANG, LANGUAGE, LC_*, \
TZ, SHELL, EDITOR, VISUAL, DISPLAY, WAYLAND_DISPLAY, XAUTHORITY, SSH_AUTH_SOCK and what --env adds.

Examples:
  delightctl spawn                                your shell, attached
  delightctl spawn claude .                       an agent in this directory; delightctl agents lists them
  delightctl spawn codex ~/src --remote           the same, driven by the phone or delightctl send
  delightctl spawn --name build -- make -j8       a command with a name
  delightctl spawn --no-attach --cwd /srv -- ./run
  delightctl spawn --wait -- cargo test           wait for it; exits as the command did")]
pub(crate) struct Args {
    /// Name, unique on this machine
    #[arg(long, short, value_parser = parse_name)]
    name: Option<SessionName>,
    /// Session kind: claude, codex, pty, … (delightctl agents lists them) [default: pty]
    #[arg(value_name = "KIND", conflicts_with = "kind")]
    positional_kind: Option<String>,
    /// Working directory [default: this one; with --machine the home directory there]
    #[arg(value_name = "DIR", conflicts_with = "cwd")]
    directory: Option<PathBuf>,
    /// Working directory, as an option
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Make the working directory (mode 0700) if it is missing
    #[arg(long)]
    create: bool,
    /// Set a variable, or pass on the caller's (may be repeated)
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Terminal size [default: this terminal's, else 80x24]
    #[arg(long, value_name = "COLSxROWS", value_parser = span::size)]
    size: Option<Size>,
    /// Do not attach
    #[arg(long)]
    no_attach: bool,
    /// Do not attach; wait until it has ended and exit as its command did
    #[arg(long, conflicts_with = "no_attach")]
    wait: bool,
    /// The same key again answers with the session the first call made
    #[arg(long, value_name = "KEY", value_parser = parse_request_id)]
    request_id: Option<RequestId>,
    /// Whether a command that failed is started again
    #[arg(long, value_name = "WHEN", default_value = "never")]
    restart: Restart,
    /// Session kind, as an option
    #[arg(long)]
    kind: Option<String>,
    /// The phone (or delightctl send) drives at first
    #[arg(long, conflicts_with = "local")]
    remote: bool,
    /// The desktop drives at first, in the agent's own terminal program
    #[arg(long)]
    local: bool,
    /// The agent's model
    #[arg(long)]
    model: Option<String>,
    /// The agent's permission mode
    #[arg(long, value_name = "MODE")]
    permission_mode: Option<String>,
    /// How hard the agent is to think, in its own words (claude, codex)
    #[arg(long, value_name = "LEVEL")]
    effort: Option<String>,
    /// Go on with a conversation of the agent's
    #[arg(long, value_name = "CONVERSATION", value_parser = parse_conversation)]
    resume: Option<ConversationId>,
    /// What becomes of a phone's message while the desktop drives [default: reject]
    #[arg(long, value_name = "WHAT")]
    phone_messages: Option<Phone>,
    /// Time between asking it to end and forcing it [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = span::duration)]
    grace: Option<Duration>,
    /// How much output is kept [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = span::bytes)]
    retain: Option<u64>,
    /// Key that detaches: ctrl with a letter or one of \ ] ^ _, or none
    #[arg(long, value_name = "KEY", env = "DELIGHT_DETACH_KEY", default_value = "ctrl-\\", value_parser = DetachKey::parse)]
    detach_key: DetachKey,
    /// Program and arguments [default: your shell; of an agent: further arguments]
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Restart {
    /// It stays ended until somebody resumes it
    Never,
    /// It is started again when it failed, within limits
    OnFailure,
}

/// Words of [`PhoneMessages`].
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Phone {
    /// It is refused, visibly
    Reject,
    /// It takes control and is delivered then
    Takeover,
}

fn parse_conversation(text: &str) -> Result<ConversationId, String> {
    text.parse().map_err(|e: BadName| e.to_string())
}

fn parse_request_id(text: &str) -> Result<RequestId, String> {
    text.parse().map_err(|e: BadName| e.to_string())
}

impl Args {
    pub(crate) fn run(mut self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let on_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let attach_to_it = on_terminal && !self.no_attach && !self.wait && !context.out.json;
        let (wait, detach_key) = (self.wait, self.detach_key);
        let params = self.params(context.machine.is_some())?;
        let mut session = spawn(context, &place, &params)?;
        if attach_to_it {
            return attached(context, &place, &session, detach_key);
        }
        if wait {
            let params = WaitParams {
                session: session.id.to_string(),
                phases: Vec::new(),
                activity: Vec::new(),
                timeout_ms: None,
            };
            session = context.daemon()?.call::<SessionWait>(&params)?;
            context.out.result(&OneSession { session: &session }, || told(&session))?;
            return Ok(exit_status(&session));
        }
        context.out.result(&OneSession { session: &session }, || {
            let (handle, title) = (view::handle(&session), view::title(&session));
            let verb = if session.phase.is_live() { "attach" } else { "logs" };
            format!(
                "{} {}
  {}
next: delightctl {verb} {handle}
",
                context.out.paint(Tone::Strong, &title),
                context.out.paint(view::tone(&session), &view::state(&session)),
                text::shortened(&view::command(&session), COMMAND_SHOWN),
            )
        })?;
        Ok(0)
    }

    fn params(&mut self, afar: bool) -> Result<SpawnParams, Failure> {
        let asked_dir = self.cwd.as_deref().or(self.directory.as_deref());
        let cwd = if afar { dir_afar(asked_dir)? } else { working_dir(asked_dir)? };
        // Of our environment only what the terminal is: the rest is of this machine.
        let ours = std::env::vars_os().filter(|(name, _)| !afar || name == "TERM" || name == "COLORTERM");
        let size = self.size.or_else(attach::terminal::size).unwrap_or_default();
        let restart = match self.restart {
            Restart::Never => RestartPolicy::Never,
            Restart::OnFailure => RestartPolicy::OnFailure,
        };
        let request_id = match self.request_id.take() {
            Some(given) => given,
            None => fresh_request_id()?,
        };
        Ok(SpawnParams {
            request_id: Some(request_id),
            name: self.name.take(),
            kind: self.kind.take().or(self.positional_kind.take()).unwrap_or_else(|| "pty".to_owned()),
            command: std::mem::take(&mut self.command),
            cwd,
            create_cwd: self.create,
            env: environment(&self.env, ours)?,
            size,
            restart,
            stop_grace_ms: self.grace.map(|grace| grace.as_millis() as u64),
            retain_bytes: self.retain,
            agent: self.agent(),
        })
    }

    fn agent(&mut self) -> AgentOptions {
        let control = match (self.remote, self.local) {
            (true, _) => Some(Control::Remote),
            (_, true) => Some(Control::Local),
            _ => None,
        };
        AgentOptions {
            control,
            mode: Mode {
                model: self.model.take(),
                permission_mode: self.permission_mode.take(),
                effort: self.effort.take(),
            },
            conversation: self.resume.take(),
            phone_messages: self.phone_messages.map(|what| match what {
                Phone::Reject => PhoneMessages::Reject,
                Phone::Takeover => PhoneMessages::Takeover,
            }),
        }
    }
}

/// Asks for the session. When the daemon goes away in between it is asked again, of a new daemon if need be: the
/// request id makes that one session however often it is said.
fn spawn(context: &Context, place: &Place, params: &SpawnParams) -> Result<SessionView, Failure> {
    let (mut daemon, _) = context.daemon_or_start(place)?;
    match daemon.call::<SessionSpawn>(params) {
        Err(Failure::Refused(refusal)) if refusal.code == Code::DaemonUnreachable && refusal.retry => {
            note("the daemon went away while it made the session; asking again\n");
            let (mut daemon, _) = context.daemon_or_start(place)?;
            daemon.call::<SessionSpawn>(params)
        }
        other => other,
    }
}

/// Attaches to what was just made. The session exists whatever happens now, so a failure says so.
fn attached(
    context: &Context,
    place: &Place,
    session: &SessionView,
    detach_key: DetachKey,
) -> Result<u8, Failure> {
    let wish = attach::Wish { detach_key, control: true, take: false, exit_status: false };
    let refusal = match attach::run(place, context.machine.as_deref(), session, &wish) {
        Err(Failure::Refused(refusal)) => refusal,
        other => return other,
    };
    if let Some(ended) = ended_already(context, session)? {
        let line = format!(
            "{} ended: {}\nnext: delightctl show {}\n",
            view::title(&ended),
            view::state(&ended),
            view::handle(&ended)
        );
        stdout(line.as_bytes())?;
        return Ok(0);
    }
    note(&format!(
        "warning: {} runs, but cannot be attached to\nwhy: {refusal}\nnext: delightctl attach {}\n",
        view::title(session),
        view::handle(session),
    ));
    Ok(8)
}

/// A command can be over before one is attached to it: then what it wrote is printed as it would have appeared.
fn ended_already(context: &Context, session: &SessionView) -> Result<Option<SessionView>, Failure> {
    let id = session.id.to_string();
    let mut daemon = context.daemon()?;
    let params = WaitParams {
        session: id.clone(),
        phases: Vec::new(),
        activity: Vec::new(),
        timeout_ms: Some(END_LIMIT.as_millis() as u64),
    };
    let ended = match daemon.call::<SessionWait>(&params) {
        Ok(ended) => ended,
        Err(failure) if failure.code() == Some(Code::Timeout) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let mut history = History::new(daemon, id, false);
    let mut printer = Printer::new(Form::Raw);
    loop {
        let page = history.next()?;
        for record in &page.records {
            printer.record(record)?;
        }
        if page.at_end {
            printer.end(page.end_offset)?;
            return Ok(Some(ended));
        }
    }
}

/// An id nobody else makes.
pub(super) fn fresh_id() -> Result<String, Failure> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| system("no random numbers can be had", e))?;
    Ok(format!("ctl-{:032x}", u128::from_be_bytes(bytes)))
}

fn fresh_request_id() -> Result<RequestId, Failure> {
    fresh_id()?.parse().map_err(|e: BadName| system("the request id", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ() {
        assert_ne!(fresh_request_id().unwrap(), fresh_request_id().unwrap());
    }
}
