//! How the frames are written and read.

use serde::{Serialize, de::DeserializeOwned};

use super::frame::{FrameError, MAX_DATA, MORE, OPTIONAL, Raw, header};
use super::message::{FromHolder, ToHolder};
use crate::session::Size;

/// Frame types. Below 0x80: to the holder.
mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const START: u8 = 0x02;
    pub(super) const INPUT: u8 = 0x03;
    pub(super) const RESIZE: u8 = 0x04;
    pub(super) const SIGNAL_TREE: u8 = 0x05;
    pub(super) const TAKE_CONTROL: u8 = 0x06;
    pub(super) const RELEASE_CONTROL: u8 = 0x07;
    pub(super) const CLOSE: u8 = 0x08;
    pub(super) const PREPARE: u8 = 0x09;
    pub(super) const WELCOME: u8 = 0x81;
    pub(super) const STARTED: u8 = 0x82;
    pub(super) const START_FAILED: u8 = 0x83;
    pub(super) const EXITED: u8 = 0x84;
    pub(super) const TREE_GONE: u8 = 0x85;
    pub(super) const OUTPUT: u8 = 0x86;
    pub(super) const SCREEN: u8 = 0x87;
    pub(super) const LOST: u8 = 0x88;
    pub(super) const RESIZED: u8 = 0x89;
    pub(super) const INPUT_DONE: u8 = 0x8a;
    pub(super) const INPUT_FAILED: u8 = 0x8b;
    pub(super) const CONTROL: u8 = 0x8c;
    pub(super) const TROUBLE: u8 = 0x8d;
    pub(super) const REFUSED: u8 = 0x8e;
}

/// The type of [`FromHolder::Output`], for readers that handle it without copying (see [`output`]).
pub const OUTPUT: u8 = kind::OUTPUT;

/// Header and offset of an output frame whose bytes follow: the holder's hot path writes both with one `writev`.
#[must_use]
pub fn output_header(offset: u64, len: usize) -> [u8; 16] {
    let mut head = [0u8; 16];
    head[..8].copy_from_slice(&header(kind::OUTPUT, 0, 8 + len));
    head[8..].copy_from_slice(&offset.to_le_bytes());
    head
}

/// Offset and bytes of a raw output frame, borrowed.
///
/// # Errors
/// [`FrameError::Payload`] when it is shorter than its offset.
pub fn output(raw: Raw<'_>) -> Result<(u64, &[u8]), FrameError> {
    let (offset, bytes) = number(raw)?;
    Ok((offset, bytes))
}

fn bad(raw: Raw<'_>, reason: impl Into<String>) -> FrameError {
    FrameError::Payload { kind: raw.kind, reason: reason.into() }
}

fn number(raw: Raw<'_>) -> Result<(u64, &[u8]), FrameError> {
    let (head, rest) =
        raw.payload.split_first_chunk::<8>().ok_or_else(|| bad(raw, "it is shorter than 8 bytes"))?;
    Ok((u64::from_le_bytes(*head), rest))
}

fn size(raw: Raw<'_>, bytes: &[u8]) -> Result<Size, FrameError> {
    let Ok([a, b, c, d]) = <[u8; 4]>::try_from(bytes) else { return Err(bad(raw, "a size is 4 bytes")) };
    let size = Size { cols: u16::from_le_bytes([a, b]), rows: u16::from_le_bytes([c, d]) };
    if size.clamped() == size {
        Ok(size)
    } else {
        Err(bad(raw, format!("{}x{} is out of bounds", size.cols, size.rows)))
    }
}

fn size_bytes(size: Size) -> [u8; 4] {
    let (c, r) = (size.cols.to_le_bytes(), size.rows.to_le_bytes());
    [c[0], c[1], r[0], r[1]]
}

fn json<T: DeserializeOwned>(raw: Raw<'_>) -> Result<T, FrameError> {
    serde_json::from_slice(raw.payload).map_err(|e| bad(raw, e.to_string()))
}

fn put(out: &mut Vec<u8>, kind: u8, flags: u8, parts: &[&[u8]]) {
    out.extend_from_slice(&header(kind, flags, parts.iter().map(|p| p.len()).sum()));
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn put_json<T: Serialize>(out: &mut Vec<u8>, kind: u8, flags: u8, value: &T) {
    // These are plain structs of strings and numbers: serialising them cannot fail.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    put(out, kind, flags, &[&bytes]);
}

impl ToHolder {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => put_json(out, kind::HELLO, 0, hello),
            Self::Start(start) => put_json(out, kind::START, 0, start),
            // Whoever does not know it does without.
            Self::Prepare(start) => put_json(out, kind::PREPARE, OPTIONAL, start),
            Self::Input { tag, bytes } => put(out, kind::INPUT, 0, &[&tag.to_le_bytes(), bytes]),
            Self::Resize(size) => put(out, kind::RESIZE, 0, &[&size_bytes(*size)]),
            Self::SignalTree { signal } => put(out, kind::SIGNAL_TREE, 0, &[&signal.to_le_bytes()]),
            Self::TakeControl => put(out, kind::TAKE_CONTROL, 0, &[]),
            Self::ReleaseControl => put(out, kind::RELEASE_CONTROL, 0, &[]),
            Self::Close => put(out, kind::CLOSE, 0, &[]),
        }
    }

    /// Reads a frame; `None` for one that is unknown and optional.
    ///
    /// # Errors
    /// [`FrameError::Payload`] and [`FrameError::Unknown`].
    pub fn parse(raw: Raw<'_>) -> Result<Option<Self>, FrameError> {
        Ok(Some(match raw.kind {
            kind::HELLO => Self::Hello(json(raw)?),
            kind::START => Self::Start(json(raw)?),
            kind::PREPARE => Self::Prepare(json(raw)?),
            kind::INPUT => {
                let (tag, bytes) = number(raw)?;
                if bytes.len() > MAX_DATA {
                    return Err(bad(raw, "it carries more than 64 KiB"));
                }
                Self::Input { tag, bytes: bytes.to_vec() }
            }
            kind::RESIZE => Self::Resize(size(raw, raw.payload)?),
            kind::SIGNAL_TREE => {
                let bytes = raw.payload.try_into().map_err(|_| bad(raw, "a signal is 4 bytes"))?;
                Self::SignalTree { signal: i32::from_le_bytes(bytes) }
            }
            kind::TAKE_CONTROL => Self::TakeControl,
            kind::RELEASE_CONTROL => Self::ReleaseControl,
            kind::CLOSE => Self::Close,
            _ if raw.flags & OPTIONAL != 0 => return Ok(None),
            kind => return Err(FrameError::Unknown { kind }),
        }))
    }
}

impl FromHolder {
    /// Appends the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome(v) => put_json(out, kind::WELCOME, 0, v),
            Self::Started(v) => put_json(out, kind::STARTED, 0, v),
            Self::StartFailed(v) => put_json(out, kind::START_FAILED, 0, v),
            Self::Exited(v) => put_json(out, kind::EXITED, 0, v),
            Self::TreeGone { generation } => put(out, kind::TREE_GONE, 0, &[&generation.to_le_bytes()]),
            Self::Output { offset, bytes } => put(out, kind::OUTPUT, 0, &[&offset.to_le_bytes(), bytes]),
            Self::Screen { offset, size, more, bytes } => {
                let flags = if *more { MORE } else { 0 };
                put(out, kind::SCREEN, flags, &[&offset.to_le_bytes(), &size_bytes(*size), bytes]);
            }
            Self::Lost { from, to } => put(out, kind::LOST, 0, &[&from.to_le_bytes(), &to.to_le_bytes()]),
            Self::Resized(size) => put(out, kind::RESIZED, 0, &[&size_bytes(*size)]),
            Self::InputDone { tag } => put(out, kind::INPUT_DONE, 0, &[&tag.to_le_bytes()]),
            Self::InputFailed { tag, refusal } => {
                let bytes = serde_json::to_vec(refusal).unwrap_or_default();
                put(out, kind::INPUT_FAILED, 0, &[&tag.to_le_bytes(), &bytes]);
            }
            Self::Control(v) => put_json(out, kind::CONTROL, OPTIONAL, v),
            Self::Trouble(v) => put_json(out, kind::TROUBLE, OPTIONAL, v),
            Self::Refused(v) => put_json(out, kind::REFUSED, 0, v),
        }
    }

    /// Reads a frame; `None` for one that is unknown and optional.
    ///
    /// # Errors
    /// [`FrameError::Payload`] and [`FrameError::Unknown`].
    pub fn parse(raw: Raw<'_>) -> Result<Option<Self>, FrameError> {
        Ok(Some(match raw.kind {
            kind::WELCOME => Self::Welcome(json(raw)?),
            kind::STARTED => Self::Started(json(raw)?),
            kind::START_FAILED => Self::StartFailed(json(raw)?),
            kind::EXITED => Self::Exited(json(raw)?),
            kind::TREE_GONE => Self::TreeGone { generation: number(raw)?.0 },
            kind::OUTPUT => {
                let (offset, bytes) = number(raw)?;
                Self::Output { offset, bytes: bytes.to_vec() }
            }
            kind::SCREEN => {
                let (offset, rest) = number(raw)?;
                let (cells, bytes) = rest.split_at_checked(4).ok_or_else(|| bad(raw, "it has no size"))?;
                let size = size(raw, cells)?;
                Self::Screen { offset, size, more: raw.flags & MORE != 0, bytes: bytes.to_vec() }
            }
            kind::LOST => {
                let (from, rest) = number(raw)?;
                let to = rest.try_into().map_err(|_| bad(raw, "it is not two offsets"))?;
                Self::Lost { from, to: u64::from_le_bytes(to) }
            }
            kind::RESIZED => Self::Resized(size(raw, raw.payload)?),
            kind::INPUT_DONE => Self::InputDone { tag: number(raw)?.0 },
            kind::INPUT_FAILED => {
                let (tag, rest) = number(raw)?;
                let refusal = serde_json::from_slice(rest).map_err(|e| bad(raw, e.to_string()))?;
                Self::InputFailed { tag, refusal }
            }
            kind::CONTROL => Self::Control(json(raw)?),
            kind::TROUBLE => Self::Trouble(json(raw)?),
            kind::REFUSED => Self::Refused(json(raw)?),
            _ if raw.flags & OPTIONAL != 0 => return Ok(None),
            kind => return Err(FrameError::Unknown { kind }),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holder::{
        Attach, ControlChange, Decoder, Exited, Hello, Start, StartFailed, Started, Stdio, Trouble, Welcome,
    };
    use crate::id::{ProcessIdentity, SessionId};
    use crate::refusal::{Code, Refusal};
    use crate::session::Exit;

    fn to_and_back(frame: &ToHolder) -> ToHolder {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        ToHolder::parse(decoder.next_frame().unwrap().unwrap()).unwrap().unwrap()
    }

    fn from_and_back(frame: &FromHolder) -> FromHolder {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        FromHolder::parse(decoder.next_frame().unwrap().unwrap()).unwrap().unwrap()
    }

    #[test]
    fn every_frame_reads_back_as_written() {
        let size = Size { cols: 132, rows: 43 };
        let process = ProcessIdentity { pid: 7, start_time: 8, boot_id: "b".into() };
        let refusal = Refusal::new(Code::WrongState, "a", "b").fix("c");
        let started = Started { generation: 2, process: process.clone(), offset: 9, piped: true };
        let exited =
            Exited { generation: 1, exit: Exit::Signal(9), at_ms: 1, offset: 2, survivors: 3, unwritten: 4 };
        let start = Start {
            generation: 1,
            argv: vec!["sh".into()],
            env: vec![("A".into(), "B".into())],
            cwd: "/".into(),
            stdio: Stdio::Pipes,
            size,
            keep: true,
        };
        for frame in [
            ToHolder::Hello(Hello {
                version: 1,
                client: "t".into(),
                attach: Attach::Offset(5),
                control: true,
                take: false,
                daemon: false,
                size: Some(size),
            }),
            ToHolder::Start(Box::new(start.clone())),
            ToHolder::Prepare(Box::new(start)),
            ToHolder::Input { tag: 4, bytes: vec![0, 255] },
            ToHolder::Resize(size),
            ToHolder::SignalTree { signal: 15 },
            ToHolder::TakeControl,
            ToHolder::ReleaseControl,
            ToHolder::Close,
        ] {
            assert_eq!(to_and_back(&frame), frame);
        }
        for frame in [
            FromHolder::Welcome(Welcome {
                version: 1,
                session: SessionId::from_random([9; 10]),
                process,
                generation: 2,
                runner: Some(started.clone()),
                exited: Some(exited.clone()),
                size,
                start_offset: 1,
                end_offset: 2,
                control: false,
                troubles: vec!["disk full".into()],
            }),
            FromHolder::Started(started),
            FromHolder::StartFailed(StartFailed { generation: 3, refusal: refusal.clone() }),
            FromHolder::Exited(exited),
            FromHolder::TreeGone { generation: 1 },
            FromHolder::Output { offset: 1 << 40, bytes: b"x\x1b".to_vec() },
            FromHolder::Screen { offset: 3, size, more: true, bytes: b"y".to_vec() },
            FromHolder::Lost { from: 1, to: 2 },
            FromHolder::Resized(size),
            FromHolder::InputDone { tag: 4 },
            FromHolder::InputFailed { tag: 4, refusal: refusal.clone() },
            FromHolder::Control(ControlChange { you: true, by: None }),
            FromHolder::Trouble(Trouble { troubles: vec![] }),
            FromHolder::Refused(refusal),
        ] {
            assert_eq!(from_and_back(&frame), frame);
        }
    }

    #[test]
    fn an_unknown_frame_is_skipped_only_when_it_says_it_may_be() {
        let optional = Raw { kind: 0xf0, flags: OPTIONAL, payload: b"?" };
        assert_eq!(FromHolder::parse(optional), Ok(None));
        let needed = Raw { flags: 0, ..optional };
        assert_eq!(FromHolder::parse(needed), Err(FrameError::Unknown { kind: 0xf0 }));
    }

    #[test]
    fn the_hot_path_header_is_the_same_frame() {
        let mut slow = Vec::new();
        FromHolder::Output { offset: 77, bytes: b"abc".to_vec() }.encode(&mut slow);
        let mut fast = output_header(77, 3).to_vec();
        fast.extend_from_slice(b"abc");
        assert_eq!(slow, fast);
    }
}
