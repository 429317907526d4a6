//! What Codex does in its own terminal program, from its rollout file.

use std::fs;
use std::path::{Path, PathBuf};

use delight_proto::agent::{AgentEvent, Source};
use delight_proto::id::ConversationId;

use super::files;
use super::rollout;
use crate::adapters::Launch;
use crate::adapters::line_file::LineFile;
use crate::adapters::watching::{Look, Seen, Watched};
use crate::process::identity;

/// Descriptors of the process looked at; Codex has some sixty.
const DESCRIPTORS: usize = 4_096;

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    home: PathBuf,
    pid: u32,
    conversation: Option<String>,
    taken: u64,
    /// What was written before this time (seconds since 1970), a remote runner of the session has told; none: there was
    /// none, and all of it is news.
    known_before: Option<i64>,
    file: Option<LineFile>,
    named: bool,
}

impl Watch {
    /// Of the runner of a launch, which began at `started` (seconds since 1970).
    pub(super) fn new(launch: &Launch<'_>, home: PathBuf, pid: u32, started: Option<i64>) -> Self {
        let remote_before = launch.memory.stream.offset > 0;
        Self {
            home,
            pid,
            conversation: launch.memory.conversation.as_ref().map(|id| id.as_str().to_owned()),
            taken: launch.memory.transcript.offset,
            known_before: started.filter(|_| remote_before),
            file: None,
            named: false,
        }
    }

    /// The conversation the process holds open. It locks one from its start; the rollout file comes with the first turn.
    fn held(&self) -> Option<String> {
        let open = identity::open_files(self.pid).ok()?.take(DESCRIPTORS);
        let ours = open.filter(|file| file.starts_with(&self.home));
        ours.filter_map(|file| locked(&file).or_else(|| files::conversation_of(&file).map(str::to_owned)))
            .next()
    }

    fn follow(&mut self, conversation: String, look: &mut Look) {
        let moved = self.conversation.as_ref() != Some(&conversation);
        if moved {
            // Of a session that had one, another conversation is new from its beginning.
            if self.conversation.is_some() {
                (self.taken, self.known_before) = (0, None);
            }
            self.file = None;
            self.conversation = Some(conversation.clone());
        }
        if (moved || !self.named)
            && let Ok(id) = ConversationId::try_from(conversation)
        {
            self.named = true;
            look.seen.push(Seen {
                source: Source::Status,
                offset: 0,
                events: vec![AgentEvent::Conversation { id }],
            });
        }
    }

    fn read(&mut self, look: &mut Look) {
        if let (None, Some(conversation)) = (&self.file, &self.conversation) {
            let found = files::rollout(&self.home, conversation);
            self.file = found.map(|path| LineFile::new(path, self.taken));
        }
        let Some(file) = &mut self.file else { return };
        let before = self.known_before;
        look.read(file, |line| {
            let told = rollout::line(line);
            let known = before.is_some_and(|before| told.at.is_some_and(|at| at < before));
            if known { Vec::new() } else { told.events }
        });
    }

    /// The directories on the way to the newest day, and that of the locks.
    fn places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.home.clone(), self.home.join("thread-writer-locks")];
        let mut dir = self.home.join("sessions");
        for _ in 0..4 {
            places.push(dir.clone());
            let newest = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path()).max();
            match newest.filter(|path| path.is_dir()) {
                Some(newest) => dir = newest,
                None => break,
            }
        }
        places.extend(self.file.as_ref().and_then(|file| file.path().parent()).map(Path::to_owned));
        places.retain(|place| place.is_dir());
        places
    }
}

/// The conversation of a lock file: `thread-writer-locks/UUID.lock`.
fn locked(file: &Path) -> Option<String> {
    let dir = file.parent()?.file_name()?;
    let id = file.file_name()?.to_str()?.strip_suffix(".lock")?;
    let is_id = id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    (dir == "thread-writer-locks" && is_id).then(|| id.to_owned())
}

impl Watched for Watch {
    fn look(&mut self) -> Look {
        let mut look = Look::default();
        let conversation = self.held().or_else(|| self.conversation.clone());
        if let Some(conversation) = conversation {
            self.follow(conversation, &mut look);
        }
        self.read(&mut look);
        look.places = self.places();
        look
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::recorded::{with_launch, words};
    use delight_proto::agent::{AgentMemory, Mark};

    const ROLLOUT: &str = include_str!("../../../testdata/agents/codex-rollout.jsonl");
    const ID: &str = "01a1fd18-c880-7732-b467-8eaf207aa9d2";

    fn looks(watch: &mut Watch) -> Vec<String> {
        words(&watch.look().seen.into_iter().flat_map(|seen| seen.events).collect::<Vec<_>>())
    }

    /// This test is the process that holds the conversation open.
    fn watch(home: &Path, memory: &AgentMemory, started: Option<i64>) -> Watch {
        with_launch("codex", memory, |launch| {
            Watch::new(launch, home.to_owned(), std::process::id(), started)
        })
    }

    #[test]
    fn the_conversation_is_the_one_the_process_holds() {
        let base = tempfile::tempdir().unwrap();
        let home = base.path().canonicalize().unwrap();
        let mut watch = watch(&home, &AgentMemory::default(), Some(1));
        assert!(looks(&mut watch).is_empty());
        fs::create_dir(home.join("thread-writer-locks")).unwrap();
        let _lock = fs::File::create(home.join("thread-writer-locks").join(format!("{ID}.lock"))).unwrap();
        assert_eq!(looks(&mut watch), ["conversation"]);
        let day = home.join("sessions/2026/11/21");
        fs::create_dir_all(&day).unwrap();
        fs::write(day.join(format!("rollout-2026-11-21T07-53-42-{ID}.jsonl")), ROLLOUT).unwrap();
        let told = looks(&mut watch);
        assert_eq!(told, ["turn{", "working", "user:say one", "text:one", "usage", "}completed", "idle"]);
        assert!(looks(&mut watch).is_empty());
        assert!(watch.places().contains(&day));
    }

    #[test]
    fn what_a_remote_runner_told_is_left_out() {
        let base = tempfile::tempdir().unwrap();
        let day = base.path().join("sessions/2026/11/21");
        fs::create_dir_all(&day).unwrap();
        fs::write(day.join(format!("rollout-2026-11-21T07-53-42-{ID}.jsonl")), ROLLOUT).unwrap();
        let memory = AgentMemory {
            conversation: Some(ID.parse().unwrap()),
            stream: Mark { offset: 9, index: 0 },
            ..AgentMemory::default()
        };
        let written = 1_795_247_622;
        assert_eq!(looks(&mut watch(base.path(), &memory, Some(written + 60))), ["conversation"]);
        assert!(looks(&mut watch(base.path(), &memory, Some(written))).len() > 5);
    }
}
