//! A daemon and a holder that do what a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use delight_proto::api::envelope::{Request, Response};
use delight_proto::api::method::HelloResult;
use delight_proto::holder::{Decoder, FromHolder, ToHolder, VERSION, Welcome};
use delight_proto::id::{ProcessIdentity, SessionId};
use delight_proto::refusal::Refusal;
use delight_proto::session::{Desired, HolderIdentity, Phase, SessionView, Size};
use serde_json::Value;

/// Directories of one test.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("dctl").tempdir_in("/tmp").unwrap();
        std::fs::create_dir_all(dir.path().join("r/h")).unwrap();
        Self { dir }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("r/daemon.sock")
    }

    pub(crate) fn holder_socket(&self, id: SessionId) -> PathBuf {
        self.dir.path().join(format!("r/h/{id}.sock"))
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let base = self.dir.path();
        vec![
            ("DELIGHT_STATE_DIR", base.join("s")),
            ("DELIGHT_RUNTIME_DIR", base.join("r")),
            ("DELIGHT_CONFIG", base.join("c.toml")),
            ("HOME", base.to_owned()),
            ("TZ", PathBuf::from("UTC")),
        ]
    }

    pub(crate) fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_delightctl"));
        command.args(arguments).envs(self.environment()).stdin(Stdio::null());
        command.env_remove("DELIGHT_SESSION_ID").env_remove("DELIGHT_DETACH_KEY").env("PATH", "/nowhere");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.ctl(arguments).output().unwrap()
    }
}

/// What the daemon makes of a call.
pub(crate) enum Answer {
    Result(Value),
    No(Refusal),
    /// It closes the connection without an answer.
    HangUp,
}

/// Calls it was asked, in order.
pub(crate) type Calls = Arc<Mutex<Vec<(String, Value)>>>;

/// Serves the control API at the place until the test ends.
pub(crate) fn daemon(
    place: &Place,
    mut script: impl FnMut(&str, &Value) -> Answer + Send + 'static,
) -> Calls {
    let listener = UnixListener::bind(place.socket()).unwrap();
    let calls = Calls::default();
    let seen = calls.clone();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            serve(stream, &seen, &mut script);
        }
    });
    calls
}

fn serve(mut stream: UnixStream, seen: &Calls, script: &mut dyn FnMut(&str, &Value) -> Answer) {
    let reader = BufReader::new(stream.try_clone().unwrap());
    for line in reader.lines().map_while(Result::ok) {
        let request: Request = serde_json::from_str(&line).unwrap();
        let params: Value =
            request.params.map_or(Value::Null, |raw| serde_json::from_str(raw.get()).unwrap());
        let answer = if request.method == "hello" {
            Response::ok(
                request.id,
                &HelloResult {
                    protocol: 1,
                    version: "0.0".to_owned(),
                    pid: std::process::id(),
                    methods: Vec::new(),
                    kinds: vec!["pty".to_owned()],
                },
            )
        } else {
            seen.lock().unwrap().push((request.method.clone(), params.clone()));
            match script(&request.method, &params) {
                Answer::Result(value) => Response::ok(request.id, &value),
                Answer::No(refusal) => Response::refused(Some(request.id), refusal),
                Answer::HangUp => return,
            }
        };
        let mut text = serde_json::to_string(&answer).unwrap();
        text.push('\n');
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// A session whose holder would be at the place.
pub(crate) fn session(place: &Place, phase: Phase) -> SessionView {
    let id = SessionId::from_random(*b"0123456789");
    let process = ProcessIdentity { pid: 1, start_time: 1, boot_id: "b".to_owned() };
    let socket = place.holder_socket(id).display().to_string();
    SessionView {
        id,
        name: Some("web".parse().unwrap()),
        kind: "pty".to_owned(),
        command: vec!["bash".to_owned()],
        cwd: "/tmp".to_owned(),
        desired: Desired::Running,
        phase,
        reason: String::new(),
        since_ms: 1_000,
        created_ms: 1_000,
        generation: 1,
        pid: Some(1),
        holder: phase.is_live().then_some(HolderIdentity { socket, process }),
        exit: None,
        last_seq: 3,
        controller: None,
        agent: None,
        warnings: Vec::new(),
    }
}

/// A daemon that knows one session and answers `session.get` for it.
pub(crate) fn daemon_with(place: &Place, session: &SessionView) -> Calls {
    let view = serde_json::to_value(session).unwrap();
    daemon(place, move |method, _| match method {
        "session.get" => Answer::Result(view.clone()),
        other => panic!("unexpected {other}"),
    })
}

/// The holder's side of one attached client.
pub(crate) struct Holder {
    stream: UnixStream,
    frames: Receiver<ToHolder>,
}

/// Longest wait for a frame: generous, because only a failing test waits it out.
const LIMIT: Duration = Duration::from_secs(30);

/// Ends the connection for the client too, though a thread still reads it.
impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Waits for the next client of the session's holder and welcomes it. `control` is granted if wanted.
pub(crate) fn accept(listener: &UnixListener, session: &SessionView, control: bool) -> Holder {
    let (mut stream, _) = listener.accept().unwrap();
    let (sender, frames) = channel();
    let reader = stream.try_clone().unwrap();
    thread::spawn(move || read_frames(reader, &sender));
    let Ok(ToHolder::Hello(hello)) = frames.recv_timeout(LIMIT) else { panic!("no hello") };
    let process = ProcessIdentity { pid: 1, start_time: 1, boot_id: "b".to_owned() };
    let welcome = FromHolder::Welcome(Welcome {
        version: VERSION,
        session: session.id,
        process,
        generation: 1,
        runner: None,
        exited: None,
        size: Size::default(),
        start_offset: 0,
        end_offset: 0,
        control: control && hello.control,
        troubles: Vec::new(),
    });
    say(&mut stream, &welcome);
    Holder { stream, frames }
}

impl Holder {
    pub(crate) fn say(&mut self, frame: &FromHolder) {
        say(&mut self.stream, frame);
    }

    /// Output at an offset of no importance.
    pub(crate) fn output(&mut self, bytes: &[u8]) {
        self.say(&FromHolder::Output { offset: 0, bytes: bytes.to_vec() });
    }

    /// The next frame after the greeting; `None` once the client has gone.
    pub(crate) fn next(&self) -> Option<ToHolder> {
        match self.frames.recv_timeout(LIMIT) {
            Ok(frame) => Some(frame),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the client neither says anything nor goes"),
        }
    }

    /// What the client types next, in one frame or several.
    pub(crate) fn typed(&self, want: &[u8]) {
        let mut got = Vec::new();
        while got.len() < want.len() {
            match self.next() {
                Some(ToHolder::Input { bytes, .. }) => got.extend(bytes),
                other => panic!("unexpected {other:?} after {got:?}"),
            }
        }
        assert_eq!(got, want);
    }
}

fn say(stream: &mut UnixStream, frame: &FromHolder) {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    stream.write_all(&bytes).unwrap();
}

fn read_frames(mut stream: UnixStream, sender: &Sender<ToHolder>) {
    let mut decoder = Decoder::new();
    let mut chunk = [0u8; 4_096];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        decoder.push(&chunk[..n]);
        while let Some(raw) = decoder.next_frame().unwrap() {
            if let Some(frame) = ToHolder::parse(raw).unwrap()
                && sender.send(frame).is_err()
            {
                return;
            }
        }
    }
}
