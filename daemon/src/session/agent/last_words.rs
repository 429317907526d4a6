//! What a runner that failed wrote to its standard error last: the best reason there is.

use std::path::Path;

use delight_journal::find_last;
use delight_proto::agent::{AgentEvent, AgentRecord, RecordBody};
use delight_proto::holder::Exited;
use delight_proto::holder::journal::{Mark, kind};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;
use nix::libc::{SIGHUP, SIGINT, SIGKILL, SIGTERM};

use super::fold::mark;

/// Lines and bytes of it that are told: what fits a screen beside the rest.
const LINES: usize = 5;
const BYTES: usize = 1_000;

/// What there is to tell of a runner's end beside the end itself. Blocks on the disk.
pub(super) fn of(journal: &Path, exited: &Exited, was_ready: bool) -> Option<AgentEvent> {
    let failed = match exited.exit {
        Exit::Code(code) => code != 0,
        // Whoever sent one of these meant it.
        Exit::Signal(signal) => ![SIGHUP, SIGINT, SIGKILL, SIGTERM].contains(&signal),
    };
    if !failed {
        return None;
    }
    let said = tail(journal, exited.generation);
    let event = if was_ready {
        AgentEvent::Record {
            record: AgentRecord {
                key: Some(format!("stderr-{}", exited.generation)),
                parent: None,
                body: RecordBody::Error { message: said?, retrying: false },
            },
        }
    } else {
        let reason = match said {
            Some(said) => format!("it ended with {} and said: {said}", exited.exit),
            None => format!("it ended with {} and said nothing", exited.exit),
        };
        AgentEvent::Unable {
            refusal: Refusal::new(Code::StartFailed, "the agent could not be started", reason)
                .fix("run it by hand in that directory to see more: delightctl logs has all it printed"),
        }
    };
    Some(event)
}

/// The last lines of a generation's standard error, if it wrote there.
fn tail(journal: &Path, generation: u64) -> Option<String> {
    let mut last = Vec::new();
    let found = find_last(journal, |record| {
        match record.kind {
            kind::STDERR => {
                last.extend_from_slice(record.payload);
                // Twice as much as is told, so that cutting is rare.
                if last.len() > 4 * BYTES {
                    last.drain(..last.len() - 2 * BYTES);
                }
            }
            _ => match mark(record) {
                Some(Mark::Started(up)) => {
                    // What an earlier one said, in the same segment.
                    if up.generation <= generation {
                        last.clear();
                    }
                }
                _ => return false,
            },
        }
        true
    });
    if let Err(e) = found {
        tracing::warn!(error = %e, "what a runner said last cannot be read");
    }
    let text = String::from_utf8_lossy(&last);
    let plain = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<String> = text.lines().map(plain).filter(|line| !line.trim().is_empty()).collect();
    let kept = lines[lines.len().saturating_sub(LINES)..].join(" / ");
    let cut = kept.char_indices().rev().nth(BYTES).map_or(0, |(at, _)| at);
    Some(kept[cut..].to_owned()).filter(|kept| !kept.is_empty())
}
