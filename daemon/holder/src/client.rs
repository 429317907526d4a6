//! One attached client: what it has asked to see, how far it has seen it, and what waits to be written to it.
//!
//! A client is a cursor. While it keeps up, output goes from the read buffer straight to its socket. When its socket
//! is full, a bounded remainder is kept; when that is full too, only the number of the next journal record is kept,
//! and the client reads the journal later. It never slows the runner and never costs more memory than that.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use delight_journal::{Item, Reader};
use delight_proto::holder::codec::output_header;
use delight_proto::holder::frame::MAX_DATA;
use delight_proto::holder::journal::{Mark, kind};
use delight_proto::holder::{Attach, Decoder, FromHolder};

use crate::output_log::OutputLog;

/// Output kept in memory for a client whose socket is full: enough for a short pause without touching the disk.
const MAX_KEPT_OUTPUT: usize = 128 << 10;
/// The same while the journal cannot be written: then what is not kept is lost to this client.
const MAX_KEPT_UNJOURNALED: usize = 512 << 10;
/// Answers and notices that may wait for a client that does not read; then it is given up.
const MAX_KEPT_NOTICES: usize = 1 << 20;
/// Journal bytes handed to one client before others have their turn.
const MAX_TURN: usize = 256 << 10;

/// What of the output a client follows.
enum Follow {
    /// Nothing.
    Nothing,
    /// It has (or has waiting) everything up to the end.
    Live,
    /// It reads the journal; `cursor` is the offset of the next byte it needs.
    Behind { reader: Box<Reader>, cursor: u64 },
}

/// A connection.
pub(crate) struct Client {
    pub(crate) id: u64,
    stream: UnixStream,
    pub(crate) decoder: Decoder,
    /// Its name for itself, once it has said `Hello`.
    pub(crate) name: Option<String>,
    pub(crate) daemon: bool,
    /// When it must have said `Hello`.
    pub(crate) hello_by: Option<Instant>,
    /// It has been told that it may not type.
    pub(crate) told_viewer: bool,
    /// To be closed once everything is written.
    pub(crate) leaving: bool,
    /// Beyond help: to be dropped.
    pub(crate) gone: bool,
    /// When something was last written to it.
    pub(crate) progress: Instant,
    follow: Follow,
    screens: bool,
    /// Whether what it reads in the journal now is a protocol. It never begins to read in the midst of one: nothing of
    /// it is sent to it before.
    reads_piped: bool,
    waiting: Vec<u8>,
    written: usize,
    /// `waiting` may hold this much beside output.
    allowance: usize,
}

impl Client {
    pub(crate) fn new(id: u64, stream: UnixStream, hello_by: Option<Instant>) -> Self {
        Self {
            id,
            stream,
            decoder: Decoder::new(),
            name: None,
            daemon: false,
            hello_by,
            told_viewer: false,
            leaving: false,
            gone: false,
            progress: Instant::now(),
            follow: Follow::Nothing,
            screens: false,
            reads_piped: false,
            waiting: Vec::new(),
            written: 0,
            allowance: MAX_KEPT_NOTICES,
        }
    }

    /// Whether it shows output: a terminal, as opposed to the daemon's control connection.
    pub(crate) fn follows(&self) -> bool {
        !matches!(self.follow, Follow::Nothing)
    }

    /// Whether it has asked for a screen and has seen all output: then a new one fits.
    pub(crate) fn wants_redraw(&self) -> bool {
        self.screens && matches!(self.follow, Follow::Live)
    }

    /// Whether there is something to write once the socket takes it.
    pub(crate) fn wants_to_write(&self) -> bool {
        !self.waiting.is_empty() || matches!(self.follow, Follow::Behind { .. })
    }

    /// Reads what it has sent into the decoder. `false` at the end of the connection.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(n) => {
                    self.decoder.push(&buffer[..n]);
                    return true;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return e.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Begins to follow the output.
    pub(crate) fn begin(&mut self, attach: Attach, log: &OutputLog) {
        self.screens = attach == Attach::Screen;
        self.follow = match attach {
            Attach::Nothing => Follow::Nothing,
            Attach::Screen => Follow::Live,
            Attach::Offset(offset) => {
                let cursor = offset.min(log.end());
                Follow::Behind { reader: Box::new(log.read_offset(cursor)), cursor }
            }
        };
    }

    /// Sends a frame, at once if the socket takes it.
    pub(crate) fn send(&mut self, frame: &FromHolder) {
        let was_empty = self.waiting.is_empty();
        frame.encode(&mut self.waiting);
        if was_empty {
            self.flush();
        } else if self.waiting.len() - self.written > self.allowance {
            self.gone = true;
        }
    }

    /// Sends a frame that belongs between two bytes of output. A client that is behind finds it in the journal.
    pub(crate) fn send_in_order(&mut self, frame: &FromHolder, journaled: bool) {
        if matches!(self.follow, Follow::Live | Follow::Nothing) || !journaled {
            self.send(frame);
        }
    }

    /// Sends the frames of a screen; however large they are, they may wait.
    pub(crate) fn send_screen(&mut self, frames: &[FromHolder]) {
        for frame in frames {
            frame.encode(&mut self.waiting);
        }
        self.allowance = MAX_KEPT_NOTICES + self.waiting.len();
        self.flush();
    }

    /// Hands over a chunk of output that begins at `offset` and was journaled as record `ordinal` (`None`: it could
    /// not be). What is `piped` is not for terminals.
    pub(crate) fn output(
        &mut self,
        offset: u64,
        bytes: &[u8],
        ordinal: Option<u64>,
        log: &OutputLog,
        piped: bool,
    ) {
        if !matches!(self.follow, Follow::Live) || (piped && self.screens) {
            return;
        }
        let head = output_header(offset, bytes.len());
        if self.waiting.is_empty() {
            let written = match self.stream.write_vectored(&[IoSlice::new(&head), IoSlice::new(bytes)]) {
                Ok(written) => written,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            };
            if written == head.len() + bytes.len() {
                return;
            }
            self.progress = Instant::now();
            self.waiting.extend_from_slice(&head[written.min(head.len())..]);
            self.waiting.extend_from_slice(&bytes[written.saturating_sub(head.len())..]);
            return;
        }
        let kept = self.waiting.len() - self.written;
        match ordinal {
            Some(_) if kept < MAX_KEPT_OUTPUT => {}
            None if kept < MAX_KEPT_UNJOURNALED => {}
            Some(ordinal) => {
                let reader = Box::new(log.read_ordinal(ordinal));
                self.reads_piped = piped;
                self.follow = Follow::Behind { reader, cursor: offset };
                return;
            }
            None => {
                let reader = Box::new(log.read_ordinal(log.next_ordinal()));
                self.reads_piped = piped;
                self.follow = Follow::Behind { reader, cursor: offset };
                return;
            }
        }
        self.waiting.extend_from_slice(&head);
        self.waiting.extend_from_slice(bytes);
    }

    /// Writes what waits, and then what the journal has for it, as far as the socket takes it.
    pub(crate) fn proceed(&mut self, log: &OutputLog) {
        self.flush();
        let mut turn = 0;
        while !self.gone && self.waiting.is_empty() && turn < MAX_TURN {
            let Follow::Behind { .. } = self.follow else { return };
            self.refill(log);
            turn += self.waiting.len();
            self.flush();
        }
    }

    fn flush(&mut self) {
        while self.written < self.waiting.len() {
            match self.stream.write(&self.waiting[self.written..]) {
                Ok(n) => {
                    self.written += n;
                    self.progress = Instant::now();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.written = 0;
        self.allowance = MAX_KEPT_NOTICES;
        if self.waiting.capacity() > MAX_DATA / 16 && !matches!(self.follow, Follow::Behind { .. }) {
            self.waiting = Vec::new();
        } else {
            self.waiting.clear();
        }
    }

    /// Turns the next journal record into frames.
    fn refill(&mut self, log: &OutputLog) {
        let Follow::Behind { reader, cursor } = &mut self.follow else { return };
        let out = &mut self.waiting;
        match reader.next_item() {
            Ok(Some(Item::Record(record))) => {
                let end = record.position + record.advance;
                match record.kind {
                    kind::OUTPUT if end > *cursor && self.screens && self.reads_piped => *cursor = end,
                    kind::OUTPUT if end > *cursor => {
                        lost(out, cursor, record.position);
                        let bytes = &record.payload[(*cursor - record.position) as usize..];
                        for piece in bytes.chunks(MAX_DATA) {
                            out.extend_from_slice(&output_header(*cursor, piece.len()));
                            out.extend_from_slice(piece);
                            *cursor += piece.len() as u64;
                        }
                    }
                    kind::LOST => lost(out, cursor, end),
                    kind::MARK => {
                        lost(out, cursor, record.position);
                        if let Some(frame) = replayed(record.payload) {
                            if let FromHolder::Started(started) = &frame {
                                self.reads_piped = started.piped;
                            }
                            frame.encode(out);
                        }
                    }
                    _ => {}
                }
            }
            Ok(Some(Item::Gap { to, .. } | Item::Corrupt { to, .. })) => lost(out, cursor, to.position),
            // Everything that is in the journal has been read; what is missing to the end never got there.
            Ok(None) => {
                lost(out, cursor, log.end());
                self.follow = Follow::Live;
            }
            Err(error) => {
                let reason = delight_proto::refusal::Refusal::new(
                    delight_proto::refusal::Code::Storage,
                    "the journal could not be read",
                    error.to_string(),
                );
                FromHolder::Refused(reason).encode(out);
                lost(out, cursor, log.end());
                self.follow = Follow::Live;
            }
        }
    }
}

/// Tells that what lies before `to` cannot be had.
fn lost(out: &mut Vec<u8>, cursor: &mut u64, to: u64) {
    if to > *cursor {
        FromHolder::Lost { from: *cursor, to }.encode(out);
        *cursor = to;
    }
}

/// The frame that told a live client what this mark says.
fn replayed(payload: &[u8]) -> Option<FromHolder> {
    Some(match serde_json::from_slice(payload).ok()? {
        Mark::Started(started) => FromHolder::Started(started),
        Mark::Exited(exited) => FromHolder::Exited(exited),
        Mark::Resized { size } => FromHolder::Resized(size),
    })
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
