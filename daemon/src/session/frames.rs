//! What a holder says, as the core hears it.

use delight_core::session::{Happening, Runner};
use delight_proto::holder::FromHolder;
use delight_proto::refusal::{Code, Refusal};

use super::SessionBody;
use super::agent::OWN_TAG;
use crate::process::adopt::ended;

impl SessionBody {
    /// The happening a frame stands for, if it is one.
    pub(super) fn heard(&mut self, frame: FromHolder) -> Option<Happening> {
        Some(match frame {
            FromHolder::Started(up) => Happening::RunnerUp {
                runner: Runner { generation: up.generation, pid: up.process.pid },
                offset: up.offset,
            },
            FromHolder::StartFailed(failed) => {
                Happening::RunnerFailed { generation: failed.generation, refusal: failed.refusal }
            }
            FromHolder::Exited(exited) => Happening::RunnerExited(ended(&exited)),
            FromHolder::TreeGone { generation } => Happening::TreeGone { generation },
            FromHolder::InputDone { tag } => return self.piece(tag, None),
            FromHolder::InputFailed { tag, refusal } => return self.piece(tag, Some(refusal)),
            FromHolder::Resized(_) => Happening::TagDone { tag: self.resizes.pop_front()? },
            FromHolder::Control(change) => Happening::Control { by: change.by },
            FromHolder::Trouble(trouble) => Happening::Trouble { troubles: trouble.troubles },
            FromHolder::Refused(refusal) => return self.refused(refusal),
            FromHolder::Welcome(_)
            | FromHolder::Output { .. }
            | FromHolder::Screen { .. }
            | FromHolder::Lost { .. } => return None,
        })
    }

    /// The holder has answered one frame of a write: the last answer is the write's, and one refusal refuses all.
    fn piece(&mut self, tag: u64, refusal: Option<Refusal>) -> Option<Happening> {
        let refusal = match self.pieces.get_mut(&tag) {
            None => refusal,
            Some(pieces) => {
                pieces.left -= 1;
                pieces.refusal = pieces.refusal.take().or(refusal);
                if pieces.left > 0 {
                    return None;
                }
                self.pieces.remove(&tag)?.refusal
            }
        };
        if refusal.as_ref().is_some_and(|refusal| refusal.code == Code::Busy) {
            // The runner does not read. What its reader believes to be written is not, or in part.
            self.agent.again();
        }
        if tag & OWN_TAG != 0 {
            return None;
        }
        Some(match refusal {
            None => Happening::TagDone { tag },
            Some(refusal) => Happening::TagFailed { tag, refusal },
        })
    }

    /// A refusal without a number answers the oldest resize under way. Nothing else the daemon asks is refused, unless
    /// it is too late anyhow (a signal for a tree that is gone, a close beside a start).
    fn refused(&mut self, refusal: Refusal) -> Option<Happening> {
        match self.resizes.pop_front() {
            Some(tag) => Some(Happening::TagFailed { tag, refusal }),
            None => {
                tracing::warn!(session = %self.id, %refusal, "the holder refused");
                None
            }
        }
    }
}
