//! Recording what a session's reducer is given and what came of it, for `delightctl replay`: only where the owner's
//! configuration says `record = true`, because it doubles what is written and holds what was typed.

use std::path::{Path, PathBuf};

use delight_core::actor::{Effects, Stamped};
use delight_core::replay::{Came, Entry};
use delight_core::session::{Effect, Input, Session};
use delight_journal::{Closing, Options, Point, Writer};

use crate::actor::wall_ms;

/// The record kind of an entry.
pub(crate) const ENTRY: u8 = 1;

/// After so many inputs the state is written again, so that a recording whose beginning was dropped can be folded.
const STATE_EVERY: u32 = 1_000;

/// Bytes of one segment, and of all: some days of a busy agent.
const SEGMENT_BYTES: u64 = 1 << 20;
const RETAIN_BYTES: u64 = 32 << 20;

/// Where a session's recording lies.
pub(crate) fn directory(session: &Path) -> PathBuf {
    session.join("inputs")
}

/// A recording under way.
#[derive(Debug)]
pub(super) struct Recorder {
    dir: PathBuf,
    writer: Option<Writer>,
    /// Inputs until the state is written again.
    left: u32,
    /// The session is forgotten: its directory must not come back.
    over: bool,
}

impl Recorder {
    /// Records into the directory of this session.
    pub(super) fn new(session: &Path) -> Self {
        Self { dir: directory(session), writer: None, left: 0, over: false }
    }

    /// An input is about to be reduced.
    pub(super) fn begins(&mut self, state: &Session, input: &Stamped<Input>) {
        if self.over {
            return;
        }
        if self.left == 0 {
            self.left = STATE_EVERY;
            self.write(&Entry::State(Box::new(state.clone())));
        }
        self.left = self.left.saturating_sub(1);
        self.write(&Entry::Input(input.clone()));
    }

    /// It was.
    pub(super) fn came(&mut self, state: &Session, effects: &Effects<Effect>) {
        if self.over {
            return;
        }
        self.write(&Entry::Came(Came::of(state, effects)));
        if effects.iter().any(|effect| matches!(effect, Effect::Forget)) {
            (self.over, self.writer) = (true, None);
        }
    }

    /// What cannot be recorded leaves a gap, and the state is written behind it: a recording never keeps a session from
    /// anything.
    fn write(&mut self, entry: &Entry<Session, Input>) {
        if let Err(reason) = self.try_write(entry) {
            tracing::warn!(dir = %self.dir.display(), reason, "an input could not be recorded");
            (self.writer, self.left) = (None, 0);
        }
    }

    fn try_write(&mut self, entry: &Entry<Session, Input>) -> Result<(), String> {
        let json = serde_json::to_vec(entry).map_err(|e| e.to_string())?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => {
                let options = Options {
                    segment_bytes: SEGMENT_BYTES,
                    retain_bytes: RETAIN_BYTES,
                    first: Point { ordinal: 1, position: 0 },
                    closing: Closing::Leave,
                };
                let (writer, _) = Writer::open(&self.dir, options).map_err(|e| e.to_string())?;
                empty.insert(writer)
            }
        };
        writer.append(ENTRY, 1, wall_ms(), &[&json]).map(drop).map_err(|e| e.to_string())
    }
}
