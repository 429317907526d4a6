//! Input that is written once, however often it is asked for.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Mutex, PoisonError};

use delight_proto::api::method::SendResult;
use delight_proto::id::{RequestId, SessionId};
use delight_proto::refusal::{Code, Refusal};
use tokio::sync::watch;

/// Keyed calls that are remembered. Somebody who types fast makes 20 a second and repeats one within a minute of a
/// broken connection.
const REMEMBERED: usize = 1_024;

type Key = (SessionId, RequestId);
type Outcome = Option<Result<SendResult, Refusal>>;

/// The keyed calls of `session.send`, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Sends(Mutex<VecDeque<(Key, watch::Receiver<Outcome>)>>);

impl Sends {
    /// Carries `write` out unless a call with this key did or does; answers as that call did. It is carried out to its end
    /// even when nobody waits for it any longer.
    pub(super) async fn once(
        &self,
        key: Key,
        write: impl Future<Output = Result<SendResult, Refusal>> + Send + 'static,
    ) -> Result<SendResult, Refusal> {
        let mut outcome = self.begin(key, write);
        let ended = outcome.wait_for(Option::is_some).await;
        ended.ok().and_then(|outcome| outcome.clone()).unwrap_or_else(|| {
            Err(Refusal::new(Code::Internal, "the input was not written", "its task ended by a fault"))
        })
    }

    fn begin(
        &self,
        key: Key,
        write: impl Future<Output = Result<SendResult, Refusal>> + Send + 'static,
    ) -> watch::Receiver<Outcome> {
        let mut sends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, outcome)) = sends.iter().rev().find(|(known, _)| *known == key) {
            return outcome.clone();
        }
        let (tell, outcome) = watch::channel(None);
        if sends.len() >= REMEMBERED {
            sends.pop_front();
        }
        sends.push_back((key, outcome.clone()));
        tokio::spawn(async move { tell.send_replace(Some(write.await)) });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn key(text: &str) -> Key {
        (SessionId::from_random([7; 10]), text.parse().unwrap())
    }

    #[tokio::test]
    async fn a_repeated_call_writes_nothing_and_answers_as_the_first_did() {
        let sends = Sends::default();
        let written = Arc::new(AtomicUsize::new(0));
        let write = || {
            let written = Arc::clone(&written);
            async move { Ok(SendResult { bytes: written.fetch_add(1, Ordering::SeqCst) as u64 }) }
        };
        let (one, two) = tokio::join!(sends.once(key("a"), write()), sends.once(key("a"), write()));
        assert_eq!((one.unwrap().bytes, two.unwrap().bytes), (0, 0));
        assert_eq!(sends.once(key("b"), write()).await.unwrap().bytes, 1);
        assert_eq!(sends.once(key("a"), write()).await.unwrap().bytes, 0);
        for number in 0..REMEMBERED {
            drop(sends.once(key(&number.to_string()), write()).await);
        }
        assert_eq!(sends.0.lock().unwrap().len(), REMEMBERED);
    }

    #[tokio::test]
    async fn a_call_nobody_waits_for_is_carried_out_all_the_same() {
        let sends = Sends::default();
        let (go, gone) = tokio::sync::oneshot::channel::<u64>();
        let waiting = sends.begin(key("a"), async { Ok(SendResult { bytes: gone.await.unwrap_or(0) }) });
        drop(waiting);
        go.send(9).unwrap();
        let again = sends.once(key("a"), async { Ok(SendResult { bytes: 0 }) }).await;
        assert_eq!(again.unwrap().bytes, 9);
    }
}
