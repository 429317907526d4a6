//! Starting and resuming sessions on a machine: one request, however often it has to be asked.

use std::time::{Duration, Instant};

use delight_proto::sync::bounded::{Id, Path};
use delight_proto::sync::rpc::{MachineRequest, ResumeRequest, SpawnRequest, SpawnResult};
use tokio::time::sleep;

use crate::calls::{Caller, Question, Target, read_answer};
use crate::dispatcher::Reply;
use crate::error::{Error, Kind};
use crate::fresh;
use crate::state::State;

/// How long starting may take in all: twice what a server gives one call.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// Between two questions about a session that is not there yet.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What became of a spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spawn {
    /// It runs, and the server knows it by this id.
    Started(Id),
    /// The directory is missing. Ask its owner, then send `request` again: it is the same with the approval in it, and the
    /// same key.
    NeedsApproval {
        /// The directory, as it would be made.
        directory: Path,
        /// The request to send when it may be made.
        request: Box<SpawnRequest>,
    },
}

impl State {
    /// Starts a session. The request is given a key if it has none, so that it may be repeated without a second session.
    pub(crate) fn spawn(&mut self, machine: Id, mut request: SpawnRequest, reply: Reply<Spawn>) {
        if let Err(error) = keyed(&mut request.client_request_id) {
            return reply.send(Err(error));
        }
        request.machine_id.get_or_insert_with(|| machine.clone());
        let wire = MachineRequest::Spawn(Box::new(request.clone()));
        self.start(machine, &wire, Some(request), reply);
    }

    /// Starts an ended session again.
    pub(crate) fn resume(&mut self, machine: Id, mut request: ResumeRequest, reply: Reply<Spawn>) {
        match keyed(&mut request.client_request_id) {
            Ok(()) => self.start(machine, &MachineRequest::Resume(request), None, reply),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn start(
        &mut self,
        machine: Id,
        wire: &MachineRequest,
        spawn: Option<SpawnRequest>,
        reply: Reply<Spawn>,
    ) {
        let target = Target::Machine(machine);
        let prepared =
            wire.params().map_err(Error::from).and_then(|params| Ok((params, self.caller(&target)?)));
        match prepared {
            Err(error) => reply.send(Err(error)),
            Ok((params, caller)) => {
                let question =
                    Question { target, method: wire.method(), params, limit: LIMIT, repeatable: true };
                self.in_flight += 1;
                self.effects.run(
                    async move { started(&caller, question).await },
                    move |state, answer: Result<SpawnResult, Error>| {
                        state.in_flight -= 1;
                        reply.send(answer.and_then(|result| outcome(result, spawn)));
                    },
                );
            }
        }
    }
}

fn keyed(key: &mut Option<Id>) -> Result<(), Error> {
    if key.is_none() {
        *key = Some(Id::cut(fresh::token()?));
    }
    Ok(())
}

/// Asks until there is an answer that is more than "not yet".
async fn started(caller: &Caller, mut question: Question) -> Result<SpawnResult, Error> {
    let begun = Instant::now();
    loop {
        question.limit = LIMIT.saturating_sub(begun.elapsed());
        let answer = caller.ask(&question).await?;
        let SpawnResult::Pending(pending) = read_answer("starting a session", &answer)? else {
            return read_answer("starting a session", &answer);
        };
        let wait = Duration::from_millis(pending.retry_after_ms).clamp(ASK_AGAIN.0, ASK_AGAIN.1);
        if begun.elapsed() + wait >= LIMIT {
            let reason = format!("the machine was not done within {LIMIT:?}");
            return Err(Error::new(Kind::TimedOut, "starting a session", reason)
                .perhaps_done()
                .fix("list the machine's sessions, or ask again with the same request id"));
        }
        sleep(wait).await;
    }
}

fn outcome(result: SpawnResult, spawn: Option<SpawnRequest>) -> Result<Spawn, Error> {
    match (result, spawn) {
        (SpawnResult::Success(done), _) => Ok(Spawn::Started(done.session_id)),
        (SpawnResult::RequestToApproveDirectoryCreation(missing), Some(mut request)) => {
            request.approved_new_directory_creation = Some(true);
            Ok(Spawn::NeedsApproval { directory: missing.directory, request: Box::new(request) })
        }
        (result, _) => {
            let reason = format!(
                "an answer of kind {:?} is none to this",
                result.kind().chars().take(40).collect::<String>()
            );
            Err(Error::new(Kind::BadAnswer, "starting a session", reason).perhaps_done())
        }
    }
}
