//! A client of a holder, as `delightctl attach` and the daemon are.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use delight_proto::holder::{Attach, Decoder, FromHolder, Hello, ToHolder, VERSION, Welcome};
use delight_proto::session::Size;

/// How long a frame may take.
const FRAME_WITHIN: Duration = Duration::from_secs(30);

/// A connection to a holder.
pub struct Attached {
    stream: UnixStream,
    decoder: Decoder,
    early: VecDeque<FromHolder>,
}

/// A hello of a mere viewer.
#[must_use]
pub fn viewer(attach: Attach) -> Hello {
    Hello {
        version: VERSION,
        client: "delight-tests".to_owned(),
        attach,
        control: false,
        take: false,
        daemon: false,
        size: None,
    }
}

/// A hello of a controller.
#[must_use]
pub fn controller(attach: Attach, size: Size) -> Hello {
    Hello { control: true, size: Some(size), ..viewer(attach) }
}

impl Attached {
    /// Connects; says nothing yet.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(FRAME_WITHIN))?;
        Ok(Self { stream, decoder: Decoder::new(), early: VecDeque::new() })
    }

    /// Says hello.
    ///
    /// # Panics
    /// When the holder does not welcome it.
    #[track_caller]
    pub fn hello(&mut self, hello: Hello) -> Welcome {
        self.send(&ToHolder::Hello(hello)).expect("the holder reads");
        match self.frame().expect("the holder answers") {
            FromHolder::Welcome(welcome) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the connection ended.
    pub fn send(&mut self, frame: &ToHolder) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.send_raw(&bytes)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the connection ended.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Types.
    pub fn input(&mut self, bytes: &[u8]) {
        self.send(&ToHolder::Input { tag: 0, bytes: bytes.to_vec() }).expect("the holder reads");
    }

    /// The next frame.
    ///
    /// # Errors
    /// `UnexpectedEof` when the holder ended the connection, `WouldBlock` when none came in time.
    pub fn frame(&mut self) -> io::Result<FromHolder> {
        if let Some(frame) = self.early.pop_front() {
            return Ok(frame);
        }
        self.fresh_frame()
    }

    fn fresh_frame(&mut self) -> io::Result<FromHolder> {
        loop {
            while let Some(raw) = self.decoder.next_frame().map_err(io::Error::other)? {
                if let Some(frame) = FromHolder::parse(raw).map_err(io::Error::other)? {
                    return Ok(frame);
                }
            }
            let mut buffer = [0u8; 64 << 10];
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                got => self.decoder.push(&buffer[..got]),
            }
        }
    }

    /// The first frame `pick` wants; those before it are kept in order for [`Attached::frame`].
    #[track_caller]
    pub fn expect<T>(&mut self, what: &str, pick: impl Fn(&FromHolder) -> Option<T>) -> T {
        if let Some((at, value)) = self.early.iter().enumerate().find_map(|(at, f)| Some((at, pick(f)?))) {
            self.early.remove(at);
            return value;
        }
        loop {
            let frame = self.fresh_frame().unwrap_or_else(|error| panic!("waiting for {what}: {error}"));
            match pick(&frame) {
                Some(value) => return value,
                None => self.early.push_back(frame),
            }
        }
    }

    /// Reads output until it ends with or holds `text`; returns all of it.
    #[track_caller]
    pub fn output_until(&mut self, text: &str) -> Vec<u8> {
        let mut all = Vec::new();
        let needle = text.as_bytes();
        while !all.windows(needle.len()).any(|window| window == needle) {
            match self.frame() {
                Ok(FromHolder::Output { bytes, .. } | FromHolder::Screen { bytes, .. }) => all.extend(bytes),
                Ok(_) => {}
                Err(error) => {
                    panic!("waiting for {text:?}: {error}; so far {:?}", String::from_utf8_lossy(&all));
                }
            }
        }
        all
    }

    /// Reads until the holder ends the connection.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<FromHolder> {
        let mut frames = Vec::new();
        loop {
            match self.frame() {
                Ok(frame) => frames.push(frame),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the holder keeps the connection; it said {frames:?}")
                }
                Err(_) => return frames,
            }
        }
    }

    /// The socket itself.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}
