//! Messages as they come: opened, judged, remembered. What asks for nothing is passed over.

use std::sync::Arc;

use delight_core::uplink::{Arrived, Prompt, Words};
use delight_crypto::replay::Mark;
use delight_proto::agent::Mode;
use delight_proto::id::{LocalId, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::{Id, Name};
use delight_proto::sync::message::Incoming;
use delight_proto::sync::record::{Record, UserContent, UserRecord};
use tokio::task::spawn_blocking;

use super::vault::SessionKeys;

/// Opens messages beside the loop, in their order. One without a number is left out: it is in the next page.
///
/// # Errors
/// `storage`: what was received cannot be remembered, so nothing of it may be acted on.
pub(super) async fn open(
    id: SessionId,
    keys: Arc<SessionKeys>,
    messages: Vec<Incoming>,
) -> Result<Vec<Arrived>, Refusal> {
    let opened = spawn_blocking(move || open_all(id, &keys, &messages)).await;
    opened.unwrap_or_else(|e| Err(Refusal::new(Code::Internal, "messages were not opened", e.to_string())))
}

fn open_all(id: SessionId, keys: &SessionKeys, messages: &[Incoming]) -> Result<Vec<Arrived>, Refusal> {
    let mut arrived = Vec::with_capacity(messages.len());
    // Which of them ask for something, with what the guard judges them by.
    let mut asking: Vec<usize> = Vec::new();
    let mut marks: Vec<(Mark, String)> = Vec::new();
    for message in messages {
        let Some(seq) = message.seq else { continue };
        let prompt = prompt(id, keys, message);
        if let Some((_, mark)) = &prompt {
            asking.push(arrived.len());
            marks.push((*mark, row_name(message)));
        }
        arrived.push(Arrived { seq, prompt: prompt.map(|(prompt, _)| prompt) });
    }
    for (at, judged) in asking.into_iter().zip(keys.scope.guard.admit_rows(&marks)?) {
        if let Err(why) = judged {
            tracing::warn!(session = %id, seq = arrived[at].seq, %why, "a message was passed over");
            arrived[at].prompt = None;
        }
    }
    Ok(arrived)
}

/// What the guard knows a row by.
fn row_name(message: &Incoming) -> String {
    message.id.as_deref().unwrap_or_default().to_owned()
}

/// What a message asks for, with its mark.
fn prompt(id: SessionId, keys: &SessionKeys, message: &Incoming) -> Option<(Prompt, Mark)> {
    if is_ours(id, message.local_id.as_ref()) {
        return None;
    }
    let opened = match keys.scope.key().open_base64(message.content.0.as_str()) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(session = %id, seq = message.seq, %error, "a message cannot be opened and is passed over");
            return None;
        }
    };
    match Record::open(opened.json()) {
        Ok(Record::User(record)) => Some((prompt_of(record, message)?, opened.mark())),
        Ok(_) => None,
        Err(refusal) => {
            tracing::warn!(session = %id, seq = message.seq, %refusal, "a message is not understood");
            None
        }
    }
}

/// Whether the local id is one of ours: our own record, coming back. A server that takes the id away gains nothing: the
/// guard knows what we sealed.
fn is_ours(id: SessionId, local_id: Option<&Id>) -> bool {
    local_id.and_then(|local| local.strip_prefix(id.as_str())).is_some_and(|rest| rest.starts_with(':'))
}

fn prompt_of(record: UserRecord, message: &Incoming) -> Option<Prompt> {
    let (text, pictures) = match record.content {
        UserContent::Text(text) | UserContent::Mixed(text) => (text.text, text.images.len()),
        UserContent::Unknown { .. } => return None,
    };
    let mut text: String = text.into_inner().as_str().to_owned();
    if pictures > 0 {
        // Said, not silently dropped: agents take no pictures here.
        text.push_str(&format!("\n[{pictures} pictures were sent with this and cannot be shown here]"));
    }
    let named = message.local_id.as_ref().or(record.local_key.as_ref());
    let local_id = named
        .and_then(|name| LocalId::try_from(name.as_str().to_owned()).ok())
        .or_else(|| format!("server:{}", message.id.as_deref()?).parse().ok())
        .or_else(|| format!("server-seq:{}", message.seq?).parse().ok())?;
    let name = |name: Option<Name>| name.map(|name| name.as_str().to_owned()).filter(|name| !name.is_empty());
    let meta = record.meta.unwrap_or_default();
    let mode = Mode {
        model: name(meta.model),
        permission_mode: name(meta.permission_mode),
        effort: name(meta.effort),
    };
    Some(Prompt { local_id, text: Words(text), mode })
}
