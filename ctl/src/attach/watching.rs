//! The terminal while the phone drives: a transcript, and a line at the bottom that says so.

use std::time::Instant;

use delight_proto::event::Event;
use delight_proto::session::SessionView;

use super::takeback::{Meant, Takeback};
use super::transcript::Transcript;
use crate::output::{Tone, paint};
use crate::text;

/// The terminal's width where it is not known.
const COLUMNS: usize = 80;

/// What is shown.
#[derive(Debug)]
pub(super) struct Watching {
    transcript: Transcript,
    takeback: Takeback,
    /// What keys do, for the status line.
    usual: String,
    hint: String,
    /// Whether keys may take control back.
    may_take: bool,
}

impl Watching {
    /// `detach` names the key that detaches, if there is one.
    pub(super) fn new(transcript: Transcript, may_take: bool, detach: Option<&str>) -> Self {
        let mut usual =
            if may_take { "space twice takes back".to_owned() } else { "watching only".to_owned() };
        if let Some(key) = detach {
            usual += &format!(", {key} detaches");
        }
        Self { transcript, takeback: Takeback::default(), hint: usual.clone(), usual, may_take }
    }

    /// Lines for these events, and the status below them.
    pub(super) fn events(&self, events: &[Event], view: &SessionView) -> String {
        let lines: String =
            events.iter().flat_map(|event| self.transcript.lines(event)).map(|line| line + "\r\n").collect();
        if lines.is_empty() { self.status(view) } else { format!("\r\x1b[K{lines}{}", self.status(view)) }
    }

    /// A line of our own, and the status below it.
    pub(super) fn line(&self, line: &str, view: &SessionView) -> String {
        let line = paint(self.transcript.out.colour, Tone::Warn, &text::visible(line));
        format!("\r\x1b[K{line}\r\n{}", self.status(view))
    }

    /// The status line, drawn over the one before.
    pub(super) fn status(&self, view: &SessionView) -> String {
        let columns = super::terminal::size().map_or(COLUMNS, |size| usize::from(size.cols));
        // A full last line would make some terminals scroll.
        let line = text::cut(&self.transcript.status(view, &self.hint), columns.saturating_sub(1));
        format!("\r\x1b[K{}", paint(self.transcript.out.colour, Tone::Strong, &line))
    }

    /// Takes in keys; whether they take control back. The hint says what they did.
    pub(super) fn typed(&mut self, keys: &[u8], now: Instant) -> bool {
        if !self.may_take {
            return false;
        }
        match self.takeback.typed(keys, now) {
            Meant::TakeBack => {
                self.hint = "taking back…".to_owned();
                return true;
            }
            Meant::Once => self.hint = "press space again to take back".to_owned(),
            Meant::Other => self.hint = format!("keys are ignored: {}", self.usual),
        }
        false
    }

    /// Back to the usual hint.
    pub(super) fn settle(&mut self) {
        self.hint.clone_from(&self.usual);
    }

    /// When the status changes by itself.
    pub(super) fn due(&self) -> Option<Instant> {
        self.takeback.expires()
    }

    /// Forgets a single space that was long ago; whether the status changed.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let expired = self.takeback.expire(now);
        if expired {
            self.settle();
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Output;
    use crate::view::example;
    use std::time::Duration;

    const PLAIN: Output = Output { json: false, colour: false, machine: None };

    #[test]
    fn the_hint_follows_the_keys() {
        let transcript = || Transcript { out: PLAIN, handle: "web".to_owned() };
        let mut watching = Watching::new(transcript(), true, Some("ctrl-\\"));
        let view = example::agent_session(1);
        assert!(watching.status(&view).contains("space twice takes back, ctrl-\\ detaches"));
        let now = Instant::now();
        assert!(!watching.typed(b" ", now));
        assert!(watching.status(&view).contains("press space again"));
        assert!(watching.expire(now + Duration::from_secs(1)));
        assert!(watching.status(&view).contains("space twice"));
        assert!(!watching.typed(b"y", now));
        assert!(watching.status(&view).contains("keys are ignored"));
        assert!(watching.typed(b"  ", now));
        let mut viewer = Watching::new(transcript(), false, None);
        assert!(!viewer.typed(b"  ", now));
        assert!(viewer.status(&view).ends_with("watching only"));
    }
}
