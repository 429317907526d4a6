//! The same request for several sessions: asked all at once, told one by one.

use delight_proto::api::method::{Empty, Method, SessionList};
use delight_proto::refusal::Refusal;
use delight_proto::session::SessionView;
use serde::Serialize;

use crate::connection::Connection;
use crate::context::Context;
use crate::failure::{Failure, usage};
use crate::output::note;

/// Requests under way at once: enough to keep the daemon busy, far below what it allows a connection.
const TOGETHER: usize = 64;

/// How it went: what `--json` prints.
#[derive(Serialize)]
pub(crate) struct Outcome<T> {
    /// Sessions for which it was done.
    sessions: Vec<T>,
    /// Sessions for which it was not.
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Refused {
    session: String,
    error: Refusal,
}

/// The sessions named, or with `all` every one that `wanted` picks. Naming none without `all` is a mistake.
///
/// # Errors
/// Both or neither; a list that cannot be had.
pub(crate) fn select(
    daemon: &mut Connection,
    named: &[String],
    all: bool,
    wanted: impl Fn(&SessionView) -> bool,
) -> Result<Vec<String>, Failure> {
    match (all, named) {
        (false, []) => {
            Err(usage("no session is named", "the command needs one", "name a session, or say --all"))
        }
        (false, named) => Ok(named.to_vec()),
        (true, _) => {
            let list = daemon.call::<SessionList>(&Empty {})?;
            Ok(list.sessions.iter().filter(|view| wanted(view)).map(|view| view.id.to_string()).collect())
        }
    }
}

/// Asks for each session and tells the results: `told` in people's words, all in one document with `--json`. The
/// exit status is that of the first refusal.
///
/// # Errors
/// The connection broke; or, after everything was told, [`Failure::Told`].
pub(crate) fn each<M: Method>(
    context: &Context,
    daemon: &mut Connection,
    sessions: &[String],
    params: impl Fn(&str) -> M::Params,
    told: impl Fn(&M::Result) -> String,
    last: &str,
) -> Result<u8, Failure> {
    let mut outcome = Outcome { sessions: Vec::new(), refused: Vec::new() };
    let mut words = String::new();
    for group in sessions.chunks(TOGETHER) {
        let mut numbers = Vec::with_capacity(group.len());
        for session in group {
            numbers.push(daemon.request::<M>(&params(session))?);
        }
        for (session, number) in group.iter().zip(numbers) {
            match daemon.answer::<M>(number) {
                Ok(result) => {
                    words += &told(&result);
                    words.push('\n');
                    outcome.sessions.push(result);
                }
                Err(Failure::Refused(refusal)) if !refusal.retry => {
                    outcome.refused.push(Refused { session: session.clone(), error: *refusal });
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    if sessions.is_empty() {
        words += "nothing to do: no session fits\n";
    }
    if !last.is_empty() && !outcome.sessions.is_empty() {
        words += &format!("next: {last}\n");
    }
    // A single refusal is told as for any other command.
    if let (1, [Refused { error, .. }]) = (sessions.len(), outcome.refused.as_slice()) {
        return Err(error.clone().into());
    }
    context.out.result(&outcome, || words)?;
    for refused in &outcome.refused {
        let Refusal { what, reason, fix, .. } = &refused.error;
        let lines = format!("delightctl: {}: {what}\nwhy: {reason}\nfix: {fix}", refused.session);
        note(&(lines.lines().map(crate::text::visible).collect::<Vec<_>>().join("\n") + "\n"));
    }
    match outcome.refused.first() {
        Some(refused) => Err(Failure::Told(refused.error.code.exit_status())),
        None => Ok(0),
    }
}
