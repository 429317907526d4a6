//! A viewing connection to a holder: it sees what clients see, and changes nothing.

use std::time::Duration;

use delight_proto::holder::{Attach, FromHolder, Hello, VERSION, Welcome};
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::adopt::greeted;
use super::link::{Heard, Link};

/// A holder takes connections as long as it lives; one that is stopped takes none.
const CONNECTING: Duration = Duration::from_secs(2);

/// The connection. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Viewer {
    link: Link,
}

impl Viewer {
    /// Connects to a session's holder. From its `Welcome` on, everything that happens is told.
    ///
    /// # Errors
    /// `holder-unreachable` when none is there or it does not greet.
    pub(crate) async fn open(
        place: &Place,
        id: SessionId,
        attach: Attach,
    ) -> Result<(Self, Welcome), Refusal> {
        let socket = place.holder_socket(id);
        let unreachable = |reason: String| {
            Refusal::new(Code::HolderUnreachable, format!("session {} cannot be watched", id.short()), reason)
        };
        let stream = timeout(CONNECTING, UnixStream::connect(&socket))
            .await
            .map_err(|_| unreachable("its holder takes no connection".to_owned()))?
            .map_err(|e| unreachable(format!("{}: {e}", socket.display())))?;
        let hello = Hello {
            version: VERSION,
            client: concat!("delightd ", env!("CARGO_PKG_VERSION"), ", watching").to_owned(),
            attach,
            control: false,
            take: false,
            daemon: false,
            size: None,
        };
        let mut link = Link::greet_as(stream, hello);
        let welcome = greeted(&mut link, id).await?;
        Ok((Self { link }, welcome))
    }

    /// The next frame; none when the connection is over. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<FromHolder> {
        match self.link.hear().await {
            Heard::Frame(frame) => Some(frame),
            Heard::End(_) => None,
        }
    }
}
