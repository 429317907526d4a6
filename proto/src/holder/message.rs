//! What the frames say.

use serde::{Deserialize, Serialize};

use crate::id::{ProcessIdentity, SessionId};
use crate::refusal::Refusal;
use crate::session::{Exit, Size};

/// Where a client wants to begin, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attach {
    /// No output at all: the daemon's control connection, or a probe. Displaces nobody.
    Nothing,
    /// The present screen, then everything after it.
    Screen,
    /// Output from this offset on. What is no longer there is told as a `Lost` frame.
    Offset(u64),
}

/// First frame of every client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Highest protocol version the client speaks.
    pub version: u16,
    /// Who it is, for people: `delightd`, `delightctl attach`.
    pub client: String,
    /// Where it wants to begin.
    pub attach: Attach,
    /// Whether it wants to type and to set the size. Granted if nobody controls or `take` is set.
    #[serde(default)]
    pub control: bool,
    /// Take control from whoever has it; they go on as viewers and are told.
    #[serde(default)]
    pub take: bool,
    /// Whether it is the daemon: may start, signal and close. The holder serves one daemon; the newest wins.
    #[serde(default)]
    pub daemon: bool,
    /// The client's terminal size; used when it controls.
    #[serde(default)]
    pub size: Option<Size>,
}

/// The holder's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Highest protocol version the holder speaks.
    pub version: u16,
    /// The session it holds.
    pub session: SessionId,
    /// The holder process.
    pub process: ProcessIdentity,
    /// The newest generation, 0 before the first.
    pub generation: u64,
    /// The runner, while it is alive.
    #[serde(default)]
    pub runner: Option<Started>,
    /// How the newest runner ended, if it has.
    #[serde(default)]
    pub exited: Option<Exited>,
    /// Present terminal size.
    pub size: Size,
    /// First output offset still kept.
    pub start_offset: u64,
    /// Output offset of the next byte.
    pub end_offset: u64,
    /// Whether this client controls.
    pub control: bool,
    /// Present troubles, in words for the owner.
    #[serde(default)]
    pub troubles: Vec<String>,
}

/// How a runner's standard streams are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stdio {
    /// One pseudo-terminal for all three.
    Pty,
    /// Pipes: input to stdin, stdout to the journal; stderr is journaled apart and never mixed into the output.
    Pipes,
}

/// Starts a runner. Only the daemon may, and only when none is alive.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Number of this runner; must exceed every earlier one.
    pub generation: u64,
    /// Program and arguments; at least one. A program without `/` is looked up in `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Absolute working directory.
    pub cwd: String,
    /// Streams.
    pub stdio: Stdio,
    /// Terminal size at start.
    pub size: Size,
    /// Whether the holder stays when the runner and its tree have ended, for the next generation.
    pub keep: bool,
}

/// An environment can hold secrets: only its names are ever printed.
impl std::fmt::Debug for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Start")
            .field("generation", &self.generation)
            .field("argv", &self.argv.first())
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("cwd", &self.cwd)
            .field("stdio", &self.stdio)
            .field("size", &self.size)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// A runner is up: its program has been executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its generation.
    pub generation: u64,
    /// The process.
    pub process: ProcessIdentity,
    /// Output offset at its start.
    pub offset: u64,
    /// Whether it speaks a protocol on pipes: nothing of it is for terminals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub piped: bool,
}

/// A runner could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailed {
    /// The generation that failed.
    pub generation: u64,
    /// What, why, fix.
    pub refusal: Refusal,
}

/// A runner ended and everything it wrote is in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Its generation.
    pub generation: u64,
    /// How it ended, from `waitpid`.
    pub exit: Exit,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Output offset after its last byte.
    pub offset: u64,
    /// Descendants still alive. When it is not 0 a [`FromHolder::TreeGone`] follows once they are gone.
    pub survivors: u32,
    /// Bytes at the end of its input that are in the journal and were never written to it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unwritten: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Something is wrong, or is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// All present troubles, in words for the owner; empty when all is well again.
    pub troubles: Vec<String>,
}

/// Who controls changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlChange {
    /// Whether it is the client that reads this.
    pub you: bool,
    /// The controlling client's name for itself; `None` when nobody controls.
    pub by: Option<String>,
}

/// Frames from a client to the holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToHolder {
    /// Who I am. First, and once.
    Hello(Hello),
    /// Start a runner (daemon only).
    Start(Box<Start>),
    /// Make everything ready for this start, short of executing its program (daemon only). A hint: nothing answers it, a
    /// `Start` that says the same is quicker, and one that says something else is as if nothing had been prepared.
    Prepare(Box<Start>),
    /// Bytes for the runner; `tag` ≠ 0 asks for [`FromHolder::InputDone`] once all of them are written to it.
    /// The controller and the daemon may send it.
    Input {
        /// The caller's number for it, or 0.
        tag: u64,
        /// At most [`super::frame::MAX_DATA`].
        bytes: Vec<u8>,
    },
    /// The controller's terminal has this size now.
    Resize(Size),
    /// Signal the runner's whole process tree (daemon only). Answered by `TreeGone` once nothing of it is alive.
    SignalTree {
        /// Signal number.
        signal: i32,
    },
    /// Take control.
    TakeControl,
    /// Give control up.
    ReleaseControl,
    /// End the holder (daemon only). Refused while anything of the tree is alive.
    Close,
}

/// Frames from the holder to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromHolder {
    /// Answer to `Hello`.
    Welcome(Welcome),
    /// A runner is up.
    Started(Started),
    /// A runner could not be started.
    StartFailed(StartFailed),
    /// A runner ended.
    Exited(Exited),
    /// Nothing of the tree is alive any more.
    TreeGone {
        /// Generation.
        generation: u64,
    },
    /// Output.
    Output {
        /// Offset of the first byte.
        offset: u64,
        /// At most [`super::frame::MAX_DATA`].
        bytes: Vec<u8>,
    },
    /// Bytes that make a freshly reset terminal look like the session's; live output follows from `offset`.
    Screen {
        /// Offset up to which output is in the picture.
        offset: u64,
        /// Size it was drawn for.
        size: Size,
        /// Another `Screen` frame continues it.
        more: bool,
        /// At most [`super::frame::MAX_DATA`].
        bytes: Vec<u8>,
    },
    /// Output `from..to` cannot be had (retention, or a full disk while it was written).
    Lost {
        /// First lost offset.
        from: u64,
        /// First offset that can be had.
        to: u64,
    },
    /// The terminal's size changed.
    Resized(Size),
    /// The input with this tag has been written to the runner.
    InputDone {
        /// The caller's number.
        tag: u64,
    },
    /// The input with this tag will never be written whole.
    InputFailed {
        /// The caller's number.
        tag: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Control changed hands.
    Control(ControlChange),
    /// Troubles changed.
    Trouble(Trouble),
    /// The last request was refused; the connection stays.
    Refused(Refusal),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_is_never_printed() {
        let start = Start {
            generation: 1,
            argv: vec!["run".into(), "--token=canary-argument".into()],
            env: vec![("TOKEN".into(), "canary-value".into())],
            cwd: "/".into(),
            stdio: Stdio::Pty,
            size: Size::default(),
            keep: false,
        };
        let text = format!("{start:?}");
        assert!(text.contains("TOKEN") && !text.contains("canary"), "{text}");
    }
}
