//! Waiting for a phase, for callers who may leave without a word.

use std::future::Future;
use std::time::Duration;

use delight_core::session::Command;
use delight_proto::api::method::WaitParams;
use delight_proto::refusal::{Code, Refusal};
use tokio::time::Instant;

use super::call::{Answer, mismatch};
use super::request::raw;
use crate::actor::Told;

/// A session remembers a bounded number of waiters and cannot know that one has hung up. So a wait is asked for anew
/// after this long: what a caller who left has taken is free again then.
const ASK_AGAIN: Duration = if cfg!(test) { Duration::from_secs(1) } else { Duration::from_secs(30) };

/// Waits until the session is in one of the phases, or for as long as the caller wants.
pub(super) async fn wait<F>(params: WaitParams, ask: impl Fn(String, Command) -> F) -> Answer
where
    F: Future<Output = Result<Told, Refusal>>,
{
    let until = params.timeout_ms.map(|ms| (ms, Instant::now() + Duration::from_millis(ms)));
    loop {
        let left =
            until.map_or(ASK_AGAIN, |(_, at)| at.saturating_duration_since(Instant::now()).min(ASK_AGAIN));
        let timeout_ms = u64::try_from(left.as_millis()).ok();
        let command = Command::Wait { phases: params.phases.clone(), activity: Vec::new(), timeout_ms };
        match ask(params.session.clone(), command).await {
            Ok(Told::View(view)) => return raw(&view),
            Ok(other) => return Err(mismatch(&other)),
            Err(refusal) if refusal.code == Code::Timeout => match until {
                Some((ms, at)) if Instant::now() + Duration::from_millis(1) >= at => {
                    let reason = format!("it did not happen within {ms} ms");
                    return Err(Refusal { reason, ..refusal }
                        .fix("wait longer, or see what it does: delightctl show, delightctl logs"));
                }
                _ => {}
            },
            Err(refusal) => return Err(refusal),
        }
    }
}
