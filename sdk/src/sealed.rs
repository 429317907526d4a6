//! A sealed value with a version: opened once, replaced by newer ones only.

use std::sync::Arc;

use delight_crypto::SealingKey;
use delight_proto::sync::state;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::machines::SealedState;

/// What is kept of a sealed value.
pub(crate) struct Kept<T> {
    pub(crate) value: Option<T>,
    /// Why the newest could not be read; what was read before stays beside it.
    pub(crate) error: Option<Error>,
    /// None before the first.
    version: Option<u64>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { value: None, error: None, version: None }
    }
}

impl<T: DeserializeOwned> Kept<T> {
    /// Takes a value unless it is older than, or the same as, what is there: updates come doubled and reordered.
    pub(crate) fn take(
        &mut self,
        key: &Result<Arc<SealingKey>, Error>,
        version: u64,
        sealed: SealedState<'_>,
    ) {
        if self.version.is_some_and(|known| version <= known) {
            return;
        }
        self.version = Some(version);
        let opened = match (key, sealed) {
            (_, None) => Ok(None),
            (Err(error), _) => Err(error.clone()),
            (Ok(key), Some(sealed)) => key
                .open_base64(sealed.as_str())
                .map_err(|error| Error::unreadable("a sealed state", error))
                .and_then(|opened| state::open(opened.json()).map_err(Error::of_peer))
                .map(Some),
        };
        match opened {
            Ok(value) => {
                self.value = value;
                self.error = None;
            }
            Err(error) => self.error = Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use delight_crypto::{DataKey, Fresh};
    use delight_proto::sync::bounded::SealedText;
    use delight_proto::sync::state::DaemonState;

    use super::*;

    #[test]
    fn an_older_value_never_replaces_a_newer_one() {
        let key = SealingKey::data(&DataKey::from_bytes([7; 32]));
        let seal = |status: &str, nonce: u8| {
            let sealed =
                key.seal(format!(r#"{{"status":"{status}"}}"#).as_bytes(), Fresh::new([nonce; 24])).unwrap();
            SealedText::new(sealed.to_base64()).unwrap()
        };
        let (running, stopping) = (seal("running", 1), seal("shutting-down", 2));
        let garbage = SealedText::new("AAAA").unwrap();
        let key = Ok(Arc::new(key));
        let mut kept = Kept::<DaemonState>::default();
        let status = |kept: &Kept<DaemonState>| kept.value.as_ref().and_then(|state| state.status.clone());
        kept.take(&key, 3, Some(&stopping));
        kept.take(&key, 2, Some(&running));
        kept.take(&key, 3, Some(&running));
        assert_eq!(status(&kept).as_deref(), Some("shutting-down"));
        kept.take(&key, 4, Some(&garbage));
        assert!(kept.error.is_some());
        assert_eq!(
            status(&kept).as_deref(),
            Some("shutting-down"),
            "what was readable stays, beside the error"
        );
        kept.take(&key, 5, Some(&running));
        assert_eq!((status(&kept).as_deref(), &kept.error), (Some("running"), &None));
    }
}
