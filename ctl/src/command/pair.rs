//! `pair`: a phone takes this machine into its account.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use delight_proto::api::method::{
    AccountResult, Empty, PairBegin, PairBeginParams, PairBeginResult, PairCancel, PairWait, PairWaitParams,
};
use serde::Serialize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Failure, system};
use crate::output::{self, Tone};
use crate::{qr, span, text};

/// What a shell says of a command that was interrupted.
const INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The code is good once and for two minutes; ctrl-c gives it up. Phone and machine must use the same server. After the \
scan both show six digits: when they differ, somebody is in between, and the machine must be unpaired at once.
(Happy's own app shows no digits.) No phone at hand? `delightctl account create` makes an account without one.

Examples:
  delightctl pair
  delightctl pair --server https://sync.example.org
  delightctl up --relay && delightctl pair      try it with a server on this machine")]
pub(crate) struct Args {
    /// The sync server; default: the configured one, or the relay that runs in the daemon
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Print the links and return; the daemon goes on waiting for the phone
    #[arg(long)]
    no_wait: bool,
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    offer: PairBeginResult,
    /// Whether the phone has answered.
    paired: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<AccountResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let (mut daemon, _) = context.daemon_or_start(&place)?;
        let offer = daemon.call::<PairBegin>(&PairBeginParams { server: self.server })?;
        let shown = show(context, &offer);
        if self.no_wait {
            let document = Document { offer, paired: false, account: None, number: None };
            context.out.result(&document, || shown)?;
            return Ok(0);
        }
        // Before anything is shown: who sees the code may press ctrl-c at once.
        let given_up = give_up_on_signals(&place.control_socket())?;
        // What a person needs before there is a result; a program reads the one document at the end.
        if context.out.json {
            output::note(&shown);
        } else {
            output::stdout(shown.as_bytes())?;
        }
        let waited = daemon.call::<PairWait>(&PairWaitParams { pairing: offer.pairing.clone() });
        if waited.is_err() && given_up.load(Ordering::Relaxed) {
            output::note("given up; nothing was paired\n");
            return Ok(INTERRUPTED);
        }
        let paired = waited?;
        let document = Document {
            offer,
            paired: true,
            account: Some(paired.account.clone()),
            number: Some(paired.number.clone()),
        };
        context.out.result(&document, || {
            format!(
                "{}\n  number   {}   (the phone shows the same; if not: delightctl unpair)\n{}next: delightctl devices\n",
                context.out.paint(Tone::Good, "paired"),
                context.out.paint(Tone::Strong, &text::visible(&paired.number)),
                super::account::words(&paired.account),
            )
        })?;
        Ok(0)
    }
}

fn show(context: &Context, offer: &PairBeginResult) -> String {
    let left = span::age(offer.expires_ms.saturating_sub(span::now_ms()));
    let mut shown = String::new();
    if let Some(lines) = qr::lines(&offer.happy_link, context.out.colour) {
        shown += &format!("{}\n\n", lines.join("\n"));
    }
    shown
        + &format!(
            "Scan this with the app, or open one of the links on the phone:\n  {}\n  {}\nserver: {}\n\
             waiting for the phone for {left}; ctrl-c gives up\n",
            text::visible(&offer.happy_link),
            text::visible(&offer.link),
            text::visible(&offer.server),
        )
}

/// From here on ctrl-c ends the pairing, and with it the wait.
fn give_up_on_signals(socket: &std::path::Path) -> Result<Arc<AtomicBool>, Failure> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|e| system("signals cannot be waited for", e))?;
    let given_up = Arc::new(AtomicBool::new(false));
    let (tell, socket) = (Arc::clone(&given_up), socket.to_owned());
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            tell.store(true, Ordering::Relaxed);
            let cancelled = Connection::open(&socket)
                .map_err(Failure::from)
                .and_then(|mut daemon| daemon.call::<PairCancel>(&Empty {}));
            if cancelled.is_err() {
                // The daemon is gone, and the wait with it.
                std::process::exit(INTERRUPTED.into());
            }
        }
    });
    Ok(given_up)
}
