//! A connection to a session's holder: the frames of `delight_proto::holder`, without the daemon in between.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use delight_proto::holder::frame::MAX_DATA;
use delight_proto::holder::{
    Attach, Decoder, FrameError, FromHolder, Hello, OLDEST, ToHolder, VERSION, Welcome,
};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Size;

use crate::peer;

/// A holder answers a greeting at once; ten seconds is one that is stopped or stuck.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// Bytes read at once: a whole data frame and the head of the next.
const READ: usize = MAX_DATA + 4_096;

/// What a client says of itself.
pub(crate) struct Greeting {
    pub(crate) client: &'static str,
    pub(crate) attach: Attach,
    pub(crate) control: bool,
    pub(crate) take: bool,
    pub(crate) size: Option<Size>,
}

/// An open connection: what arrives is cut into frames.
pub(crate) struct HolderLine {
    pub(crate) stream: UnixStream,
    pub(crate) frames: Decoder,
    chunk: Box<[u8]>,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// Bytes: there may be frames.
    Bytes,
    /// Nothing at the moment (of a non-blocking connection).
    Nothing,
    /// The holder has closed the connection.
    End,
}

/// Connects to a holder and greets it.
///
/// # Errors
/// [`Code::HolderUnreachable`] when nobody listens or answers, [`Code::Forbidden`] when it is somebody else's,
/// [`Code::VersionSkew`] when it speaks another protocol or another session answers, and the holder's own refusal.
pub(crate) fn connect(
    socket: &Path,
    session: SessionId,
    greeting: &Greeting,
) -> Result<(HolderLine, Welcome), Refusal> {
    let stream = UnixStream::connect(socket)
        .map_err(|e| unreachable(session, format!("{}: {e}", socket.display())))?;
    peer::check(&stream, socket)?;
    greet(stream, session, greeting, GREETING_LIMIT)
}

fn unreachable(session: SessionId, reason: String) -> Refusal {
    Refusal::new(Code::HolderUnreachable, format!("session {} cannot be reached", session.short()), reason)
        .fix(format!("delightctl show {} tells its state", session.short()))
}

/// Greets a holder, or whoever speaks as one, and waits for its greeting as long as `limit`.
///
/// # Errors
/// Those of [`connect`].
pub(crate) fn greet(
    stream: UnixStream,
    session: SessionId,
    greeting: &Greeting,
    limit: Duration,
) -> Result<(HolderLine, Welcome), Refusal> {
    let mut line = HolderLine { stream, frames: Decoder::new(), chunk: vec![0; READ].into_boxed_slice() };
    let hello = ToHolder::Hello(Hello {
        version: VERSION,
        client: greeting.client.to_owned(),
        attach: greeting.attach,
        control: greeting.control,
        take: greeting.take,
        daemon: false,
        size: greeting.size,
    });
    let broken = |e: io::Error| unreachable(session, format!("its holder does not answer: {e}"));
    let mut bytes = Vec::new();
    hello.encode(&mut bytes);
    line.stream.set_read_timeout(Some(limit)).map_err(broken)?;
    line.stream.write_all(&bytes).map_err(broken)?;
    let welcome = loop {
        let skew = |e: FrameError| skew(&e);
        if let Some(raw) = line.frames.next_frame().map_err(skew)? {
            match FromHolder::parse(raw).map_err(skew)? {
                Some(FromHolder::Welcome(welcome)) => break welcome,
                Some(FromHolder::Refused(refusal)) => return Err(refusal),
                _ => {}
            }
        } else if line.read().map_err(broken)? != Arrived::Bytes {
            return Err(unreachable(session, "its holder closed the connection without a word".to_owned()));
        }
    };
    if welcome.version < OLDEST {
        return Err(Refusal::new(
            Code::VersionSkew,
            format!("session {} cannot be attached to", session.short()),
            format!("its holder speaks protocol {}; this client needs {OLDEST} or later", welcome.version),
        )
        .fix("use the delightctl of the release that started the session"));
    }
    if welcome.session != session {
        return Err(Refusal::new(
            Code::Internal,
            format!("session {} cannot be attached to", session.short()),
            format!("session {} answers there", welcome.session.short()),
        ));
    }
    line.stream.set_read_timeout(None).map_err(broken)?;
    Ok((line, welcome))
}

/// Frames that cannot be read.
pub(crate) fn skew(error: &FrameError) -> Refusal {
    Refusal::new(Code::VersionSkew, "the holder cannot be understood", error.to_string())
        .fix("use a delightctl of the release that started the session, or a newer one")
}

impl HolderLine {
    /// Reads what is there into [`Self::frames`].
    ///
    /// # Errors
    /// Those of `read`, but for interruptions, which are repeated, and a reset connection, which is an end.
    pub(crate) fn read(&mut self) -> io::Result<Arrived> {
        loop {
            return match self.stream.read(&mut self.chunk) {
                Ok(0) => Ok(Arrived::End),
                Ok(n) => {
                    self.frames.push(&self.chunk[..n]);
                    Ok(Arrived::Bytes)
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Arrived::Nothing),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(Arrived::End),
                Err(e) => Err(e),
            };
        }
    }
}
