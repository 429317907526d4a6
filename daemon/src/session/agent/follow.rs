//! The reader's task: the journal first, then the holder, live.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use delight_core::session::AgentHeard;
use delight_proto::agent::{AgentEvent, AgentOrder};
use delight_proto::holder::{Attach, Decoder, Exited, FromHolder, Hello, ToHolder, VERSION};
use delight_proto::id::SessionId;
use delight_proto::refusal::Code;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::fold::{Folded, fold, given};
use super::reading::Reading;
use super::{Ask, Said, Subject, last_words};
use crate::adapters::codec::Codec;
use crate::policy::resolved_all;

/// Bytes read at once.
const READ: usize = 16 << 10;

/// How long a holder may take to greet a viewer: as long as it may take to greet the daemon.
const GREETING: Duration = Duration::from_secs(10);

/// First and longest pause before it is begun anew: a runner that does not read is asked again once in a while.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How a stretch of following ended.
enum Followed {
    /// The runner has ended.
    Over(Option<Exited>),
    /// The journal has to be asked again.
    Again(String),
    /// Nobody listens.
    Nobody,
}

/// Reads a generation to its end, and ends then.
pub(super) async fn run(
    subject: Subject,
    codec: Box<dyn Codec>,
    mut asks: mpsc::Receiver<Ask>,
    to: mpsc::Sender<Said>,
) {
    let subject = Arc::new(subject);
    let mut fresh = Some(codec);
    let mut taken = subject.memory.stream.offset;
    let mut pause = PAUSE_FIRST;
    loop {
        let Some(codec) = fresh.take().or_else(|| subject.codec()) else { return };
        let folding = {
            let (subject, to) = (Arc::clone(&subject), to.clone());
            spawn_blocking(move || fold(&subject, codec, taken, u64::MAX, &to))
        };
        let why = match folding.await {
            Ok(Ok(Some(folded))) => {
                let before = folded.reading.at();
                let Folded { mut reading, ended, over } = folded;
                if reading.ready && !tell(&to, reading.aside(vec![AgentEvent::Ready])).await {
                    return;
                }
                let followed = if over || subject.ended {
                    tell_given(&subject, &to).await;
                    Followed::Over(ended)
                } else {
                    follow(&subject, &mut reading, &mut asks, &to).await
                };
                match followed {
                    Followed::Over(ended) => return finish(&subject, reading, ended, &to).await,
                    Followed::Nobody => return,
                    Followed::Again(why) => {
                        taken = taken.max(reading.told());
                        if reading.at() > before {
                            pause = PAUSE_FIRST;
                        }
                        why
                    }
                }
            }
            Ok(Ok(None)) => return,
            Ok(Err(e)) if subject.ended => {
                tracing::warn!(session = %subject.id, error = %e, "an agent's last words cannot be read");
                return;
            }
            Ok(Err(e)) => e.to_string(),
            Err(e) => {
                tracing::error!(session = %subject.id, error = %e, "reading an agent's protocol failed");
                return;
            }
        };
        tracing::debug!(session = %subject.id, why, "an agent's protocol is read anew");
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn follow(
    subject: &Subject,
    reading: &mut Reading,
    asks: &mut mpsc::Receiver<Ask>,
    to: &mpsc::Sender<Said>,
) -> Followed {
    let socket = subject.shared.launcher.place.holder_socket(subject.id);
    let mut viewer = match Viewer::connect(&socket, subject.id, reading.at()).await {
        Ok(viewer) => viewer,
        Err(why) => return Followed::Again(why),
    };
    let first = reading.caught_up();
    if !first.is_empty() && to.send(Said::Write { tag: None, bytes: first }).await.is_err() {
        return Followed::Nobody;
    }
    loop {
        tokio::select! {
            ask = asks.recv() => {
                let said = match ask {
                    None => return Followed::Nobody,
                    Some(Ask::Again) => return Followed::Again("something was not written".to_owned()),
                    Some(Ask::Order { tag, order }) => match reading.order(&order) {
                        Ok(bytes) if bytes.is_empty() => Said::Done { tag },
                        Ok(bytes) => Said::Write { tag: Some(tag), bytes },
                        Err(refusal) if refusal.code == Code::Busy && is_message(&order) => Said::NotYet { tag },
                        Err(refusal) => Said::Failed { tag, refusal },
                    },
                };
                if to.send(said).await.is_err() {
                    return Followed::Nobody;
                }
            }
            frame = viewer.frame() => match frame {
                Ok(FromHolder::Output { offset, bytes }) => {
                    for heard in reading.output(offset, &bytes) {
                        if !tell(to, resolved(subject, heard).await).await {
                            return Followed::Nobody;
                        }
                    }
                    let replies = reading.replies();
                    if !replies.is_empty()
                        && to.send(Said::Write { tag: None, bytes: replies }).await.is_err()
                    {
                        return Followed::Nobody;
                    }
                }
                Ok(FromHolder::Lost { to, .. }) => reading.lose(to),
                Ok(FromHolder::Exited(exited)) if exited.generation == subject.generation => {
                    return Followed::Over(Some(exited));
                }
                Ok(FromHolder::Started(up)) if up.generation > subject.generation => {
                    return Followed::Over(None);
                }
                Ok(_) => {}
                Err(why) => return Followed::Again(why),
            },
        }
    }
}

/// Messages wait on record for an agent that is busy; other orders are for now or not at all.
fn is_message(order: &AgentOrder) -> bool {
    matches!(order, AgentOrder::Prompt { .. })
}

/// Tells which messages the runner had that nobody knows of. It ended before this daemon could ask it.
async fn tell_given(subject: &Arc<Subject>, to: &mpsc::Sender<Said>) {
    if subject.queue.is_empty() {
        return;
    }
    let reading = {
        let (subject, to) = (Arc::clone(subject), to.clone());
        spawn_blocking(move || subject.codec().map(|codec| given(&subject, codec, &to)))
    };
    match reading.await {
        Ok(Some(Ok(had))) => {
            for local_id in had {
                // Nobody may listen any more; then nobody needs to know.
                let _ = to.send(Said::Given { local_id }).await;
            }
        }
        Ok(Some(Err(e))) => {
            tracing::warn!(session = %subject.id, error = %e, "what an ended agent was given cannot be read");
        }
        Ok(None) => {}
        Err(e) => {
            tracing::error!(session = %subject.id, error = %e, "reading what an agent was given failed");
        }
    }
}

/// Tells what is left, and why the runner failed if it did.
async fn finish(subject: &Subject, mut reading: Reading, ended: Option<Exited>, to: &mpsc::Sender<Said>) {
    for heard in reading.finish() {
        if !tell(to, resolved(subject, heard).await).await {
            return;
        }
    }
    let Some(exited) = ended else { return };
    let (journal, ready) = (subject.journal(), reading.ready);
    let words = spawn_blocking(move || last_words::of(&journal, &exited, ready)).await;
    if let Ok(Some(event)) = words {
        // Nobody may listen any more; then nobody needs to know.
        tell(to, reading.aside(vec![event])).await;
    }
}

/// Whether somebody listens.
async fn tell(to: &mpsc::Sender<Said>, heard: AgentHeard) -> bool {
    for part in heard.parts() {
        if to.send(Said::Heard(Box::new(part))).await.is_err() {
            return false;
        }
    }
    true
}

/// The same with the links in the paths it asks about resolved, beside the reactor.
async fn resolved(subject: &Subject, mut heard: AgentHeard) -> AgentHeard {
    for event in &mut heard.events {
        if let AgentEvent::Asked { ask } = event
            && !ask.paths.is_empty()
        {
            let (paths, cwd) = (ask.paths.clone(), subject.spec.cwd.clone());
            match spawn_blocking(move || resolved_all(&cwd, &paths)).await {
                Ok(paths) => ask.paths = paths,
                // The daemon ends; nobody will decide by these paths.
                Err(e) => tracing::debug!(error = %e, "paths were not resolved"),
            }
        }
    }
    heard
}

/// A connection to a holder that shows output and controls nothing.
struct Viewer {
    stream: UnixStream,
    decoder: Decoder,
}

impl Viewer {
    async fn connect(socket: &Path, id: SessionId, at: u64) -> Result<Self, String> {
        let connecting = async {
            let mut stream = UnixStream::connect(socket).await.map_err(|e| e.to_string())?;
            let mut hello = Vec::new();
            ToHolder::Hello(Hello {
                version: VERSION,
                client: concat!("delightd ", env!("CARGO_PKG_VERSION"), " (agent)").to_owned(),
                attach: Attach::Offset(at),
                control: false,
                take: false,
                daemon: false,
                size: None,
            })
            .encode(&mut hello);
            stream.write_all(&hello).await.map_err(|e| e.to_string())?;
            let mut viewer = Self { stream, decoder: Decoder::new() };
            match viewer.frame().await? {
                FromHolder::Welcome(welcome) if welcome.session == id => Ok(viewer),
                FromHolder::Welcome(welcome) => Err(format!("session {} answers", welcome.session)),
                _ => Err("the holder did not greet".to_owned()),
            }
        };
        timeout(GREETING, connecting).await.unwrap_or_else(|_| Err("the holder does not greet".to_owned()))
    }

    /// The next frame. Cancel safe: bytes are kept in the decoder, never in the future.
    async fn frame(&mut self) -> Result<FromHolder, String> {
        loop {
            while let Some(raw) = self.decoder.next_frame().map_err(|e| e.to_string())? {
                if let Some(frame) = FromHolder::parse(raw).map_err(|e| e.to_string())? {
                    return Ok(frame);
                }
            }
            self.decoder.shrink();
            self.stream.readable().await.map_err(|e| e.to_string())?;
            self.fill()?;
        }
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
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(format!("reading from the holder failed: {e}")),
        }
    }
}
