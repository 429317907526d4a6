//! Remote calls: one socket asks, another of the same account answers, the relay carries both without reading either.

use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;
use tokio::time::{Duration, timeout};

use crate::hub::NoProvider;
use crate::presence::{Key, Kind};
use crate::shared::Shared;
use crate::socket::peer::Peer;

/// Longest method name: an id, a colon, a name.
pub(crate) const METHOD_MAX: usize = 513;
/// How often the reasons to wait for a provider are looked at again.
const RECHECK: Duration = Duration::from_millis(250);

/// Makes a call and returns the provider's answer as JSON, or the words Happy's clients know.
///
/// A provider that goes away ends the call at once; a method nobody is expected to answer is refused at once.
///
/// Cancel safe: a call given up is forgotten, though its provider may carry it out.
pub(crate) async fn call(
    shared: &Shared,
    caller: &Arc<Peer>,
    method: &str,
    params: Option<&RawValue>,
) -> Result<String, &'static str> {
    let provider = find(shared, caller, method).await?;
    if Arc::ptr_eq(&provider, caller) {
        return Err("Cannot call RPC on the same socket");
    }
    let params = params.map_or("null", RawValue::get);
    let payload = format!(r#"{{"method":{},"params":{params}}}"#, serde_json::Value::from(method));
    let (question, answer) = provider.ask("rpc-request", &payload);
    match timeout(shared.config.rpc.timeout, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("RPC target disconnected"),
        Err(_) => {
            provider.forget(question);
            Err("operation has timed out")
        }
    }
}

async fn find(shared: &Shared, caller: &Peer, method: &str) -> Result<Arc<Peer>, &'static str> {
    let grace = shared.config.rpc.reconnect;
    let deadline = Instant::now() + grace;
    loop {
        let now = Instant::now();
        let expected = is_present(shared, &caller.account, method);
        match shared.hub.provider(&caller.account, method, expected, grace, now) {
            Ok(provider) => return Ok(provider),
            Err(NoProvider::Perhaps(registered)) if now < deadline => {
                // Somebody may have registered between the look and the wait: the wait is short, so nothing hangs on it.
                drop(timeout(RECHECK.min(deadline - now), registered.notified()).await);
            }
            Err(_) => return Err("RPC method not available"),
        }
    }
}

/// Whether the session or machine a method belongs to counts as present, so that its socket is expected.
fn is_present(shared: &Shared, account: &str, method: &str) -> bool {
    let Some((id, _)) = method.rsplit_once(':') else { return false };
    let presence = shared.presence();
    [Kind::Session, Kind::Machine]
        .into_iter()
        .any(|kind| presence.state(&Key { account: account.to_owned(), kind, id: id.to_owned() }).active)
}
