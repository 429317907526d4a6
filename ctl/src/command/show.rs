//! `show`: everything about one session.

use delight_proto::agent::Source;
use delight_proto::api::method::{EventsParams, SessionEvents, SessionGet, SessionRef};
use delight_proto::event::Event;
use delight_proto::session::SessionView;
use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::{happening, span, text, view};

/// Events shown at the end: what happened lately.
const TAIL: u64 = 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  delightctl show @last")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
}

#[derive(Serialize)]
struct Document<'a> {
    session: &'a SessionView,
    /// The last events.
    events: &'a [Event],
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut daemon = context.daemon()?;
        let session = daemon.call::<SessionGet>(&SessionRef { session: self.session })?;
        let params = EventsParams {
            session: session.id.to_string(),
            after: session.last_seq.saturating_sub(TAIL),
            limit: 1_000,
        };
        let events = daemon.call::<SessionEvents>(&params)?.events;
        let document = Document { session: &session, events: &events };
        context
            .out
            .result(&document, || render(context.out, &session, &events, span::now_ms(), span::clock))?;
        Ok(0)
    }
}

fn render(out: Output, s: &SessionView, events: &[Event], now: u64, clock: impl Fn(u64) -> String) -> String {
    let mut words = format!(
        "{}  {}\n",
        out.paint(Tone::Strong, &view::title(s)),
        out.paint(view::tone(s), &view::state(s))
    );
    let mut field = |label: &str, value: &str| {
        words += &format!("  {label:<8}  {value}\n");
    };
    field("id", s.id.as_str());
    field("agent", &text::visible(&s.kind));
    field("command", &view::command(s));
    field("where", &text::visible(&s.cwd));
    field("since", &format!("{} ({})", clock(s.since_ms), view::since(s, now)));
    field("spawned", &clock(s.created_ms));
    if s.generation > 1 {
        field("starts", &s.generation.to_string());
    }
    if let Some(pid) = s.pid {
        field("pid", &pid.to_string());
    }
    if let Some(holder) = &s.holder {
        field("holder", &format!("pid {}, {}", holder.process.pid, text::visible(&holder.socket)));
    }
    if let Some(controller) = &s.controller {
        field("control", &text::visible(controller));
    }
    if let Some(exit) = s.exit {
        field("exit", &exit.to_string());
    }
    if let Some(agent) = &s.agent {
        field("drives", happening::driver(agent.control));
        if let Some(doing) = agent.activity {
            let word = happening::activity(doing.activity);
            field("doing", &format!("{word} since {} ({})", clock(doing.since_ms), source(doing.source)));
        }
        for (label, value) in [
            ("model", &agent.mode.model),
            ("mode", &agent.mode.permission_mode),
            ("effort", &agent.mode.effort),
        ] {
            if let Some(value) = value {
                field(label, &text::visible(value));
            }
        }
        if !agent.offers.is_empty() {
            field("offers", &happening::offers(&agent.offers));
        }
        if let Some(conversation) = &agent.conversation {
            field("talk", conversation.as_str());
        }
        if agent.queued > 0 {
            field("queued", &text::count(agent.queued.into(), "message"));
        }
        if let Some(until) = agent.bypass_until_ms {
            let words = format!("everything is allowed unasked until {}", clock(until));
            field("bypass", &out.paint(Tone::Warn, &words));
        }
        for waits in &agent.pending {
            let ask = &waits.ask;
            let words = format!("{} {} {}", ask.id, ask.tool, happening::excerpt(&ask.title));
            field("asks", &out.paint(Tone::Warn, &text::visible(&words)));
        }
    }
    for warning in &s.warnings {
        field("warning", &out.paint(Tone::Warn, &text::visible(warning)));
    }
    if !events.is_empty() {
        words += "events\n";
        for event in events {
            words += &format!("  {}\n", happening::line(event, &clock));
        }
    }
    let handle = view::handle(s);
    let asks = s.agent.as_ref().and_then(|agent| agent.pending.first());
    words
        + &if let Some(waits) = asks {
            let id = &waits.ask.id;
            format!("next: delightctl allow {handle} {id}, or delightctl deny {handle} {id}\n")
        } else if s.phase.is_live() {
            format!("next: delightctl attach {handle}\n")
        } else {
            format!("next: delightctl logs {handle}, delightctl resume {handle} or delightctl rm {handle}\n")
        }
}

/// How it is known what an agent does.
fn source(source: Source) -> &'static str {
    match source {
        Source::Stream => "it said so",
        Source::Transcript => "from its transcript",
        Source::Status => "from its status file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::example;
    use delight_proto::event::EventBody;
    use delight_proto::session::{Exit, Origin, Phase};

    #[test]
    fn looks_like_this() {
        let mut s = example::session(1, Phase::Exited);
        s.exit = Some(Exit::Signal(9));
        s.name = Some("web".parse().unwrap());
        s.controller = Some("delightctl attach".to_owned());
        let event = |seq, body| Event { seq, at_ms: seq, offset: 0, body };
        let events = [
            event(1, EventBody::Spawned { origin: Origin::Desktop { pid: Some(7) } }),
            event(2, EventBody::Exited { generation: 1, exit: Exit::Signal(9) }),
        ];
        let plain = Output { json: false, colour: false, machine: None };
        assert_eq!(
            render(plain, &s, &events, 1_060_000, |ms| format!("T{ms}")),
            "\
040g2081 (web)  exited: signal 9
  id        040g2081040g2081
  agent     pty
  command   bash
  where     /home/u/src
  since     T1000000 (1m)
  spawned   T1000000
  control   delightctl attach
  exit      signal 9
events
     1  T1  spawned by this machine (pid 7)
     2  T2  exited: signal 9
next: delightctl logs web, delightctl resume web or delightctl rm web
"
        );
    }
}
