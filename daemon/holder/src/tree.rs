//! The tree of processes under the holder: reaping it, signalling it, knowing when it is gone.
//!
//! The holder is the subreaper of its session: whatever loses its parent becomes the holder's child. So as long as
//! anything of the tree lives, the holder has a child, and "no child" (`ECHILD`) is proof that nothing does. Where there
//! are no subreapers (macOS) what is left is looked for, and its end watched.

use std::collections::HashSet;

use delight_proto::holder::FromHolder;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Exit;
use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::holder::Holder;
use crate::processes::{self, Process};

/// Looks at the tree before giving up on finding nothing new: each look takes in a whole generation of forks.
const MAX_ROUNDS: usize = 100;

impl Holder {
    /// Collects everything that has ended.
    pub(crate) fn reap(&mut self) {
        let mut runner_exit = None;
        let gone = loop {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(signal as i32)),
                Ok(WaitStatus::StillAlive) => break false,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => break !self.orphans_live(),
            };
            if self.runner.as_ref().is_some_and(|runner| runner.pid == pid.as_raw()) {
                runner_exit = Some(exit);
            }
            self.prepared.take_if(|prepared| prepared.pid() == pid.as_raw());
        };
        if let Some(exit) = runner_exit {
            self.ended(exit);
        }
        if gone && !self.tree_is_gone {
            self.tree_is_gone = true;
            self.killing = None;
            // The last words of whoever outlived the runner.
            self.drain();
            if self.tree_gone_wanted && self.exit_is_durable {
                self.log.sync();
            }
        }
        if let Some(had) = self.killing.take() {
            // Whoever was forked while its parent was being killed is an orphan of ours now.
            self.killing = Some(signal_until_nothing_new(libc::SIGKILL, had));
        }
        if self.tree_is_gone && std::mem::take(&mut self.tree_gone_wanted) {
            self.broadcast(&FromHolder::TreeGone { generation: self.generation });
        }
    }

    /// Whether something of the tree lives that is not our child, and so is not waited for. Its end will be told.
    fn orphans_live(&self) -> bool {
        if processes::ORPHANS_COME_HERE || self.tree_is_gone {
            return false;
        }
        for _ in 0..MAX_ROUNDS {
            let orphans = processes::descendants();
            if orphans.is_empty() {
                return false;
            }
            if orphans.iter().all(|orphan| self.signals.watch_end_of(orphan.pid)) {
                return true;
            }
            // One ended before it was watched: the rest may have, too.
        }
        true
    }

    /// Signals everything that descends from the holder.
    pub(crate) fn signal_tree(&mut self, index: usize, signal: i32) -> Result<(), Refusal> {
        if !(1..=64).contains(&signal) {
            return Err(Refusal::new(
                Code::BadParams,
                "nothing was signalled",
                format!("{signal} is not a signal"),
            ));
        }
        if self.tree_is_gone {
            self.clients[index].send(&FromHolder::TreeGone { generation: self.generation });
            return Ok(());
        }
        self.tree_gone_wanted = true;
        let had = signal_until_nothing_new(signal, HashSet::new());
        if signal == libc::SIGKILL {
            self.killing = Some(had);
        }
        Ok(())
    }
}

/// Signals each process once, and looks again until no new one turns up.
fn signal_until_nothing_new(signal: i32, mut had: HashSet<Process>) -> HashSet<Process> {
    for _ in 0..MAX_ROUNDS {
        let mut new = false;
        for process in processes::descendants() {
            let key = Process { parent: 0, stopped: false, ended: false, ..process };
            if !had.insert(key) {
                continue;
            }
            new = true;
            processes::signal(&process, signal);
            if process.stopped && signal != libc::SIGKILL && signal != libc::SIGSTOP {
                // A stopped process would get it only once somebody lets it go on.
                processes::signal(&process, libc::SIGCONT);
            }
        }
        if !new {
            break;
        }
    }
    had
}
