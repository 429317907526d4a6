//! A real holder started as the daemon starts it, and clients that block with a deadline.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use delight_proto::holder::{
    Attach, Decoder, Exited, FromHolder, Hello, Start, Started, Stdio, ToHolder, VERSION, Welcome,
};
use delight_proto::session::Size;

/// However slow the machine: nothing a test waits for takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) holder: Child,
    pub(crate) daemon: Peer,
}

pub(crate) struct Peer {
    stream: UnixStream,
    decoder: Decoder,
    /// Output bytes seen, and the offset of the first of them.
    pub(crate) seen: Vec<u8>,
    pub(crate) from: Option<u64>,
    pub(crate) lost: Vec<(u64, u64)>,
}

pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn hello(attach: Attach) -> Hello {
    Hello {
        version: VERSION,
        client: "test".into(),
        attach,
        control: false,
        take: false,
        daemon: false,
        size: None,
    }
}

pub(crate) fn sh(script: &str) -> Start {
    Start {
        generation: 1,
        argv: vec!["sh".into(), "-c".into(), script.into()],
        env: vec![("PATH".into(), std::env::var("PATH").unwrap()), ("TERM".into(), "xterm-256color".into())],
        cwd: "/".into(),
        stdio: Stdio::Pty,
        size: Size { cols: 80, rows: 24 },
        keep: false,
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(64 << 20, |_| {})
    }

    pub(crate) fn with(retain: u64, prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::Builder::new().prefix("dh").tempdir().unwrap();
        prepare(dir.path());
        let (holder, daemon) = launch(dir.path(), retain);
        let mut rig = Self { dir, holder, daemon };
        let welcome = rig.daemon.greet(Hello { daemon: true, ..hello(Attach::Nothing) });
        assert_eq!(welcome.process.pid, rig.holder.id());
        rig
    }

    pub(crate) fn started(start: Start) -> (Self, Started) {
        let mut rig = Self::new();
        let started = rig.start(start);
        (rig, started)
    }

    pub(crate) fn start(&mut self, start: Start) -> Started {
        self.daemon.send(&ToHolder::Start(Box::new(start)));
        self.daemon.find("Started", |f| match f {
            FromHolder::Started(started) => Some(started.clone()),
            FromHolder::StartFailed(failed) => panic!("{failed:?}"),
            _ => None,
        })
    }

    pub(crate) fn exited(&mut self) -> Exited {
        self.daemon.exited()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s.sock")
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::new(UnixStream::connect(self.socket()).unwrap())
    }

    pub(crate) fn attach(&self, attach: Attach) -> (Peer, Welcome) {
        let mut peer = self.connect();
        let welcome = peer.greet(hello(attach));
        (peer, welcome)
    }

    pub(crate) fn controller(&self, attach: Attach) -> Peer {
        let mut peer = self.connect();
        assert!(peer.greet(Hello { control: true, ..hello(attach) }).control);
        peer
    }

    /// Another daemon, as after a `kill -9` of the first.
    pub(crate) fn another_daemon(&mut self) -> Welcome {
        let mut peer = self.connect();
        let welcome = peer.greet(Hello { daemon: true, ..hello(Attach::Nothing) });
        self.daemon = peer;
        welcome
    }

    pub(crate) fn wait_for_end(&mut self) {
        let holder = &mut self.holder;
        until("the holder ends", || holder.try_wait().unwrap().is_some());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("holder.log")).unwrap_or_default()
    }
}

pub(crate) fn launch(dir: &Path, retain: u64) -> (Child, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let lock = File::create(dir.join("holder.lock")).unwrap();
    let log = File::options().append(true).create(true).open(dir.join("holder.log")).unwrap();
    let holder = Command::new(env!("CARGO_BIN_EXE_delight-holder"))
        .args(["--session", "0123456789abcdef", "--dir"])
        .arg(dir)
        .arg("--socket")
        .arg(dir.join("s.sock"))
        .args(["--retain", &retain.to_string()])
        .stdin(OwnedFd::from(theirs))
        .stdout(lock)
        .stderr(log)
        .spawn()
        .unwrap();
    (holder, Peer::new(ours))
}

impl Drop for Rig {
    /// Leaves nothing behind: ends what is still alive, by the identities the holder knows.
    fn drop(&mut self) {
        if self.holder.try_wait().ok().flatten().is_some() {
            return;
        }
        let mut pids = vec![self.holder.id()];
        let mut at = 0;
        while at < pids.len() {
            for task in std::fs::read_dir(format!("/proc/{}/task", pids[at])).into_iter().flatten().flatten()
            {
                let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            at += 1;
        }
        for pid in pids.into_iter().skip(1).rev() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::SIGKILL);
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Peer {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, decoder: Decoder::new(), seen: Vec::new(), from: None, lost: Vec::new() }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, frame: &ToHolder) {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        self.raw(&bytes);
    }

    pub(crate) fn greet(&mut self, hello: Hello) -> Welcome {
        self.send(&ToHolder::Hello(hello));
        self.find("Welcome", |f| match f {
            FromHolder::Welcome(welcome) => Some(welcome.clone()),
            _ => None,
        })
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.send(&ToHolder::Input { tag: 0, bytes: text.into() });
    }

    /// The next frame; `None` at the end of the connection. Output is also collected in `seen`.
    pub(crate) fn next(&mut self) -> Option<FromHolder> {
        loop {
            if let Some(raw) = self.decoder.next_frame().unwrap() {
                let Some(frame) = FromHolder::parse(raw).unwrap() else { continue };
                match &frame {
                    FromHolder::Output { offset, bytes } => {
                        let start = *self.from.get_or_insert(*offset);
                        if self.lost.is_empty() {
                            assert_eq!(start + self.seen.len() as u64, *offset, "output is contiguous");
                        }
                        self.seen.extend_from_slice(bytes);
                    }
                    FromHolder::Lost { from, to } => self.lost.push((*from, *to)),
                    _ => {}
                }
                return Some(frame);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.decoder.push(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => panic!("no frame came: {e}"),
            }
        }
    }

    pub(crate) fn find<T>(&mut self, what: &str, mut wanted: impl FnMut(&FromHolder) -> Option<T>) -> T {
        while let Some(frame) = self.next() {
            if let Some(found) = wanted(&frame) {
                return found;
            }
        }
        panic!("the connection ended before {what}");
    }

    pub(crate) fn exited(&mut self) -> Exited {
        self.find("Exited", |f| match f {
            FromHolder::Exited(exited) => Some(exited.clone()),
            _ => None,
        })
    }

    pub(crate) fn tree_gone(&mut self) {
        self.find("TreeGone", |f| matches!(f, FromHolder::TreeGone { .. }).then_some(()));
    }

    pub(crate) fn refused(&mut self) -> delight_proto::refusal::Refusal {
        self.find("Refused", |f| match f {
            FromHolder::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        })
    }

    /// Reads until the output seen holds `text`.
    pub(crate) fn see(&mut self, text: &str) {
        while !contains(&self.seen, text.as_bytes()) {
            assert!(self.next().is_some(), "the connection ended before {text:?}; seen: {}", self.text());
        }
    }

    /// The same for the very end of a long output, without looking through all of it each time.
    pub(crate) fn see_at_end(&mut self, text: &str) {
        while !self.seen.ends_with(text.as_bytes()) {
            assert!(self.next().is_some(), "the connection ended before {text:?}");
        }
    }

    /// Whether anything comes within a moment.
    pub(crate) fn has_something(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let got = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        got.is_ok()
    }

    /// Another handle on the same connection, to write from another thread.
    pub(crate) fn clone_stream(&self) -> Self {
        Self::new(self.stream.try_clone().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }
}

pub(crate) fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}
