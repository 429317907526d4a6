//! One runner's life: its start, what it prints, its end.

use std::time::Instant;

use delight_proto::holder::journal::{Mark, kind};
use delight_proto::holder::{Exited, FromHolder, Start, StartFailed, Started, Stdio};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;

use crate::client::Client;
use crate::clock::now_ms;
use crate::holder::Holder;
use crate::note;
use crate::processes;
use crate::runner::Prepared;
use crate::screen;

/// After a runner's end at most this much is read before the end is told. All it wrote itself fits the kernel's
/// buffers (64 KiB for a terminal; a pipe holds 1 MiB at most), so it is read; what a survivor goes on printing is
/// output like any other and comes later.
const MAX_DRAIN: usize = 2 << 20;

/// A living runner.
pub(crate) struct Runner {
    pub(crate) pid: i32,
    pub(crate) started: Started,
}

impl Holder {
    /// Starts a runner and tells everybody, or tells the daemon why not.
    pub(crate) fn start(&mut self, start: Start) {
        let generation = start.generation;
        let refusal = if self.runner.is_some() {
            Refusal::new(Code::WrongState, "no runner was started", "one is alive").fix("end it first")
        } else if start.generation <= self.generation {
            Refusal::new(
                Code::Conflict,
                "no runner was started",
                format!("generation {} is not newer than {}", start.generation, self.generation),
            )
        } else {
            let prepared = match self.prepared.take().filter(|prepared| prepared.is_for(&start)) {
                Some(prepared) => Ok(prepared),
                None => Prepared::new(start),
            };
            match prepared.and_then(|prepared| self.begin(prepared)) {
                Ok(()) => return,
                Err(refusal) => refusal,
            }
        };
        let failed = FromHolder::StartFailed(StartFailed { generation, refusal });
        for daemon in self.clients.iter_mut().filter(|client| client.daemon) {
            daemon.send(&failed);
        }
    }

    /// Makes ready what a start needs, unless something is alive: then nothing more is forked that could be taken for a
    /// part of it. What fails here fails again when it is asked for, and is told then.
    pub(crate) fn prepare(&mut self, start: Start) {
        self.prepared = None;
        if self.runner.is_none() && self.tree_is_gone && start.generation > self.generation {
            self.prepared = Prepared::new(start).ok();
        }
    }

    fn begin(&mut self, prepared: Prepared) -> Result<(), Refusal> {
        let (start, pid, streams) = prepared.go()?;
        #[cfg(target_os = "macos")]
        processes::session_begins(pid);
        let size = start.size.clamped();
        let started = Started {
            generation: start.generation,
            process: processes::identity(pid),
            offset: self.log.end(),
            piped: start.stdio == Stdio::Pipes,
        };
        self.piped = started.piped;
        self.runner = Some(Runner { pid, started: started.clone() });
        self.streams = streams;
        self.input.begin();
        self.generation = start.generation;
        self.keep = start.keep;
        (self.exited, self.exit_is_durable, self.tree_is_gone) = (None, false, false);
        self.screen.next_program();
        // Whoever reads the journal from here on knows the size before anything is printed at it.
        self.set_size(size, None);
        let journaled = self.log.mark(now_ms(), &Mark::Started(started.clone()));
        self.broadcast_in_order(&FromHolder::Started(started), journaled);
        if start.generation > 1 {
            // The new program must not meet what the old one has set in the clients' terminals.
            self.redraw();
        }
        Ok(())
    }

    /// Sends the screen anew to every client that has asked for screens and is up to date.
    fn redraw(&mut self) {
        if !self.clients.iter().any(Client::wants_redraw) {
            return;
        }
        let frames = screen::frames(&self.screen.draw(), self.log.end(), self.size);
        for client in self.clients.iter_mut().filter(|client| client.wants_redraw()) {
            client.send_screen(&frames);
        }
    }

    /// Shows the screen keeper what was printed, and lets it answer a terminal's questions while no terminal that
    /// could is attached.
    pub(crate) fn watch_screen(&mut self, bytes: &[u8]) {
        let mut answers = Vec::new();
        self.screen.feed(bytes, &mut answers);
        let terminal = self.clients.iter().any(|c| self.controller == Some(c.id) && c.follows());
        if answers.is_empty()
            || terminal
            || self.runner.is_none()
            || self.input.is_full()
            || !self.streams.is_terminal()
        {
            return;
        }
        // They are input like any other: whoever reads the journal sees what the runner was told.
        self.log.note(kind::INPUT, now_ms(), &answers);
        self.input.push(None, answers);
        self.write_input();
    }

    /// The runner has ended: what it wrote is read, its end recorded and told.
    pub(crate) fn ended(&mut self, exit: Exit) {
        let Some(runner) = self.runner.take() else { return };
        self.drain();
        self.fail_input("the runner has ended");
        self.streams.close_input();
        let survivors = processes::descendants().len();
        let exited = Exited {
            generation: runner.started.generation,
            exit,
            at_ms: now_ms(),
            offset: self.log.end(),
            survivors: u32::try_from(survivors).unwrap_or(u32::MAX),
            unwritten: self.input.failed(),
        };
        self.tree_gone_wanted |= survivors > 0;
        self.exited = Some(exited.clone());
        let journaled = self.log.mark(exited.at_ms, &Mark::Exited(exited.clone()));
        self.exit_is_durable = journaled && self.log.sync();
        if !self.exit_is_durable {
            note(&format!(
                "generation {} ended with {exit}, and the journal does not know",
                exited.generation
            ));
        }
        self.broadcast_in_order(&FromHolder::Exited(exited), journaled);
        for client in &mut self.clients {
            // From now on each has its time to take the tail.
            client.progress = Instant::now();
        }
    }

    /// Reads what the terminal or the pipes still hold.
    pub(crate) fn drain(&mut self) {
        let mut left = MAX_DRAIN;
        while left > 0 {
            let got = self.read_output(left);
            let errors = self.read_errors(left);
            if got + errors == 0 {
                return;
            }
            left = left.saturating_sub(got + errors);
        }
    }
}
