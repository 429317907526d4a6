//! Runs of `delightctl` without a terminal, as scripts make them.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::until_some;

/// A run that has not begun.
pub struct Ctl {
    command: Command,
    input: Vec<u8>,
}

/// How a run ended.
#[derive(Debug)]
pub struct Done {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard output, as it came.
    pub stdout_bytes: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Ctl {
    pub(crate) fn new(command: Command) -> Self {
        Self { command, input: Vec::new() }
    }

    /// With more arguments.
    #[must_use]
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// In a directory.
    #[must_use]
    pub fn cwd(mut self, directory: &std::path::Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// With this on standard input.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = bytes.into();
        self
    }

    /// Begins it and returns at once: standard input closed, both outputs piped.
    pub fn start(mut self) -> Child {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.spawn().expect("delightctl can be started")
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not end within [`crate::LONG`] — and then it is ended.
    #[track_caller]
    pub fn run(mut self) -> Done {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(self.command.spawn().expect("delightctl can be started"));
        let mut stdin = child.0.stdin.take().unwrap();
        let input = self.input;
        // It may end without reading; then nobody misses the rest.
        let feed = thread::spawn(move || drop(stdin.write_all(&input)));
        let (mut stdout, mut stderr) = (child.0.stdout.take().unwrap(), child.0.stderr.take().unwrap());
        let out = thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
        });
        let err = thread::spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).map(|_| bytes).unwrap_or_default()
        });
        let status = until_some(&format!("{:?} ends", self.command), || child.0.try_wait().unwrap());
        // A daemon it started may hold the pipes open only by a fault of ours: then this hangs and the test says so.
        until_some("its output ends", || (out.is_finished() && err.is_finished()).then_some(()));
        feed.join().unwrap();
        let stdout_bytes = out.join().unwrap();
        Done {
            status: status.code(),
            stdout: String::from_utf8_lossy(&stdout_bytes).into_owned(),
            stdout_bytes,
            stderr: String::from_utf8_lossy(&err.join().unwrap()).into_owned(),
        }
    }

    /// Runs it and fails the test unless it succeeds.
    #[track_caller]
    pub fn ok(self) -> Done {
        self.ends(0)
    }

    /// Runs it and fails the test unless it ends with this status.
    #[track_caller]
    pub fn ends(self, status: i32) -> Done {
        let line = format!("{:?}", self.command.get_args().collect::<Vec<_>>());
        let done = self.run();
        assert_eq!(done.status, Some(status), "delightctl {line}: {done:#?}");
        done
    }

    /// Runs it and returns its one JSON document.
    #[track_caller]
    pub fn json(self) -> Value {
        self.ok().json()
    }
}

impl Done {
    /// The one JSON document on standard output.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not exactly one JSON document ({error}): {self:#?}"))
    }
}

/// Ends the child when a failing assertion leaves it behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
