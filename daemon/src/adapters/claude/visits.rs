//! Which conversations Claude's terminal program goes to, one after the other. A hook of Claude's (`SessionStart`: started,
//! resumed, cleared) writes each down, whether or not a daemon is there to see: the status file names the present one alone,
//! so without it a conversation that was begun and left while no daemon ran would never be read.
//!
//! What is written there is Claude's word and no proof: any process of the owner's can write it. It decides which
//! transcripts are read, as the status file does, and nothing else.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use delight_proto::agent::AgentMemory;
use delight_proto::agent::bounds::LEFT;
use delight_proto::id::ConversationId;
use serde::Deserialize;
use serde_json::json;

/// Bytes read at once, from the end: the hook writes some 400 for each.
const READ: u64 = 64 << 10;

/// Where a session's are written down.
pub(super) fn path(session: &Path) -> PathBuf {
    session.join("visits.jsonl")
}

/// Settings for Claude with a hook that writes visits down at `path`. They are laid over the owner's own, and his hooks run
/// as before.
pub(super) fn settings(path: &Path) -> String {
    let quoted = path.display().to_string().replace('\'', r"'\''");
    // One write a visit, and a mark of its end should Claude leave that out.
    let command = format!("visit=$(cat) && printf '%s\\n' \"$visit\" >> '{quoted}'");
    json!({"hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": command}]}]}}).to_string()
}

/// What Claude tells the hook.
#[derive(Debug, Deserialize)]
struct Visit {
    session_id: ConversationId,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Visits {
    path: PathBuf,
    /// How far it was read; none: not at all.
    read: Option<u64>,
    /// Conversations that were left and are known; none: there may have been more.
    known: Option<Vec<String>>,
}

impl Visits {
    /// Of a session of which this much is remembered.
    pub(super) fn new(path: PathBuf, memory: &AgentMemory) -> Self {
        let left = memory.left.iter().map(|left| left.conversation.as_str().to_owned()).collect::<Vec<_>>();
        Self { path, read: None, known: (left.len() < LEFT).then_some(left) }
    }

    /// Where Claude went since it was asked last, or since it was in the `present` conversation, in order. Once: also what it
    /// went to before that and is not known to have been seen.
    pub(super) fn next(&mut self, present: &str) -> Vec<String> {
        let first = self.read.is_none();
        // Not there, or not to be read: the status file is all there is.
        let Some(text) = self.news() else { return Vec::new() };
        let visits = text.lines().filter_map(|line| serde_json::from_str::<Visit>(line).ok());
        let visits: Vec<String> = visits.map(|visit| visit.session_id.as_str().to_owned()).collect();
        if !first {
            return visits;
        }
        let at = visits.iter().rposition(|visit| visit == present);
        let mut unseen: Vec<String> = Vec::new();
        if let Some(known) = self.known.take() {
            for visit in &visits[..at.unwrap_or(visits.len())] {
                if visit != present && !known.contains(visit) && !unseen.contains(visit) {
                    unseen.push(visit.clone());
                }
            }
        }
        // From there to where it is now.
        if let Some(at) = at {
            unseen.extend_from_slice(&visits[at + usize::from(unseen.is_empty())..]);
        }
        unseen
    }

    /// The whole lines that are new.
    fn news(&mut self) -> Option<String> {
        let mut file = File::open(&self.path).ok()?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        let from = self.read.unwrap_or(0).min(length).max(length.saturating_sub(READ));
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(READ).read_to_end(&mut bytes).ok()?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read = Some(from + whole as u64);
        Some(String::from_utf8_lossy(&bytes[..whole]).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::agent::{Left, Mark};
    use std::process::{Command, Stdio};

    fn memory(left: &[&str]) -> AgentMemory {
        let left =
            left.iter().map(|id| Left { conversation: id.parse().unwrap(), transcript: Mark::default() });
        AgentMemory { left: left.collect(), ..AgentMemory::default() }
    }

    /// Has the hook of the settings write these down, as Claude does.
    fn went(path: &Path, to: &[&str]) {
        let settings: serde_json::Value = serde_json::from_str(&settings(path)).unwrap();
        let command = settings["hooks"]["SessionStart"][0]["hooks"][0]["command"].as_str().unwrap();
        for id in to {
            let mut hook = Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).spawn().unwrap();
            let told =
                json!({"session_id": id, "hook_event_name": "SessionStart", "source": "it's \"clear\""});
            serde_json::to_writer(hook.stdin.take().unwrap(), &told).unwrap();
            assert!(hook.wait().unwrap().success());
        }
    }

    #[test]
    fn the_hook_writes_each_down_and_each_is_told_once() {
        let base = tempfile::tempdir().unwrap();
        let path = path(&base.path().join("it's"));
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let mut visits = Visits::new(path.clone(), &memory(&[]));
        assert!(visits.next("u-1").is_empty(), "nothing is written yet");
        went(&path, &["u-1"]);
        assert!(visits.next("u-1").is_empty());
        went(&path, &["u-2", "u-3"]);
        assert_eq!(visits.next("u-1"), ["u-2", "u-3"]);
        assert!(visits.next("u-3").is_empty());
    }

    #[test]
    fn a_new_daemon_is_told_what_came_after_what_it_knows() {
        let base = tempfile::tempdir().unwrap();
        let path = path(base.path());
        went(&path, &["u-1", "u-2", "u-3", "u-2", "u-4"]);
        let next = |left: &[&str], present| Visits::new(path.clone(), &memory(left)).next(present);
        assert_eq!(next(&[], "u-1"), ["u-2", "u-3", "u-2", "u-4"]);
        assert_eq!(next(&["u-1", "u-2", "u-3"], "u-2"), ["u-4"]);
        assert_eq!(next(&["u-1"], "u-2"), ["u-3", "u-2", "u-4"], "it went there and came back unseen");
        assert_eq!(next(&["u-1", "u-2", "u-3"], "u-4"), [""; 0]);
        let many: Vec<String> = (0..LEFT).map(|n| format!("m-{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(next(&many, "u-1"), ["u-2", "u-3", "u-2", "u-4"]);
        assert_eq!(next(&many, "u-4"), [""; 0], "others were left before, and nobody knows which");
    }

    #[test]
    fn what_is_no_visit_is_passed_over() {
        let base = tempfile::tempdir().unwrap();
        let path = path(base.path());
        let rubbish = "x".repeat(100 << 10);
        std::fs::write(
            &path,
            format!("{{\"session_id\":\"old\"}}\n{rubbish}\n{{}}\n\n{{\"session_id\":\"u-2\"}}\n{{\"sess"),
        )
        .unwrap();
        let mut visits = Visits::new(path, &memory(&[]));
        assert_eq!(visits.next("u-1"), ["u-2"]);
        assert!(visits.next("u-2").is_empty());
    }
}
