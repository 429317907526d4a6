//! `logs`: what a session wrote.

use std::time::Duration;

use clap::ValueEnum;
use delight_proto::api::method::{SessionGet, SessionRef, SessionWait, WaitParams};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Phase, SessionView, Size};

use crate::context::Context;
use crate::failure::{Failure, usage};
use crate::logs::Body;
use crate::logs::asciicast::Asciicast;
use crate::logs::form::{Form, Printer, stripped};
use crate::logs::history::History;
use crate::logs::live::Live;
use crate::output::note;
use crate::{span, text, view};

/// How long the daemon may need to see that a holder is gone, or that another one has come.
const NEWS_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The bytes come out as they were written, escape sequences and all; --strip gives plain text. What a command with pipes \
wrote to its standard error goes to standard error.

Examples:
  delightctl logs build --tail 50
  delightctl logs build --strip | grep error
  delightctl logs build --follow --since 5m
  delightctl logs build --format asciicast > build.cast    asciinema play build.cast")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
    /// Go on with what it writes until it ends
    #[arg(long, short)]
    follow: bool,
    /// Begin at this time: 10m (ago), 13:00, 2026-11-21 13:00 or 2026-11-21T13:00:00Z
    #[arg(long, value_name = "TIME", value_parser = span::moment, conflicts_with_all = ["offset", "tail"])]
    since: Option<u64>,
    /// Begin at this output byte
    #[arg(long, value_name = "BYTE", conflicts_with = "tail")]
    offset: Option<u64>,
    /// Begin with the last lines
    #[arg(long, short = 'n', value_name = "LINES", value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    tail: Option<u32>,
    /// Plain text: without escape sequences, typed-over text as it finally stood
    #[arg(long)]
    strip: bool,
    /// Also what was typed; it can hold passwords (with asciicast or --json; not with --follow: only the journal holds it)
    #[arg(long)]
    input: bool,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "raw", conflicts_with = "strip")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The bytes as they were written
    Raw,
    /// A recording that asciinema plays (asciicast v2)
    Asciicast,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        if self.input && self.format == Format::Raw && !context.out.json {
            return Err(usage(
                "what was typed cannot be told apart from output in this form",
                "--input needs a form that marks it",
                "add --format asciicast or --json",
            ));
        }
        if self.input && self.follow {
            return Err(usage(
                "what is being typed cannot be followed",
                "only the journal holds it",
                "leave --follow or --input away",
            ));
        }
        if context.out.json && (self.strip || self.format == Format::Asciicast) {
            return Err(usage(
                "two forms of output were asked for",
                "--json gives the journal's records",
                "leave --json away, or --strip and --format",
            ));
        }
        let mut daemon = context.daemon()?;
        let session = daemon.call::<SessionGet>(&SessionRef { session: self.session.clone() })?;
        let id = session.id.to_string();
        let mut history = History::new(daemon, id.clone(), self.input);
        if let Some(since) = self.since {
            history.seek_time(since)?;
        } else if let Some(lines) = self.tail {
            history.seek_tail(lines as usize)?;
        } else {
            history.seek(self.offset.unwrap_or(0));
        }
        let mut printer = Printer::new(self.form(context, &session));
        let mut end = past(&mut history, &mut printer, &id, self.begins_at_start())?;
        if self.follow {
            end = follow(context, &mut history, &mut printer, &session, end)?;
        }
        printer.end(end)?;
        Ok(0)
    }

    /// Whether everything there ever was is asked for.
    fn begins_at_start(&self) -> bool {
        self.since.is_none() && self.tail.is_none() && self.offset.is_none()
    }

    fn form(&self, context: &Context, session: &SessionView) -> Form {
        match self.format {
            _ if context.out.json && self.follow => Form::JsonLines,
            _ if context.out.json => Form::JsonDocument { any: false },
            Format::Asciicast => {
                let title = format!("{} {}", view::handle(session), view::command(session));
                Form::Asciicast(Box::new(Asciicast::new(title, Size::default(), self.input)))
            }
            Format::Raw if self.strip => stripped(),
            Format::Raw => Form::Raw,
        }
    }
}

/// Prints what there is; the offset of its end.
fn past(history: &mut History, printer: &mut Printer, id: &str, from_start: bool) -> Result<u64, Failure> {
    let mut first = true;
    loop {
        let page = history.next()?;
        if std::mem::take(&mut first) {
            if from_start && page.start_offset > 0 {
                note(&format!(
                    "note: history starts at byte {}: {} before it are no longer kept\n",
                    page.start_offset,
                    span::amount(page.start_offset)
                ));
            }
            printer.begin(id, page.start_offset)?;
        }
        for record in &page.records {
            printer.record(record)?;
        }
        if page.at_end {
            return Ok(page.end_offset);
        }
    }
}

/// Prints what comes until the session has ended; the offset of its end.
fn follow(
    context: &Context,
    history: &mut History,
    printer: &mut Printer,
    session: &SessionView,
    mut end: u64,
) -> Result<u64, Failure> {
    let named = SessionRef { session: session.id.to_string() };
    let mut has_exited = false;
    loop {
        let now = history.daemon().call::<SessionGet>(&named)?;
        let live = now.holder.as_ref().and_then(|h| Live::connect(h.socket.as_ref(), now.id, end).ok());
        if let Some(mut live) = live {
            while let Some(record) = live.next(|| printer.idle())? {
                has_exited |= matches!(record.body, Body::Exited(..));
                printer.record(&record)?;
            }
            end = live.offset();
            // Following outlives daemons: the one that was asked before may be gone by now.
            match context.daemon() {
                Ok(daemon) => history.reconnected(daemon),
                Err(_) if has_exited => return Ok(end),
                Err(failure) => return Err(failure),
            }
        } else if !now.phase.is_live() {
            // Whatever it wrote before its holder went is in the journal.
            history.seek(end);
            loop {
                let page = history.next()?;
                for record in
                    page.records.iter().filter(|r| matches!(r.body, Body::Output(_) | Body::Lost(_)))
                {
                    printer.record(record)?;
                }
                if page.at_end {
                    return Ok(page.end_offset);
                }
            }
        } else {
            printer.idle()?;
            await_news(history, &named, &now)?;
        }
    }
}

/// Waits until the daemon knows what has become of a session whose holder cannot be reached.
fn await_news(history: &mut History, named: &SessionRef, seen: &SessionView) -> Result<(), Failure> {
    use Phase::{BackingOff, Exited, Failed, Interrupted, Running, Starting, Stopped, Stopping};
    let phases: Vec<Phase> = [Starting, Running, Stopping, BackingOff, Exited, Stopped, Failed, Interrupted]
        .into_iter()
        // A session between two starts may take as long as it takes; any other has to change soon.
        .filter(|phase| *phase != seen.phase)
        .collect();
    let timeout = if matches!(seen.phase, BackingOff | Starting) { None } else { Some(NEWS_LIMIT) };
    let params = WaitParams {
        session: named.session.clone(),
        phases,
        activity: Vec::new(),
        timeout_ms: timeout.map(|limit| limit.as_millis() as u64),
    };
    match history.daemon().call::<SessionWait>(&params) {
        Ok(_) => Ok(()),
        Err(failure) if failure.code() == Some(Code::Timeout) => Err(Refusal::new(
            Code::HolderUnreachable,
            format!("session {} cannot be followed", view::handle(seen)),
            format!(
                "the daemon calls it {} and its holder does not answer",
                text::visible(&view::state(seen))
            ),
        )
        .fix(format!("delightctl show {}", view::handle(seen)))
        .into()),
        Err(failure) => Err(failure),
    }
}
