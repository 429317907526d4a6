//! A session's screen as its holder draws it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_proto::api::method::ScreenResult;
use delight_proto::holder::{Attach, FromHolder};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use tokio::time::timeout;

use crate::process::viewer::Viewer;

/// A holder draws in milliseconds.
const DRAWN_WITHIN: Duration = Duration::from_secs(5);

/// A picture of the largest terminal there may be, every cell in a colour of its own, takes less; the line of an answer
/// carries it.
const MAX_PICTURE: usize = 2 << 20;

/// The screen now.
///
/// # Errors
/// `wrong-state` when nothing of the session is alive, `holder-unreachable` when its holder does not draw.
pub(super) async fn screen(place: &Place, id: SessionId, is_live: bool) -> Result<ScreenResult, Refusal> {
    let refuse = |code, reason: String| {
        let what = format!("the screen of session {} cannot be shown", id.short());
        Refusal::new(code, what, reason)
    };
    let opened = Viewer::open(place, id, Attach::Screen).await;
    let (mut viewer, _) = match opened {
        Ok(opened) => opened,
        Err(_) if !is_live => {
            return Err(refuse(Code::WrongState, "nothing of it is alive".to_owned())
                .fix("its output is still there: delightctl logs"));
        }
        Err(refusal) => return Err(refuse(refusal.code, refusal.reason)),
    };
    let mut picture = Vec::new();
    let drawing = async {
        loop {
            let Some(frame) = viewer.next().await else {
                return Err(refuse(Code::HolderUnreachable, "its holder hung up".to_owned()).retry());
            };
            let FromHolder::Screen { offset, size, more, bytes } = frame else { continue };
            picture.extend_from_slice(&bytes);
            if picture.len() > MAX_PICTURE {
                let reason = format!("its picture takes more than {MAX_PICTURE} bytes");
                return Err(refuse(Code::TooLarge, reason));
            }
            if !more {
                return Ok(ScreenResult { offset, size, data: BASE64.encode(&picture) });
            }
        }
    };
    timeout(DRAWN_WITHIN, drawing).await.unwrap_or_else(|_| {
        Err(refuse(Code::HolderUnreachable, format!("its holder did not draw within {DRAWN_WITHIN:?}"))
            .retry())
    })
}
