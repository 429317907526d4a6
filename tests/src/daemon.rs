//! A running `delightd`.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use delight_proto::place::Place;
use nix::sys::signal::Signal;

use crate::api::Client;
use crate::{kernel, until_some};

/// A daemon this test started. Ended by force when dropped; its sessions belong to the sandbox.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command run` and returns once the control socket answers with this daemon's pid.
    ///
    /// # Panics
    /// When it ends first, with what it said.
    #[track_caller]
    pub fn start(command: Command, log: PathBuf, place: &Place) -> Self {
        let mut daemon = Self::launch(command, log);
        let pid = daemon.pid();
        until_some("the daemon answers", || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("delightd ended with {status}:\n{}", daemon.log());
            }
            let client = Client::connect(&place.control_socket()).ok()?;
            (client.daemon().pid == pid).then_some(())
        });
        daemon
    }

    /// Starts `command run` and does not wait for anything.
    pub fn launch(mut command: Command, log: PathBuf) -> Self {
        let file = File::create(&log).unwrap();
        let child = command
            .arg("run")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .expect("delightd can be started");
        Self { child, log }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`, and gone.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// `SIGTERM`, and its status.
    #[track_caller]
    pub fn terminate(self) -> ExitStatus {
        kernel::signal(self.pid(), Signal::SIGTERM);
        self.ended()
    }

    /// Its status once it ends by itself.
    #[track_caller]
    pub fn ended(mut self) -> ExitStatus {
        until_some("the daemon ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
