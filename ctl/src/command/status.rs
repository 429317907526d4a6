//! `status`: the daemon's own state.

use delight_proto::api::method::{DaemonStatus, DaemonStatusResult, Empty, UplinkState, UplinkStatusResult};
use serde::Serialize;

use crate::connection::Connection;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Tone;
use crate::unreachable::NoConnection;
use crate::{span, text, view};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exits with 4 when no daemon runs.

Example:
  delightctl status")]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Document {
    running: bool,
    socket: String,
    state_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<DaemonStatusResult>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<String>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let socket = place.control_socket();
        let opened = match context.machine {
            Some(_) => Ok(context.daemon()?),
            None => Connection::open(&socket),
        };
        let mut daemon = match opened {
            Ok(daemon) => daemon,
            Err(NoConnection::NobodyThere(_)) => {
                let document = Document {
                    running: false,
                    socket: socket.display().to_string(),
                    state_dir: place.state.display().to_string(),
                    daemon: None,
                    kinds: Vec::new(),
                };
                context.out.result(&document, || {
                    format!(
                        "{}\n  socket  {} (nobody listens)\n  data    {}\n  \
                         sessions that were running go on; a daemon finds them again\nnext: delightctl up\n",
                        context.out.paint(Tone::Warn, "delightd is not running"),
                        text::visible(&document.socket),
                        text::visible(&document.state_dir),
                    )
                })?;
                return Ok(4);
            }
            Err(refused) => return Err(refused.into()),
        };
        let status = daemon.call::<DaemonStatus>(&Empty {})?;
        let kinds = daemon.hello().map(|hello| hello.kinds.clone()).unwrap_or_default();
        let document = Document {
            running: true,
            socket: status.socket.clone(),
            state_dir: status.state_dir.clone(),
            daemon: Some(status.clone()),
            kinds,
        };
        context.out.result(&document, || words(context, &status))?;
        Ok(0)
    }
}

/// The link to the server in one line.
fn link(context: &Context, uplink: &UplinkStatusResult) -> String {
    let Some(server) = &uplink.server else {
        return "none; everything works on this machine (to see it from afar: delightctl pair)".to_owned();
    };
    let (word, tone) = match uplink.state {
        UplinkState::Online => ("online", Tone::Good),
        UplinkState::Connecting => ("connecting", Tone::Warn),
        UplinkState::Waiting => ("offline, tried again soon", Tone::Warn),
        UplinkState::Refused => ("refused", Tone::Bad),
        UplinkState::NotLinked => ("not linked", Tone::Warn),
    };
    let for_ = span::age(span::now_ms().saturating_sub(uplink.since_ms));
    let mut line = format!("{} {} for {for_}", text::visible(server), context.out.paint(tone, word));
    if uplink.waiting > 0 {
        line += &format!(", {} to be sent", text::count(uplink.waiting, "record"));
    }
    if !uplink.reason.is_empty() {
        line += &format!(": {}", text::visible(&uplink.reason));
    }
    line
}

fn words(context: &Context, status: &DaemonStatusResult) -> String {
    let out = context.out;
    let up = span::age(span::now_ms().saturating_sub(status.started_ms));
    let mut sessions: Vec<String> = status
        .sessions
        .iter()
        .filter(|(_, n)| **n > 0)
        .map(|(phase, n)| format!("{n} {}", view::phase(*phase)))
        .collect();
    if sessions.is_empty() {
        sessions.push("none".to_owned());
    }
    let live: u32 = status.sessions.iter().filter(|(phase, _)| phase.is_live()).map(|(_, n)| n).sum();
    let mut words = format!(
        "{} for {up} (version {}, pid {})\n  socket    {}\n  data      {}\n  sessions  {} ({live} of at most {} \
         alive)\n",
        out.paint(Tone::Good, "delightd is running"),
        text::visible(&status.version),
        status.pid,
        text::visible(&status.socket),
        text::visible(&status.state_dir),
        sessions.join(", "),
        status.max_live,
    );
    if status.adopted > 0 {
        words += &format!(
            "  adopted   {} found alive at its start\n",
            text::count(status.adopted.into(), "session")
        );
    }
    if let Some(uplink) = &status.uplink {
        words += &format!("  server    {}\n", link(context, uplink));
    }
    for reason in &status.quarantined {
        words += &format!("  {} {}\n", out.paint(Tone::Warn, "set aside"), text::visible(reason));
    }
    words + if live == 0 { "next: delightctl spawn\n" } else { "next: delightctl list\n" }
}
