//! What Claude does in its own terminal program: its status file says what, its transcript what it said.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use delight_proto::agent::{Activity, AgentEvent, Source, TurnStatus};
use delight_proto::id::ConversationId;
use serde::Deserialize;

use super::files;
use super::transcript::Transcript;
use super::visits::{self, Visits};
use crate::adapters::Launch;
use crate::adapters::line_file::LineFile;
use crate::adapters::watching::{Look, Seen, Watched};

/// Largest status file read; real ones have some hundred bytes.
const STATUS_BYTES: u64 = 64 << 10;

/// Status files looked into for our conversation when Claude runs under another pid than the runner's (a wrapper).
const STATUS_FILES: usize = 512;

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    config: PathBuf,
    cwd: String,
    pid: u32,
    conversation: String,
    visits: Visits,
    /// Conversations it has gone to since, oldest first; each is read before the next.
    ahead: VecDeque<String>,
    /// The one the status file named when it was last looked at.
    named_by_status: Option<String>,
    /// How far its transcript has been taken in.
    taken: u64,
    file: Option<LineFile>,
    transcript: Transcript,
    activity: Option<Activity>,
    named: bool,
}

/// What Claude says of itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    session_id: String,
    #[serde(default)]
    status: Option<String>,
}

impl Watch {
    /// Of the runner of a launch. `session`: the session's own directory.
    pub(super) fn new(launch: &Launch<'_>, config: PathBuf, session: &Path, pid: u32) -> Self {
        Self {
            config,
            cwd: launch.spec.cwd.clone(),
            pid,
            conversation: super::conversation(launch),
            visits: Visits::new(visits::path(session), launch.memory),
            ahead: VecDeque::new(),
            named_by_status: None,
            taken: launch.memory.transcript.offset,
            file: None,
            transcript: Transcript { turn: launch.memory.turn.clone() },
            activity: None,
            named: false,
        }
    }

    fn status(&self) -> Option<Status> {
        let dir = files::status_dir(&self.config);
        let own = read_status(&dir.join(format!("{}.json", self.pid)));
        own.or_else(|| {
            let others = fs::read_dir(&dir).ok()?.flatten().take(STATUS_FILES);
            others.filter_map(|file| read_status(&file.path())).find(|s| s.session_id == self.conversation)
        })
    }

    /// Claude went to another conversation (`/clear`, `/resume`): another transcript, from its beginning. What the old one
    /// still had has been read before.
    fn follow(&mut self, conversation: String, look: &mut Look) {
        let moved = conversation != self.conversation;
        if moved {
            let events = self.transcript.over(TurnStatus::Cancelled);
            if !events.is_empty() {
                look.seen.push(Seen { source: Source::Status, offset: 0, events });
            }
            self.file = None;
            self.taken = 0;
            self.transcript = Transcript::default();
            self.conversation = conversation;
        }
        if (moved || !self.named)
            && let Ok(id) = ConversationId::try_from(self.conversation.clone())
        {
            self.named = true;
            look.seen.push(status_says(AgentEvent::Conversation { id }));
        }
    }

    /// Notes where Claude went since the last look.
    fn goes(&mut self, status: Option<&Status>) {
        self.ahead.extend(self.visits.next(&self.conversation));
        let Some(status) = status else { return };
        let now = &status.session_id;
        // Status and visits are written one after the other: what the status says alone counts once, and what the visits
        // have passed, or have only just left, is old.
        let said_before = self.named_by_status.as_ref() == Some(now);
        let is_old = self.ahead.contains(now) || (!self.ahead.is_empty() && self.conversation == *now);
        if !said_before && !is_old {
            self.ahead.push_back(now.clone());
        }
        self.named_by_status = Some(now.clone());
    }

    fn read(&mut self, look: &mut Look) {
        if self.file.is_none() {
            let found = files::transcript(&self.config, &self.cwd, &self.conversation);
            self.file = found.map(|path| LineFile::new(path, self.taken));
        }
        let Some(file) = &mut self.file else { return };
        look.read(file, |line| self.transcript.line(line));
    }

    fn places(&self) -> Vec<PathBuf> {
        let projects = self.config.join("projects");
        let of_file = self.file.as_ref().and_then(|file| file.path().parent()).map(Path::to_owned);
        let project = of_file.or_else(|| files::project_dir(&self.config, &self.cwd));
        let mut places = vec![self.config.clone(), files::status_dir(&self.config), projects];
        places.extend(project);
        places.retain(|place| place.is_dir());
        places
    }
}

impl Watched for Watch {
    fn look(&mut self) -> Look {
        let mut look = Look::default();
        // The status first, told last: what was said comes before "idle".
        let status = self.status();
        self.goes(status.as_ref());
        while !look.more {
            let Some(next) = self.ahead.front() else {
                self.read(&mut look);
                break;
            };
            if *next != self.conversation {
                self.read(&mut look);
            }
            if !look.more
                && let Some(next) = self.ahead.pop_front()
            {
                self.follow(next, &mut look);
            }
        }
        let activity = status.and_then(|status| match status.status.as_deref() {
            Some("idle") => Some(Activity::Idle),
            Some("busy") => Some(Activity::Working),
            Some("waiting") => Some(Activity::NeedsDecision),
            _ => None,
        });
        if let Some(activity) = activity.filter(|now| !look.more && self.activity != Some(*now)) {
            self.activity = Some(activity);
            look.seen.push(status_says(AgentEvent::Activity { activity }));
        }
        look.places = self.places();
        look
    }
}

fn status_says(event: AgentEvent) -> Seen {
    Seen { source: Source::Status, offset: 0, events: vec![event] }
}

fn read_status(path: &Path) -> Option<Status> {
    let small = fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= STATUS_BYTES);
    // Half written: the next look reads it whole.
    small.then(|| serde_json::from_slice(&fs::read(path).ok()?).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::recorded::{coherent, with_launch, words};
    use delight_proto::agent::AgentMemory;
    use std::io::Write;

    const TRANSCRIPT: &str = include_str!("../../../testdata/agents/claude-tui-transcript.jsonl");

    #[test]
    fn the_recorded_transcript_is_a_conversation() {
        let mut transcript = Transcript::default();
        let events: Vec<_> = TRANSCRIPT.lines().flat_map(|line| transcript.line(line.as_bytes())).collect();
        let words = words(&events);
        assert_eq!(words[..5], ["user:say hello", "turn{", "text:hello", "usage", "}completed"], "{words:?}");
        assert!(words.contains(&"}cancelled".to_owned()), "{words:?}");
        coherent(&events);
    }

    #[test]
    fn lines_of_remote_mode_are_left_out_and_rubbish_is_shown() {
        let mut transcript = Transcript::default();
        let remote = TRANSCRIPT.replace(r#""entrypoint":"cli""#, r#""entrypoint":"sdk-cli""#);
        assert!(remote.lines().all(|line| transcript.line(line.as_bytes()).is_empty()));
        assert_eq!(words(&transcript.line(b"{oops")), ["skipped:not JSON"]);
        assert!(transcript.line(br#"{"type":"something-new"}"#).is_empty());
    }

    /// A machine on which Claude runs as process 77.
    struct Machine {
        base: tempfile::TempDir,
        watch: Watch,
    }

    impl Machine {
        fn new(offset: u64) -> Self {
            let base = tempfile::tempdir().unwrap();
            fs::create_dir_all(base.path().join("sessions")).unwrap();
            fs::create_dir_all(base.path().join("projects/p")).unwrap();
            let memory = AgentMemory {
                conversation: Some("u-1".parse().unwrap()),
                transcript: delight_proto::agent::Mark { offset, index: 0 },
                ..AgentMemory::default()
            };
            let watch = with_launch("claude", &memory, |launch| {
                Watch::new(launch, base.path().to_owned(), base.path(), 77)
            });
            Self { base, watch }
        }

        fn says(&self, pid: u32, conversation: &str, status: &str) {
            let text =
                serde_json::json!({"pid": pid, "sessionId": conversation, "status": status}).to_string();
            fs::write(self.base.path().join(format!("sessions/{pid}.json")), text).unwrap();
        }

        fn writes(&self, conversation: &str, text: &str) {
            let path = self.base.path().join(format!("projects/p/{conversation}.jsonl"));
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn visits(&self, conversation: &str) {
            let path = visits::path(self.base.path());
            let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "{}", serde_json::json!({"session_id": conversation})).unwrap();
        }

        fn looks(&mut self) -> Vec<String> {
            let look = self.watch.look();
            assert!(look.places.contains(&self.base.path().join("sessions")));
            words(&look.seen.into_iter().flat_map(|seen| seen.events).collect::<Vec<_>>())
        }
    }

    fn typed(words: &str) -> String {
        format!(
            r#"{{"type":"user","uuid":"{words}","message":{{"role":"user","content":"{words}"}},"entrypoint":"cli"}}"#
        ) + "\n"
    }

    #[test]
    fn status_and_transcript_are_told_in_order_and_once() {
        let mut machine = Machine::new(0);
        assert!(machine.looks().is_empty());
        machine.says(77, "u-1", "idle");
        assert_eq!(machine.looks(), ["conversation", "idle"]);
        assert!(machine.looks().is_empty());
        machine.says(77, "u-1", "busy");
        machine.writes("u-1", &typed("hi"));
        assert_eq!(machine.looks(), ["user:hi", "turn{", "working"]);
        machine.says(77, "u-1", "waiting");
        assert_eq!(machine.looks(), ["needsdecision"]);
    }

    #[test]
    fn a_cleared_conversation_is_followed_to_its_new_transcript() {
        let mut machine = Machine::new(0);
        machine.writes("u-1", &typed("old"));
        machine.says(77, "u-1", "idle");
        assert_eq!(machine.looks(), ["conversation", "user:old", "turn{", "idle"]);
        // Said between two looks: the old transcript is read to its end, and its turn is over.
        machine.writes("u-1", &typed("late"));
        machine.says(77, "u-2", "idle");
        assert_eq!(machine.looks(), ["user:late", "}cancelled", "conversation"]);
        machine.writes("u-2", &typed("new"));
        assert_eq!(machine.looks(), ["user:new", "turn{"]);
    }

    #[test]
    fn a_conversation_cleared_while_no_daemon_looked_loses_nothing() {
        let line = typed("one");
        let mut machine = Machine::new(line.len() as u64);
        machine.writes("u-1", &line);
        machine.writes("u-1", &typed("two"));
        machine.writes("u-2", &typed("new"));
        machine.says(77, "u-2", "busy");
        assert_eq!(
            machine.looks(),
            ["user:two", "turn{", "}cancelled", "conversation", "user:new", "turn{", "working"]
        );
    }

    #[test]
    fn a_conversation_begun_and_left_while_no_daemon_looked_is_read() {
        let mut machine = Machine::new(0);
        machine.writes("u-1", &typed("one"));
        machine.writes("u-2", &typed("two"));
        machine.writes("u-3", &typed("three"));
        for conversation in ["u-1", "u-2", "u-3"] {
            machine.visits(conversation);
        }
        machine.says(77, "u-3", "idle");
        let middle = ["conversation", "user:two", "turn{", "}cancelled"];
        let words = machine.looks();
        assert_eq!(words[..3], ["user:one", "turn{", "}cancelled"], "{words:?}");
        assert_eq!(words[3..7], middle, "{words:?}");
        assert_eq!(words[7..], ["conversation", "user:three", "turn{", "idle"], "{words:?}");
        assert!(machine.looks().is_empty());
    }

    /// The status file and the visits are written by two processes, in any order.
    #[test]
    fn nobody_is_taken_back_by_what_is_written_late() {
        let mut machine = Machine::new(0);
        machine.visits("u-1");
        machine.says(77, "u-1", "idle");
        assert_eq!(machine.looks(), ["conversation", "idle"]);
        machine.visits("u-2");
        assert_eq!(machine.looks(), ["conversation"], "the status still names the first");
        machine.says(77, "u-2", "idle");
        assert!(machine.looks().is_empty());
        machine.says(77, "u-3", "idle");
        assert_eq!(machine.looks(), ["conversation"], "the status is first");
        machine.visits("u-3");
        assert!(machine.looks().is_empty());
        machine.visits("u-4");
        machine.visits("u-1");
        machine.says(77, "u-4", "idle");
        assert_eq!(machine.looks(), ["conversation", "conversation"]);
        machine.says(77, "u-1", "busy");
        assert_eq!(machine.looks(), ["working"]);
    }

    #[test]
    fn a_restarted_daemon_goes_on_behind_what_it_took_in() {
        let line = typed("one");
        let mut machine = Machine::new(line.len() as u64);
        machine.writes("u-1", &line);
        machine.writes("u-1", &typed("two"));
        assert_eq!(machine.looks(), ["user:two", "turn{"]);
    }

    #[test]
    fn claude_behind_a_wrapper_is_found_by_its_conversation() {
        let mut machine = Machine::new(0);
        machine.says(78, "other", "busy");
        assert!(machine.looks().is_empty());
        machine.says(79, "u-1", "busy");
        assert_eq!(machine.looks(), ["conversation", "working"]);
        fs::write(machine.base.path().join("sessions/77.json"), "{\"sess").unwrap();
        assert!(machine.looks().is_empty(), "a half written file is read again later");
    }
}
