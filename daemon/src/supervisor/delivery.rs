//! Putting mail into a session's mailbox.

use delight_proto::refusal::Code;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::session::Mail;

/// What becomes of mail for a mailbox that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// It waits for room beside the supervisor: the supervisor has already counted on it.
    Waits,
    /// It is refused: whoever sent it is told `busy`.
    IsRefused,
}

/// Puts mail into a mailbox (`None`: the session has been removed) without ever waiting.
///
/// # Errors
/// The code and the reason the sender is to be refused with.
pub(super) fn put(
    to: Option<&mpsc::Sender<Mail>>,
    mail: Mail,
    when_full: WhenFull,
) -> Result<(), (Code, &'static str)> {
    let Some(to) = to else { return Err((Code::NotFound, "it has been removed")) };
    match to.try_send(mail) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(mail)) if when_full == WhenFull::Waits => {
            let to = to.clone();
            tokio::spawn(async move {
                // A session that ends meanwhile has nothing to be told any more.
                let _ = to.send(mail).await;
            });
            Ok(())
        }
        Err(TrySendError::Full(_)) => Err((Code::Busy, "too many requests wait for it")),
        Err(TrySendError::Closed(_)) => Err((Code::Internal, "its actor has ended")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_core::session::Input;

    fn mail() -> Mail {
        Box::new(Input::Tick)
    }

    #[tokio::test]
    async fn a_full_mailbox_is_busy_but_what_must_arrive_arrives() {
        let (to, mut mailbox) = mpsc::channel(1);
        assert_eq!(put(Some(&to), mail(), WhenFull::IsRefused), Ok(()));
        assert_eq!(put(Some(&to), mail(), WhenFull::IsRefused).unwrap_err().0, Code::Busy);
        assert_eq!(put(Some(&to), mail(), WhenFull::Waits), Ok(()));
        drop(to);
        assert!(mailbox.recv().await.is_some() && mailbox.recv().await.is_some());
        assert!(mailbox.recv().await.is_none(), "what was refused did not arrive");
    }

    /// Also what must arrive: its caller would wait for ever.
    #[test]
    fn nothing_is_put_where_nobody_reads_and_the_sender_hears_of_it() {
        let (to, mailbox) = mpsc::channel(1);
        drop(mailbox);
        for when_full in [WhenFull::Waits, WhenFull::IsRefused] {
            assert_eq!(put(Some(&to), mail(), when_full).unwrap_err().0, Code::Internal);
            assert_eq!(put(None, mail(), when_full).unwrap_err().0, Code::NotFound);
        }
    }
}
