//! Cutting a connection into lines, with a bound.

use std::io;

use delight_proto::api::MAX_LINE;
use tokio::net::unix::OwnedReadHalf;

/// Bytes read at once.
const READ: usize = 16 << 10;

/// What a connection gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Whole(Vec<u8>),
    /// A line that has passed its bound.
    TooLong,
    /// The other side says no more. What it left of a line is dropped: nobody can know how it would have gone on.
    End,
}

/// The lines of one connection.
#[derive(Debug)]
pub(super) struct Lines {
    read: OwnedReadHalf,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold no line end.
    searched: usize,
    bound: usize,
}

impl Lines {
    pub(super) fn new(read: OwnedReadHalf) -> Self {
        Self { read, buffer: Vec::new(), searched: 0, bound: MAX_LINE }
    }

    /// The connection.
    pub(super) fn stream(&self) -> &tokio::net::UnixStream {
        self.read.as_ref()
    }

    /// The next line. Cancel safe: what was read stays in the buffer.
    pub(super) async fn next(&mut self) -> io::Result<Line> {
        loop {
            if let Some(line) = self.cut() {
                return Ok(line);
            }
            self.read.readable().await?;
            if !self.fill()? {
                return Ok(Line::End);
            }
        }
    }

    fn cut(&mut self) -> Option<Line> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        match end.map(|at| at + self.searched) {
            Some(end) if end > self.bound => Some(Line::TooLong),
            Some(end) => {
                let rest = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                self.searched = 0;
                if self.buffer.is_empty() {
                    // An idle connection keeps no buffer.
                    self.buffer = Vec::new();
                }
                Some(Line::Whole(line))
            }
            None if self.buffer.len() > self.bound => Some(Line::TooLong),
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    /// Kept out of the future on purpose: its buffer lives on the stack, not in every connection's memory.
    fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = [0u8; READ];
        match self.read.try_read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(len) => {
                self.buffer.extend_from_slice(&buffer[..len]);
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(e) => Err(e),
        }
    }
}
