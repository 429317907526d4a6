//! What changes in an attachment when control of the session's agent changes hands.

use std::time::Instant;

use delight_proto::refusal::Refusal;
use delight_proto::session::Phase;

use super::desk::News;
use super::relay::{Left, Relay, show};
use super::transcript::Transcript;
use super::watching::Watching;
use crate::view;

impl Relay<'_> {
    /// Shows the transcript, if the phone drives.
    pub(super) fn begin(&mut self) -> Option<Left> {
        if self.desk.as_ref().is_some_and(|desk| desk.remote()) {
            return self.watch();
        }
        None
    }

    /// The phone takes over: the transcript takes the terminal's place.
    fn watch(&mut self) -> Option<Left> {
        let desk = self.desk.as_mut()?;
        let handle = view::handle(desk.view()).to_owned();
        let shared = desk.shared();
        let who = if shared { "desktop and phone drive" } else { "the phone drives" };
        self.terminal.make_room(&format!("watching {handle}, {who}"));
        let transcript = Transcript { out: desk.out, handle };
        let watching = Watching::new(transcript, self.wants_control && !shared, self.detach_key.as_deref());
        desk.follow();
        // What the terminal had not taken yet is covered by the transcript.
        self.held.clear();
        let status = watching.status(desk.view());
        self.watching = Some(watching);
        self.say(&status)
    }

    /// Takes in what the daemon has to say.
    pub(super) fn news(&mut self) -> Option<Left> {
        for news in self.desk.as_mut()?.arrived() {
            let left = match news {
                News::Changed => self.changed(),
                News::Events(events) => {
                    let (Some(watching), Some(desk)) = (&self.watching, &self.desk) else { continue };
                    let words = watching.events(&events, desk.view());
                    self.say(&words)
                }
                News::NotTaken(refusal) => self.not_taken(&refusal),
                News::Removed => self.parting.take().map(Left::Ended).or(Some(Left::HolderGone)),
                News::Away => self.tell("the daemon is away; it is looked for"),
            };
            if left.is_some() {
                return left;
            }
        }
        None
    }

    /// The session is another now.
    fn changed(&mut self) -> Option<Left> {
        let desk = self.desk.as_ref()?;
        let (remote, phase) = (desk.remote(), desk.view().phase);
        if !phase.is_live() {
            // How it ended is the holder's to tell; if it has, this is the end, else it comes next.
            return self.parting.take().map(Left::Ended);
        }
        match (self.watching.is_some(), remote) {
            (false, true) => self.watch(),
            (true, false) if phase == Phase::Running => {
                self.desk.as_mut()?.unfollow();
                Some(Left::Redraw)
            }
            (true, _) => self.restate(),
            (false, false) => None,
        }
    }

    /// Keys, while the phone drives.
    pub(super) fn watched_keys(&mut self, keys: &[u8]) -> Option<Left> {
        let watching = self.watching.as_mut()?;
        if self.desk.as_ref().is_some_and(|desk| desk.is_taking()) {
            return None;
        }
        if watching.typed(keys, Instant::now())
            && let Some(Err(refusal)) = self.desk.as_mut().map(|desk| desk.take_back())
        {
            return self.not_taken(&refusal);
        }
        self.restate()
    }

    fn not_taken(&mut self, refusal: &Refusal) -> Option<Left> {
        if let Some(watching) = &mut self.watching {
            watching.settle();
        }
        let fix = if refusal.fix.is_empty() { String::new() } else { format!(" (fix: {})", refusal.fix) };
        self.tell(&format!("control was not taken back: {}{fix}", refusal.reason))
    }

    /// A line of our own in the transcript; without one it is told on leaving.
    fn tell(&mut self, line: &str) -> Option<Left> {
        let (Some(watching), Some(desk)) = (&self.watching, &self.desk) else { return None };
        let words = watching.line(line, desk.view());
        self.say(&words)
    }

    /// Draws the status line again.
    pub(super) fn restate(&mut self) -> Option<Left> {
        let (Some(watching), Some(desk)) = (&self.watching, &self.desk) else { return None };
        let status = watching.status(desk.view());
        self.say(&status)
    }

    /// What is due by now.
    pub(super) fn due(&self) -> Option<Instant> {
        let desk = self.desk.as_ref().and_then(|desk| desk.due());
        let watching = self.watching.as_ref().and_then(Watching::due);
        [desk, watching].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self) -> Option<Left> {
        if let Some(desk) = &mut self.desk {
            desk.look();
        }
        let expired = self.watching.as_mut().is_some_and(|watching| watching.expire(Instant::now()));
        if expired { self.restate() } else { None }
    }

    fn say(&mut self, words: &str) -> Option<Left> {
        if !self.held.is_empty() {
            // The terminal is slow: events are not read on before it has taken these.
            self.held.extend_from_slice(words.as_bytes());
            return None;
        }
        show(self.terminal, &mut self.held, words.as_bytes()).err().map(|_| Left::TerminalGone)
    }
}
