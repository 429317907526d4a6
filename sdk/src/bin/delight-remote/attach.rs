//! A session of another machine as a holder would serve it: the same frames, made of calls.
//!
//! Output is asked for by offset and waits at the machine until there is some; what is typed goes in the order it was typed,
//! each piece once. While the link is broken a line on the screen says so; afterwards what was missed is shown, and then
//! the screen is drawn anew.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_proto::api::MAX_OUTPUT_WAIT_MS;
use delight_proto::api::method::{
    OutputBody, OutputFrom, OutputParams, OutputRecord, ResizeParams, SendParams, SessionGet, SessionOutput,
    SessionRef, SessionResize, SessionScreen, SessionSend,
};
use delight_proto::holder::frame::MAX_DATA;
use delight_proto::holder::{Decoder, Exited, FromHolder, Hello, ToHolder, VERSION, Welcome};
use delight_proto::id::{ProcessIdentity, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Size;
use delight_sdk::Phone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, mpsc};

use crate::machine::{PATIENCE, Remote};

/// Pieces typed and not yet taken by the machine. When it is full the terminal is no longer read: nothing is dropped.
const TYPED: usize = 64;
/// What is typed while a piece is under way goes together up to this, so that pasting takes few calls.
const PIECE: usize = 32 << 10;
/// Output of one answer: a screenful many times over, and well within what a call may carry.
const OUTPUT: u32 = 128 << 10;
/// As long as somebody is attached, the machine is tried again.
const FOR_EVER: Duration = Duration::MAX;

/// Something to do at the machine, in the order it was asked for.
enum Act {
    Type { tag: u64, bytes: Vec<u8> },
    Resize(Size),
}

/// One attachment.
struct Attachment {
    remote: Remote,
    id: SessionId,
    /// The newest runner when the attachment began: ends of older ones are no news.
    generation: u64,
    write: Mutex<OwnedWriteHalf>,
    /// The screen shows a line of ours.
    is_marked: AtomicBool,
}

/// Serves until the other end has gone, or the session ended.
pub(crate) async fn run(
    stream: UnixStream,
    phone: Result<Phone, Refusal>,
    machine: &str,
    session: &str,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut heard = Hearing { read, decoder: Decoder::new() };
    let Some(ToHolder::Hello(hello)) = heard.next().await? else {
        return Err(io::Error::other("the first frame is no greeting"));
    };
    let reached = async {
        let remote = Remote::find(phone?, machine).await?;
        let named = SessionRef { session: session.to_owned() };
        let view = remote.call_as::<SessionGet>(&named, PATIENCE).await?;
        Ok((remote, view))
    };
    let (remote, view) = match reached.await {
        Ok(reached) => reached,
        Err(refusal) => {
            let mut bytes = Vec::new();
            FromHolder::Refused(refusal).encode(&mut bytes);
            return write.write_all(&bytes).await;
        }
    };
    let attachment = Arc::new(Attachment {
        remote,
        id: view.id,
        generation: view.generation,
        write: Mutex::new(write),
        is_marked: AtomicBool::new(false),
    });
    let begun = match attachment.begin(&hello).await {
        Ok(offset) => offset,
        Err(refusal) => return attachment.put(&FromHolder::Refused(refusal)).await,
    };
    let (acts, asked) = mpsc::channel(TYPED);
    tokio::select! {
        shown = attachment.show(begun) => shown,
        typed = attachment.carry_out(asked) => typed,
        told = attachment.tell_trouble() => told,
        gone = listen(heard, acts) => gone,
    }
}

/// Frames of the other end.
struct Hearing {
    read: OwnedReadHalf,
    decoder: Decoder,
}

impl Hearing {
    /// The next frame; none at the end.
    async fn next(&mut self) -> io::Result<Option<ToHolder>> {
        let mut bytes = [0u8; 4 << 10];
        loop {
            if let Some(raw) = self.decoder.next_frame().map_err(io::Error::other)? {
                match ToHolder::parse(raw).map_err(io::Error::other)? {
                    Some(frame) => return Ok(Some(frame)),
                    None => continue,
                }
            }
            match self.read.read(&mut bytes).await? {
                0 => return Ok(None),
                count => self.decoder.push(&bytes[..count]),
            }
        }
    }
}

/// Takes what is typed, as fast as the machine takes it.
async fn listen(mut heard: Hearing, acts: mpsc::Sender<Act>) -> io::Result<()> {
    while let Some(frame) = heard.next().await? {
        let act = match frame {
            ToHolder::Input { tag, bytes } => Act::Type { tag, bytes },
            ToHolder::Resize(size) => Act::Resize(size),
            // Here everybody who may type does; the rest is for daemons.
            _ => continue,
        };
        if acts.send(act).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

impl Attachment {
    async fn put(&self, frame: &FromHolder) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.write.lock().await.write_all(&bytes).await
    }

    fn session(&self) -> String {
        self.id.to_string()
    }

    /// Greets and draws; the offset at which output goes on.
    async fn begin(&self, hello: &Hello) -> Result<u64, Refusal> {
        if let (true, Some(size)) = (hello.control, hello.size) {
            let params = ResizeParams { session: self.session(), size };
            // Somebody who is attached there decides; the picture is then drawn for their size.
            let _ = self.remote.call_as::<SessionResize>(&params, PATIENCE).await;
        }
        let gone = |_| Refusal::new(Code::Internal, "the terminal is gone", "nobody reads any longer");
        let screen = self.picture().await?;
        let welcome = Welcome {
            version: VERSION,
            session: self.id,
            process: ProcessIdentity { pid: 0, start_time: 0, boot_id: String::new() },
            generation: self.generation,
            runner: None,
            exited: None,
            size: screen.size,
            start_offset: 0,
            end_offset: screen.offset,
            control: hello.control,
            troubles: Vec::new(),
        };
        self.put(&FromHolder::Welcome(welcome)).await.map_err(gone)?;
        self.draw(&screen).await.map_err(gone)?;
        Ok(screen.offset)
    }

    async fn picture(&self) -> Result<Picture, Refusal> {
        let screen =
            self.remote.call_as::<SessionScreen>(&SessionRef { session: self.session() }, PATIENCE).await?;
        Ok(Picture { offset: screen.offset, size: screen.size, bytes: decoded(&screen.data)? })
    }

    async fn draw(&self, picture: &Picture) -> io::Result<()> {
        self.is_marked.store(false, Ordering::Relaxed);
        let Picture { offset, size, bytes } = picture;
        let mut pieces = bytes.chunks(MAX_DATA).peekable();
        loop {
            let piece = pieces.next().unwrap_or_default().to_vec();
            let more = pieces.peek().is_some();
            self.put(&FromHolder::Screen { offset: *offset, size: *size, more, bytes: piece }).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Shows output until the session ends.
    async fn show(&self, offset: u64) -> io::Result<()> {
        let mut from = OutputFrom::Offset(offset);
        loop {
            // With a line of ours on the screen it is drawn anew as soon as nothing more is there to show.
            let wait_ms = if self.is_marked.load(Ordering::Relaxed) { 0 } else { MAX_OUTPUT_WAIT_MS };
            let params =
                OutputParams { session: self.session(), from, max_bytes: OUTPUT, input: false, wait_ms };
            let found = match self.remote.call_as::<SessionOutput>(&params, FOR_EVER).await {
                Ok(found) => found,
                Err(refusal) => return self.put(&FromHolder::Refused(refusal)).await,
            };
            for record in found.records {
                if self.show_record(record).await? {
                    return Ok(());
                }
            }
            from = found.next;
            if found.at_end
                && self.is_marked.load(Ordering::Relaxed)
                && let Ok(picture) = self.picture().await
            {
                self.draw(&picture).await?;
                from = OutputFrom::Offset(picture.offset);
            }
        }
    }

    /// Shows one record; whether it is the session's end.
    async fn show_record(&self, record: OutputRecord) -> io::Result<bool> {
        let OutputRecord { offset, at_ms, body } = record;
        let frame = match body {
            OutputBody::Output { data } => {
                let bytes = decoded(&data).map_err(io::Error::other)?;
                let mut offset = offset;
                for piece in bytes.chunks(MAX_DATA) {
                    self.put(&FromHolder::Output { offset, bytes: piece.to_vec() }).await?;
                    offset += piece.len() as u64;
                }
                return Ok(false);
            }
            OutputBody::Lost { bytes } => FromHolder::Lost { from: offset, to: offset + bytes },
            OutputBody::Resized { size } => FromHolder::Resized(size),
            OutputBody::Exited { generation, exit } if generation >= self.generation => {
                let exited = Exited { generation, exit, at_ms, offset, survivors: 0, unwritten: 0 };
                self.put(&FromHolder::Exited(exited)).await?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.put(&frame).await?;
        Ok(false)
    }

    /// Carries out what was typed, one piece after the other.
    async fn carry_out(&self, mut acts: mpsc::Receiver<Act>) -> io::Result<()> {
        let mut next = None;
        while let Some(act) = match next.take() {
            Some(act) => Some(act),
            None => acts.recv().await,
        } {
            let done = match act {
                Act::Resize(size) => {
                    let params = ResizeParams { session: self.session(), size };
                    self.remote.call_as::<SessionResize>(&params, PATIENCE).await.map(drop)
                }
                Act::Type { tag, mut bytes } => {
                    let mut tags = vec![tag];
                    while bytes.len() < PIECE {
                        match acts.try_recv() {
                            Ok(Act::Type { tag, bytes: more }) => {
                                tags.push(tag);
                                bytes.extend(more);
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.write_input(&bytes, &tags).await?
                }
            };
            if let Err(refusal) = done {
                self.put(&FromHolder::Refused(refusal)).await?;
            }
        }
        Ok(())
    }

    async fn write_input(&self, bytes: &[u8], tags: &[u64]) -> io::Result<Result<(), Refusal>> {
        let params = SendParams { session: self.session(), data: BASE64.encode(bytes), request_id: None };
        let written = self.remote.call_as::<SessionSend>(&params, PATIENCE).await.map(drop);
        for tag in tags.iter().filter(|tag| **tag != 0) {
            let frame = match &written {
                Ok(()) => FromHolder::InputDone { tag: *tag },
                Err(refusal) => FromHolder::InputFailed { tag: *tag, refusal: refusal.clone() },
            };
            self.put(&frame).await?;
        }
        if let Err(refusal) = &written {
            self.mark(&format!("what you typed was not sent: {}", refusal.reason)).await?;
        }
        Ok(written)
    }

    /// Says on the screen that the machine cannot be reached, for as long as that is so.
    async fn tell_trouble(&self) -> io::Result<()> {
        let mut trouble = self.remote.trouble();
        loop {
            let reason = trouble.borrow_and_update().clone();
            if let Some(reason) = reason {
                let name = self.remote.name();
                self.mark(&format!("the link to {name} is broken, trying again: {reason}")).await?;
            }
            if trouble.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Puts a line of ours over the first of the screen, the cursor where it was.
    async fn mark(&self, words: &str) -> io::Result<()> {
        self.is_marked.store(true, Ordering::Relaxed);
        let words: String = words.chars().filter(|c| !c.is_control()).take(200).collect();
        let line = format!("\x1b7\x1b[1;1H\x1b[0;7m {words} \x1b[0m\x1b[K\x1b8");
        self.put(&FromHolder::Output { offset: 0, bytes: line.into_bytes() }).await
    }
}

struct Picture {
    offset: u64,
    size: Size,
    bytes: Vec<u8>,
}

fn decoded(data: &str) -> Result<Vec<u8>, Refusal> {
    BASE64
        .decode(data)
        .map_err(|e| Refusal::new(Code::VersionSkew, "the machine cannot be understood", e.to_string()))
}
