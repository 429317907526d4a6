//! A machine of an account, served by one peer's daemon.

use std::process::Child;

use delight_tests::binaries::program;
use delight_tests::daemon::Daemon;
use delight_tests::link::{Link, MACHINE};
use delight_tests::{Sandbox, kernel};
use serde_json::{Value, json};

use super::caller::Caller;
use super::happy;
use crate::peer::Peer;

/// A machine, its daemon, and a phone of its account. Everything in it ends with it.
pub(super) struct Machine {
    pub(super) peer: Peer,
    pub(super) link: Link,
    pub(super) phone: Caller,
    /// The way the machine goes to the server.
    url: String,
    running: Option<Running>,
    /// Last: it ends what is left.
    pub(super) sandbox: Sandbox,
}

enum Running {
    Delight(Daemon),
    Happy(Child),
}

impl Machine {
    /// A machine that is paired and does not run. It reaches the server at `url`, its phone at `direct`.
    pub(super) fn paired(peer: Peer, url: &str, direct: &str) -> Self {
        let sandbox = Sandbox::new();
        let link = Link::make(&sandbox, url);
        let phone = Caller::connect(&link, MACHINE, direct);
        if peer == Peer::Happy {
            happy::pair(&sandbox, &link, phone.token());
        }
        Self { peer, link, phone, url: url.to_owned(), running: None, sandbox }
    }

    /// The same, with a daemon that answers phones.
    pub(super) fn online(peer: Peer, url: &str, direct: &str) -> Self {
        let mut machine = Self::paired(peer, url, direct);
        machine.start();
        machine.until_answered();
        machine
    }

    /// Waits until the daemon answers its phone. A peer that does not is told and counts with the time it was waited for.
    pub(super) fn until_answered(&mut self) {
        if let Err(why) = self.phone.until_answered() {
            assert!(self.peer != Peer::Delight, "{why}");
            eprintln!("{}: {why}", self.peer);
        }
    }

    /// Starts its daemon and does not wait for anything.
    pub(super) fn start(&mut self) {
        self.running = Some(match self.peer {
            Peer::Happy => Running::Happy(happy::start(&self.sandbox, &self.url)),
            _ => {
                let command = self.sandbox.command(program("delightd"));
                Running::Delight(Daemon::launch(command, self.sandbox.next_daemon_log()))
            }
        });
    }

    /// The daemon's process.
    pub(super) fn pid(&self) -> u32 {
        match self.running.as_ref().unwrap() {
            Running::Delight(daemon) => daemon.pid(),
            Running::Happy(daemon) => daemon.id(),
        }
    }

    /// The parameters of a new session: an agent that waits for the phone's words.
    pub(super) fn spawn(&self, number: usize) -> Value {
        json!({
            "type": "spawn-in-directory",
            "directory": self.sandbox.home(),
            "approvedNewDirectoryCreation": true,
            "agent": if self.peer == Peer::Happy { "claude" } else { "fake" },
            "clientRequestId": format!("bench-{number}"),
        })
    }

    /// Private memory of everything but agents: the daemon, and whatever stays with each session.
    pub(super) fn private_memory(&self) -> u64 {
        let mut pids: Vec<u32> = vec![self.pid()];
        match self.peer {
            // No agent runs before the first message: every process is one of Happy's own.
            Peer::Happy => pids.extend(self.sandbox.processes().into_keys().filter(|pid| *pid != self.pid())),
            _ => pids.extend(self.sandbox.holders().iter().map(|holder| holder.pid)),
        }
        pids.into_iter().map(kernel::private_memory).sum()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(Running::Happy(daemon)) = &mut self.running {
            // It may have ended already.
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}
