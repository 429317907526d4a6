//! The daemon's connection to one holder: whole frames in, whole frames out.

use std::collections::VecDeque;
use std::io;

use delight_proto::holder::{Attach, Decoder, FromHolder, Hello, ToHolder, VERSION};
use delight_proto::refusal::Refusal;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Bytes of frames that may wait for a holder that does not read. Sessions bound what they send far below this (a
/// start of 1 MiB, inputs of 64 KiB): reaching it means the holder is stuck, and the connection is given up.
const MAX_WAITING: usize = 8 << 20;

/// Most bytes read at once. The daemon attaches to no output, so a holder has little to say.
const READ: usize = 4 << 10;

/// What a read gave.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A frame.
    Frame(FromHolder),
    /// The connection is over, with the reason.
    End(String),
}

/// A connection to a holder.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    decoder: Decoder,
    waiting: VecDeque<u8>,
    broken: Option<String>,
}

impl Link {
    /// Wraps a non-blocking connection and says `Hello` as the daemon.
    pub(crate) fn open(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        Ok(Self::greet(UnixStream::from_std(stream)?))
    }

    /// The same for a connection the runtime made.
    pub(crate) fn greet(stream: UnixStream) -> Self {
        let hello = Hello {
            version: VERSION,
            client: concat!("delightd ", env!("CARGO_PKG_VERSION")).to_owned(),
            attach: Attach::Nothing,
            control: false,
            take: false,
            daemon: true,
            size: None,
        };
        Self::greet_as(stream, hello)
    }

    /// The same as whoever the greeting says.
    pub(crate) fn greet_as(stream: UnixStream, hello: Hello) -> Self {
        let mut link = Self { stream, decoder: Decoder::new(), waiting: VecDeque::new(), broken: None };
        link.send(&ToHolder::Hello(hello));
        link
    }

    /// The process at the other end, where the platform tells.
    pub(crate) fn peer(&self) -> Option<i32> {
        self.stream.peer_cred().ok().and_then(|cred| cred.pid())
    }

    /// Whether the other side is known to have gone. It has nothing to say unasked, so anything readable is its end.
    pub(crate) fn has_ended(&self) -> bool {
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)];
        self.broken.is_some() || poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Sends a frame: at once if the holder reads, else as soon as it does. A broken connection shows in
    /// [`Self::hear`].
    pub(crate) fn send(&mut self, frame: &ToHolder) {
        if self.broken.is_some() {
            return;
        }
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut rest = bytes.as_slice();
        if self.waiting.is_empty() {
            match self.stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => self.broken = Some(format!("writing to the holder failed: {e}")),
            }
        }
        if self.waiting.len() + rest.len() > MAX_WAITING {
            self.broken = Some(format!("the holder has not read {MAX_WAITING} bytes of requests"));
        } else {
            self.waiting.extend(rest);
        }
    }

    /// The next frame, writing what waits meanwhile.
    ///
    /// Cancel safe: bytes are kept in the decoder and in the queue, never in the future.
    pub(crate) async fn hear(&mut self) -> Heard {
        loop {
            if let Some(reason) = &self.broken {
                return Heard::End(reason.clone());
            }
            match self.decode() {
                Ok(Some(frame)) => return Heard::Frame(frame),
                Ok(None) => {}
                Err(reason) => return Heard::End(reason),
            }
            let interest = if self.waiting.is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            let ready = match self.stream.ready(interest).await {
                Ok(ready) => ready,
                Err(e) => return Heard::End(e.to_string()),
            };
            if ready.is_writable() {
                self.flush();
            }
            if (ready.is_readable() || ready.is_read_closed())
                && let Err(reason) = self.fill()
            {
                return Heard::End(reason);
            }
        }
    }

    fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.stream.try_write(self.waiting.as_slices().0) {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) => {
                    self.broken = Some(format!("writing to the holder failed: {e}"));
                    return;
                }
            }
        }
        self.waiting = VecDeque::new();
    }

    /// Kept out of the future on purpose: its buffer lives on the stack, not in every session's memory.
    fn fill(&mut self) -> Result<(), String> {
        let mut buffer = [0u8; READ];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => Err("the holder closed the connection".to_owned()),
            Ok(len) => {
                self.decoder.push(&buffer[..len]);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(format!("reading from the holder failed: {e}")),
        }
    }

    fn decode(&mut self) -> Result<Option<FromHolder>, String> {
        loop {
            let raw = match self.decoder.next_frame() {
                Ok(Some(raw)) => raw,
                Ok(None) => break,
                Err(e) => return Err(e.to_string()),
            };
            if let Some(frame) = FromHolder::parse(raw).map_err(|e| e.to_string())? {
                return Ok(Some(frame));
            }
        }
        if self.decoder.pending() == 0 {
            // An idle session keeps no buffer.
            self.decoder = Decoder::new();
        }
        Ok(None)
    }
}

/// The refusal for a holder that says something the protocol does not allow at this point.
pub(crate) fn unexpected(frame: &FromHolder) -> Refusal {
    let said = match frame {
        FromHolder::Refused(refusal) => return refusal.clone(),
        other => format!("{other:?}"),
    };
    let said: String = said.chars().take(200).collect();
    Refusal::new(
        delight_proto::refusal::Code::HolderUnreachable,
        "the holder did not greet",
        format!("it said {said}"),
    )
}
