//! The holder's state, and the loop that waits for whatever happens next.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use delight_proto::holder::{Exited, FromHolder, Trouble};
use delight_proto::id::{ProcessIdentity, SessionId};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Size;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::arguments::Arguments;
use crate::client::Client;
use crate::generation::Runner;
use crate::input_queue::InputQueue;
use crate::listener::Listener;
use crate::note;
use crate::output::ReadBuffer;
use crate::output_log::OutputLog;
use crate::processes::{self, Process};
use crate::runner::{Prepared, Source, Streams};
use crate::screen::Screen;
use crate::signals::{Arrived, Signals};
use crate::startup;

/// Clients at once: far more than one person's terminals, phones and scripts on one session, and few enough that all
/// of them stalled at once keep some 8 MiB.
const MAX_CLIENTS: usize = 64;
/// A connection that has not said `Hello` by then is closed.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long nobody is accepted after that has failed.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// At the end, a client that takes nothing for this long does not get its tail.
const TAIL_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes read from a client at once.
const REQUESTS: usize = 8 << 10;

/// Everything a holder is.
pub(crate) struct Holder {
    pub(crate) session: SessionId,
    pub(crate) identity: ProcessIdentity,
    /// Held, never used: see [`startup::Inherited::lock`].
    _lock: OwnedFd,
    pub(crate) signals: Signals,
    listener: Listener,
    pub(crate) clients: Vec<Client>,
    next_client: u64,
    pub(crate) controller: Option<u64>,
    pub(crate) log: OutputLog,
    pub(crate) screen: Screen,
    pub(crate) size: Size,
    pub(crate) streams: Streams,
    pub(crate) input: InputQueue,
    /// The newest generation, 0 before the first.
    pub(crate) generation: u64,
    /// Whether the newest runner speaks a protocol on pipes: terminals are not shown it, and cannot type into it.
    pub(crate) piped: bool,
    /// What the next start may find ready.
    pub(crate) prepared: Option<Prepared>,
    /// The runner, while it is alive.
    pub(crate) runner: Option<Runner>,
    /// How the newest runner ended.
    pub(crate) exited: Option<Exited>,
    /// Whether that is durable in the journal.
    pub(crate) exit_is_durable: bool,
    pub(crate) keep: bool,
    /// Whether nothing of the tree is alive.
    pub(crate) tree_is_gone: bool,
    /// Somebody waits for `TreeGone`.
    pub(crate) tree_gone_wanted: bool,
    /// While a `SIGKILL` of the tree is under way: what has had it.
    pub(crate) killing: Option<HashSet<Process>>,
    pub(crate) closing: bool,
    troubles: Vec<String>,
    pub(crate) buffer: ReadBuffer,
    /// After a failed accept: when to try again.
    accept_again: Option<Instant>,
}

/// Whom a readiness is about.
#[derive(Clone, Copy)]
enum Token {
    Signals,
    Listener,
    Output,
    Errors,
    Input,
    Client(usize),
}

impl Holder {
    /// Becomes a holder. When that fails the daemon is told on its control connection.
    pub(crate) fn open(arguments: &Arguments) -> io::Result<Self> {
        let inherited = startup::detach()?;
        let signals = Signals::watch()?;
        let opened = Listener::bind(&arguments.socket)
            .map_err(|e| (format!("{} could not be bound", arguments.socket.display()), e.to_string()))
            .and_then(|listener| {
                let log = OutputLog::open(arguments.dir.join("journal"), arguments.retain_bytes);
                log.map(|log| (listener, log))
                    .map_err(|e| ("the journal could not be opened".to_owned(), e.to_string()))
            });
        let mut control = Client::new(0, inherited.control, None);
        let (listener, (log, recovery)) = match opened {
            Ok(opened) => opened,
            Err((what, why)) => {
                control.send(&FromHolder::Refused(Refusal::new(Code::Storage, what.clone(), why.clone())));
                return Err(io::Error::other(format!("{what}: {why}")));
            }
        };
        if recovery.cut_bytes > 0 || recovery.damaged_bytes > 0 {
            note(&format!(
                "the journal was not closed properly: {} unfinished bytes cut, {} damaged bytes left as they are",
                recovery.cut_bytes, recovery.damaged_bytes
            ));
        }
        let size = Size::default();
        Ok(Self {
            session: arguments.session,
            identity: processes::identity(std::process::id() as i32),
            _lock: inherited.lock,
            signals,
            listener,
            clients: vec![control],
            next_client: 1,
            controller: None,
            log,
            screen: Screen::new(size),
            size,
            streams: Streams::default(),
            input: InputQueue::default(),
            generation: 0,
            piped: false,
            prepared: None,
            runner: None,
            exited: None,
            exit_is_durable: false,
            keep: false,
            tree_is_gone: true,
            tree_gone_wanted: false,
            killing: None,
            closing: false,
            troubles: Vec::new(),
            buffer: ReadBuffer::default(),
            accept_again: None,
        })
    }

    /// Holds the session until it is over.
    pub(crate) fn run(mut self) -> io::Result<()> {
        while !self.is_over() {
            let ready = self.wait()?;
            for (token, flags) in ready {
                self.handle(token, flags)?;
            }
            self.settle();
        }
        self.listener.remove();
        Ok(())
    }

    /// Waits until something can be done, or a deadline passes.
    fn wait(&mut self) -> io::Result<Vec<(Token, PollFlags)>> {
        let mut tokens = vec![Token::Signals];
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let mut add = |token, fd, flags| {
            tokens.push(token);
            fds.push(PollFd::new(fd, flags));
        };
        if self.clients.len() < MAX_CLIENTS && self.accept_again.is_none() {
            add(Token::Listener, self.listener.as_fd(), PollFlags::POLLIN);
        }
        for (token, source) in [(Token::Output, Source::Output), (Token::Errors, Source::Errors)] {
            if let Some(fd) = self.streams.source(source) {
                add(token, fd, PollFlags::POLLIN);
            }
        }
        if let (false, Some(fd)) = (self.input.is_empty(), self.streams.sink()) {
            add(Token::Input, fd, PollFlags::POLLOUT);
        }
        for (index, client) in self.clients.iter().enumerate() {
            let mut flags = PollFlags::empty();
            // The daemon is always heard: it must be able to end a runner that does not read. Its own input is
            // refused while the queue is full.
            if !client.leaving && (client.daemon || !self.input.is_full()) {
                flags |= PollFlags::POLLIN;
            }
            if client.wants_to_write() {
                flags |= PollFlags::POLLOUT;
            }
            add(Token::Client(index), client.as_fd(), flags);
        }
        let timeout = match self.deadline() {
            None => PollTimeout::NONE,
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        let ready = tokens.into_iter().zip(&fds);
        Ok(ready
            .filter_map(|(token, fd)| Some((token, fd.revents()?)).filter(|(_, f)| !f.is_empty()))
            .collect())
    }

    /// The next moment something is due without anything happening; none while the session is idle.
    fn deadline(&self) -> Option<Instant> {
        let hello = self.clients.iter().filter_map(|client| client.hello_by);
        let tail = self.clients.iter().filter(|c| self.is_ending() && c.wants_to_write());
        let tail = tail.map(|client| client.progress + TAIL_PATIENCE);
        hello.chain(tail).chain(self.log.retry_at()).chain(self.accept_again).min()
    }

    fn handle(&mut self, token: Token, flags: PollFlags) -> io::Result<()> {
        match token {
            Token::Signals => {
                while let Some(arrived) = self.signals.next()? {
                    self.signalled(arrived);
                }
            }
            Token::Listener => {
                while self.clients.len() < MAX_CLIENTS {
                    match self.listener.accept() {
                        Ok(Some(stream)) => {
                            let by = Instant::now() + HELLO_WITHIN;
                            self.clients.push(Client::new(self.next_client, stream, Some(by)));
                            self.next_client += 1;
                        }
                        Ok(None) => break,
                        Err(e) => {
                            // No descriptors left, most likely. The session goes on; the connection waits.
                            note(&format!("a client could not be accepted: {e}"));
                            self.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
                            break;
                        }
                    }
                }
            }
            Token::Output => {
                self.read_output_now();
            }
            Token::Errors => {
                self.read_errors_now();
            }
            Token::Input => self.write_input(),
            Token::Client(index) => {
                if flags.contains(PollFlags::POLLOUT) {
                    self.clients[index].proceed(&self.log);
                }
                if flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
                    self.hear(index);
                }
            }
        }
        Ok(())
    }

    fn signalled(&mut self, arrived: Arrived) {
        match arrived {
            Arrived::Child => self.reap(),
            Arrived::Rebind => match self.listener.rebind() {
                Ok(true) => note("the socket's path was gone: bound again"),
                Ok(false) => {}
                Err(e) => note(&format!("the socket's path is gone and could not be bound again: {e}")),
            },
            Arrived::Terminate => {
                if self.tree_is_gone {
                    self.closing = true;
                }
            }
        }
    }

    fn hear(&mut self, index: usize) {
        self.with_buffer(REQUESTS, |holder, buffer| {
            if !holder.clients[index].read(buffer) {
                holder.clients[index].gone = true;
            }
        });
        self.requests(index);
    }

    /// Sends a frame to everybody who has said `Hello`.
    pub(crate) fn broadcast(&mut self, frame: &FromHolder) {
        for client in self.clients.iter_mut().filter(|client| client.name.is_some()) {
            client.send(frame);
        }
    }

    /// The same for a frame that belongs between two bytes of output.
    pub(crate) fn broadcast_in_order(&mut self, frame: &FromHolder, journaled: bool) {
        for client in self.clients.iter_mut().filter(|client| client.name.is_some()) {
            client.send_in_order(frame, journaled);
        }
    }

    /// After everything that was ready has been handled: deadlines, departures, troubles.
    fn settle(&mut self) {
        let now = Instant::now();
        self.accept_again = self.accept_again.filter(|at| *at > now);
        if self.log.retry_at().is_some_and(|at| at <= now) {
            self.log.retry(crate::clock::now_ms());
        }
        let troubles = self.log.troubles();
        if troubles != self.troubles {
            self.troubles.clone_from(&troubles);
            self.broadcast(&FromHolder::Trouble(Trouble { troubles }));
        }
        let ending = self.is_ending();
        for client in &mut self.clients {
            if client.hello_by.is_some_and(|by| by <= now) {
                client.send(&FromHolder::Refused(Refusal::new(
                    Code::Timeout,
                    "the connection was closed",
                    "it did not say Hello within 10 s",
                )));
                client.gone = true;
            }
            if client.leaving && !client.wants_to_write() {
                client.gone = true;
            }
            if ending && client.wants_to_write() && client.progress + TAIL_PATIENCE <= now {
                client.gone = true;
            }
        }
        let gone: Vec<u64> = self.clients.iter().filter(|c| c.gone).map(|c| c.id).collect();
        self.clients.retain(|client| !client.gone);
        for id in gone {
            self.departed(id);
        }
    }

    /// Whether nothing is left to do but to let the clients have their tail.
    fn is_ending(&self) -> bool {
        let ended = self.exited.is_some() && self.runner.is_none() && self.tree_is_gone;
        self.closing || (ended && !self.keep && self.exit_is_durable)
    }

    fn is_over(&self) -> bool {
        self.is_ending() && self.clients.iter().all(|client| !client.wants_to_write())
    }

    /// Present troubles, in words.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.log.troubles()
    }
}
