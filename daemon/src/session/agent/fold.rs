//! From the journal into a codec: everything a generation has written and was written to, in the order it happened.

use std::path::Path;

use delight_journal::{Error, Item, Reader, Record, find_last};
use delight_proto::agent::AgentEvent;
use delight_proto::holder::Exited;
use delight_proto::holder::journal::{Mark, kind};
use delight_proto::id::LocalId;
use tokio::sync::mpsc;

use super::reading::Reading;
use super::{Said, Subject};
use crate::adapters::codec::Codec;
use crate::policy::resolved_all;

/// What the journal holds of a generation has been read.
pub(super) struct Folded {
    pub(super) reading: Reading,
    /// How the runner ended, if the journal says so.
    pub(super) ended: Option<Exited>,
    /// Whether it has: a newer one is another proof.
    pub(super) over: bool,
}

/// Reads it, telling what lies behind `taken`; of what was written to the runner no more than `inputs` bytes. Blocks on the
/// disk, and while nobody takes what is told. `None`: nobody listens any more.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn fold(
    subject: &Subject,
    codec: Box<dyn Codec>,
    taken: u64,
    inputs: u64,
    to: &mpsc::Sender<Said>,
) -> Result<Option<Folded>, Error> {
    let dir = subject.journal();
    let generation = subject.generation;
    let began = find_last(
        &dir,
        |record| matches!(mark(record), Some(Mark::Started(up)) if up.generation == generation),
    )?;
    let mut reader = Reader::open(&dir);
    let (at, whole) = match began {
        Some(began) => {
            reader.seek_ordinal(began.ordinal + 1);
            (began.position, true)
        }
        None => (oldest(&dir)?, false),
    };
    let mut folded =
        Folded { reading: Reading::new(codec, generation, taken, at, whole), ended: None, over: false };
    while let Some(item) = reader.next_item()? {
        let record = match item {
            Item::Record(record) => record,
            Item::Gap { to, .. } | Item::Corrupt { to, .. } => {
                folded.reading.lose(to.position);
                continue;
            }
        };
        match record.kind {
            kind::OUTPUT => {
                for mut heard in folded.reading.output(record.position, record.payload) {
                    for event in &mut heard.events {
                        if let AgentEvent::Asked { ask } = event {
                            ask.paths = resolved_all(&subject.spec.cwd, &ask.paths);
                        }
                    }
                    for part in heard.parts() {
                        if to.blocking_send(Said::Heard(Box::new(part))).is_err() {
                            return Ok(None);
                        }
                    }
                }
            }
            kind::INPUT => {
                let left = usize::try_from(inputs - folded.reading.inputs()).unwrap_or(usize::MAX);
                folded.reading.input(&record.payload[..record.payload.len().min(left)]);
            }
            kind::LOST => folded.reading.lose(record.next().position),
            _ => match mark(&record) {
                Some(Mark::Exited(exited)) if exited.generation == generation => {
                    (folded.ended, folded.over) = (Some(exited), true);
                    break;
                }
                Some(Mark::Started(up)) if up.generation > generation => {
                    folded.over = true;
                    break;
                }
                _ => {}
            },
        }
    }
    Ok(Some(folded))
}

/// Which of the messages that nobody knows to be delivered the runner was given, now that it has ended: those whose lines
/// the journal shows, but for its last bytes that the runner never took. Empty where its end is not on record.
///
/// # Errors
/// The journal cannot be read.
pub(super) fn given(
    subject: &Subject,
    codec: Box<dyn Codec>,
    to: &mpsc::Sender<Said>,
) -> Result<Vec<LocalId>, Error> {
    let all = |codec, inputs| fold(subject, codec, u64::MAX, inputs, to);
    let Some(mut folded) = all(codec, u64::MAX)? else { return Ok(Vec::new()) };
    let Some(ended) = &folded.ended else { return Ok(Vec::new()) };
    if ended.unwritten > 0 {
        let written = folded.reading.inputs().saturating_sub(ended.unwritten);
        let Some(codec) = subject.codec() else { return Ok(Vec::new()) };
        let Some(again) = all(codec, written)? else { return Ok(Vec::new()) };
        folded = again;
    }
    let had = subject.queue.iter().filter(|message| folded.reading.has(message));
    Ok(had.map(|message| message.local_id.clone()).collect())
}

pub(super) fn mark(record: &Record<'_>) -> Option<Mark> {
    // A mark of a newer holder is for those who know it.
    (record.kind == kind::MARK).then(|| serde_json::from_slice(record.payload).ok()).flatten()
}

/// First offset still kept.
fn oldest(dir: &Path) -> Result<u64, Error> {
    Ok(match Reader::open(dir).next_item()? {
        Some(Item::Record(record)) => record.position,
        Some(Item::Gap { to, .. } | Item::Corrupt { to, .. }) => to.position,
        None => 0,
    })
}
