//! Framing: an eight-byte header, then a payload.
//!
//! ```text
//! offset 0  u8   type
//!        1  u8   flags: bit 0 MORE, bit 1 OPTIONAL, others 0
//!        2  u16  0
//!        4  u32  payload length, little-endian, at most MAX_PAYLOAD
//!        8       payload
//! ```

/// Bytes of a header.
pub const HEADER: usize = 8;

/// Largest payload. A start request carries up to 1 MiB of arguments and environment, which JSON escaping can at most
/// quadruple in practice; nothing else comes near.
pub const MAX_PAYLOAD: usize = 4 << 20;

/// Most bytes of terminal data one frame carries: big enough that framing costs nothing, small enough that a client
/// is never made to wait for a megabyte before it may draw.
pub const MAX_DATA: usize = 64 << 10;

/// Flag: the next frame of the same type continues this one.
pub const MORE: u8 = 1;

/// Flag: a receiver that does not know the type may skip the frame.
pub const OPTIONAL: u8 = 2;

/// Why bytes are not frames. The connection that sent them is of no further use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length exceeds [`MAX_PAYLOAD`].
    #[error("a frame of type {kind:#04x} announces {len} bytes; at most {MAX_PAYLOAD} are allowed")]
    TooLarge {
        /// Frame type.
        kind: u8,
        /// Announced length.
        len: u32,
    },
    /// Reserved header bits are set.
    #[error("a frame header has reserved bits set: this is not the holder's protocol")]
    Reserved,
    /// The payload is not what the type asks for.
    #[error("a frame of type {kind:#04x} cannot be read: {reason}")]
    Payload {
        /// Frame type.
        kind: u8,
        /// What is wrong.
        reason: String,
    },
    /// The type is not known and not optional.
    #[error("a frame of unknown type {kind:#04x} that is not optional: the other side is newer")]
    Unknown {
        /// Frame type.
        kind: u8,
    },
}

/// A frame as it lies in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    /// Type.
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Payload.
    pub payload: &'a [u8],
}

/// Writes a header for a payload of `len` bytes. `len` is at most [`MAX_PAYLOAD`].
#[must_use]
pub fn header(kind: u8, flags: u8, len: usize) -> [u8; HEADER] {
    debug_assert!(len <= MAX_PAYLOAD);
    let l = (len as u32).to_le_bytes();
    [kind, flags, 0, 0, l[0], l[1], l[2], l[3]]
}

/// Cuts a byte stream into frames. Holds at most one incomplete frame plus what was pushed.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    consumed: usize,
}

impl Decoder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.consumed > 0 {
            self.buffer.drain(..self.consumed);
            self.consumed = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete frame, if there is one.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] and [`FrameError::Reserved`], as soon as the header is there. Drop the connection.
    pub fn next_frame(&mut self) -> Result<Option<Raw<'_>>, FrameError> {
        let rest = &self.buffer[self.consumed..];
        let Some(head) = rest.first_chunk::<HEADER>() else { return Ok(None) };
        let (kind, flags) = (head[0], head[1]);
        if flags & !(MORE | OPTIONAL) != 0 || head[2] != 0 || head[3] != 0 {
            return Err(FrameError::Reserved);
        }
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if len as usize > MAX_PAYLOAD {
            return Err(FrameError::TooLarge { kind, len });
        }
        let end = HEADER + len as usize;
        if rest.len() < end {
            return Ok(None);
        }
        let start = self.consumed;
        self.consumed += end;
        Ok(Some(Raw { kind, flags, payload: &self.buffer[start + HEADER..start + end] }))
    }

    /// Bytes pushed and not yet returned as frames.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    /// Gives memory back after a large frame, once nothing is pending.
    pub fn shrink(&mut self) {
        if self.pending() == 0 && self.buffer.capacity() > MAX_DATA {
            self.buffer = Vec::new();
            self.consumed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = header(kind, flags, payload.len()).to_vec();
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn a_header_that_announces_too_much_is_refused_before_its_payload_arrives() {
        let mut decoder = Decoder::new();
        let mut head = header(3, 0, 0);
        head[4..].copy_from_slice(&(MAX_PAYLOAD as u32 + 1).to_le_bytes());
        decoder.push(&head);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge { kind: 3, len: MAX_PAYLOAD as u32 + 1 }));
    }

    #[test]
    fn another_protocol_is_recognised_by_its_reserved_bits() {
        let mut decoder = Decoder::new();
        decoder.push(b"GET / HTTP/1.1\r\n");
        assert_eq!(decoder.next_frame(), Err(FrameError::Reserved));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec((any::<u8>(), 0u8..4, prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            cuts in prop::collection::vec(1usize..100, 1..200),
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(k, f, p)| frame(*k, *f, p)).collect();
            let mut decoder = Decoder::new();
            let mut read = Vec::new();
            let mut rest = &stream[..];
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let n = (*cuts.next().unwrap_or(&1)).min(rest.len());
                decoder.push(&rest[..n]);
                rest = &rest[n..];
                while let Some(raw) = decoder.next_frame().unwrap() {
                    read.push((raw.kind, raw.flags, raw.payload.to_vec()));
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert_eq!(decoder.pending(), 0);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            while let Ok(Some(raw)) = decoder.next_frame() {
                let _ = super::super::ToHolder::parse(raw);
                let _ = super::super::FromHolder::parse(raw);
            }
        }
    }
}
