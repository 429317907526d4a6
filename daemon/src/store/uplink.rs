//! What is kept of sessions' links to the server: their data keys, and how far each side has got.

use delight_core::uplink::Stored;
use delight_proto::id::SessionId;
use delight_proto::refusal::Refusal;
use delight_proto::sync::bounded::Hidden;
use serde::{Deserialize, Serialize};

use super::registry::Registry;

/// The tree of links in the registry's database.
pub(super) const LINKS: &str = "links";

/// One session's link, kept until the session is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkRecord {
    /// To which account and machine of it: a link to another is none.
    pub(crate) of: String,
    /// What seals the session's content, base64. The file belongs to the owner alone.
    pub(crate) key: Hidden<String>,
    /// How far each side has got.
    pub(crate) stored: Stored,
}

impl Registry {
    /// Writes a link; durable after a flush. A session that was forgotten meanwhile gets none.
    pub(super) fn put_link(&self, id: SessionId, link: &LinkRecord) -> Result<(), Refusal> {
        if !self.has(id)? {
            return Ok(());
        }
        let json = serde_json::to_vec(link).map_err(|e| self.refuse("write", &e))?;
        self.links().insert(id.as_str(), json).map(drop).map_err(|e| self.refuse("write", &e))
    }

    /// Takes a link's cursor back to the last event there is, and says whether that was needed. After a power cut a log may
    /// end before what the server was sent of it; its numbers are used again, and what gets them is to be sent, too. Must
    /// be done before anything is appended to the log, and flushed.
    pub(super) fn take_link_back(&self, id: SessionId, log_seq: u64) -> Result<bool, Refusal> {
        let found = self.links().get(id.as_str()).map_err(|e| self.refuse("read", &e))?;
        // One that cannot be read is begun anew.
        let link = found.and_then(|value| serde_json::from_slice::<LinkRecord>(&value).ok());
        let Some(mut link) = link.filter(|link| link.stored.sent > log_seq) else { return Ok(false) };
        link.stored.sent = log_seq;
        self.put_link(id, &link)?;
        Ok(true)
    }

    /// All links that can be read. One that cannot is left where it is and said: its session begins a new one.
    pub(super) fn load_links(&self) -> Result<Vec<(SessionId, LinkRecord)>, Refusal> {
        let mut links = Vec::new();
        for entry in self.links() {
            let (key, value) = entry.map_err(|e| self.refuse("read", &e))?;
            let name = String::from_utf8_lossy(&key).into_owned();
            match (name.parse::<SessionId>(), serde_json::from_slice::<LinkRecord>(&value)) {
                (Ok(id), Ok(link)) => links.push((id, link)),
                // Without its content: the key is in it.
                _ => {
                    tracing::error!(session = name, "the link of a session cannot be read and is begun anew");
                }
            }
        }
        Ok(links)
    }
}
