//! What clients ask for, and who may.

use std::io;

use delight_proto::holder::journal::{Mark, kind};
use delight_proto::holder::{Attach, ControlChange, FromHolder, Hello, OLDEST, ToHolder, VERSION, Welcome};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Size;

use crate::client::Client;
use crate::clock::now_ms;
use crate::holder::Holder;
use crate::input_queue::Receipt;
use crate::note;
use crate::screen;

impl Holder {
    /// Carries out every whole frame a client has sent.
    pub(crate) fn requests(&mut self, index: usize) {
        loop {
            let client = &mut self.clients[index];
            if client.leaving || (self.input.is_full() && !client.daemon) {
                return;
            }
            let parsed = match client.decoder.next_frame() {
                Ok(None) => {
                    client.decoder.shrink();
                    return;
                }
                Ok(Some(raw)) => ToHolder::parse(raw),
                Err(e) => Err(e),
            };
            match parsed {
                Ok(None) => {}
                Ok(Some(frame)) => self.request(index, frame),
                Err(e) => {
                    let refusal = Refusal::new(Code::BadRequest, "the connection was closed", e.to_string());
                    client.send(&FromHolder::Refused(refusal));
                    client.leaving = true;
                }
            }
        }
    }

    fn request(&mut self, index: usize, frame: ToHolder) {
        let client = &mut self.clients[index];
        if client.name.is_none() && !matches!(frame, ToHolder::Hello(_)) {
            client.send(&FromHolder::Refused(
                Refusal::new(Code::BadRequest, "the connection was closed", "its first frame is not Hello")
                    .fix("say Hello first"),
            ));
            client.leaving = true;
            return;
        }
        let id = client.id;
        let daemon = client.daemon;
        let daemon_only = |what: &str| {
            Err(Refusal::new(Code::Forbidden, what, "only the daemon may ask for that")
                .fix("ask the daemon: delightctl does"))
        };
        let done = match frame {
            ToHolder::Hello(hello) => self.hello(index, &hello),
            ToHolder::Start(start) if daemon => {
                self.start(*start);
                Ok(())
            }
            ToHolder::Start(_) => daemon_only("no runner was started"),
            ToHolder::Prepare(start) if daemon => {
                self.prepare(*start);
                Ok(())
            }
            ToHolder::Prepare(_) => daemon_only("nothing was prepared"),
            ToHolder::SignalTree { signal } if daemon => self.signal_tree(index, signal),
            ToHolder::SignalTree { .. } => daemon_only("nothing was signalled"),
            ToHolder::Close if daemon => self.close(),
            ToHolder::Close => daemon_only("the holder was not closed"),
            ToHolder::Input { tag, bytes } => self.typed(index, tag, bytes),
            ToHolder::Resize(size) => {
                let controls = self.controller == Some(id);
                if controls || (daemon && self.controller.is_none()) {
                    self.resize(size, Some(id));
                    if daemon {
                        // Its caller waits until it is done, also when the size was the same already.
                        self.clients[index].send(&FromHolder::Resized(size));
                    }
                    Ok(())
                } else {
                    Err(Refusal::new(
                        Code::Forbidden,
                        "the size was not changed",
                        "only the controlling client sets the size",
                    )
                    .fix("take control first"))
                }
            }
            ToHolder::TakeControl => {
                self.give_control(Some(id));
                Ok(())
            }
            ToHolder::ReleaseControl => {
                if self.controller == Some(id) {
                    self.give_control(None);
                }
                Ok(())
            }
        };
        if let Err(refusal) = done {
            self.clients[index].send(&FromHolder::Refused(refusal));
        }
    }

    fn hello(&mut self, index: usize, hello: &Hello) -> Result<(), Refusal> {
        let client = &mut self.clients[index];
        if client.name.is_some() {
            return Err(Refusal::new(Code::BadRequest, "Hello was ignored", "it was said before"));
        }
        client.hello_by = None;
        if hello.version < OLDEST {
            client.leaving = true;
            return Err(Refusal::new(
                Code::VersionSkew,
                "the connection was closed",
                format!("it speaks version {}; this holder speaks {OLDEST} to {VERSION}", hello.version),
            )
            .fix("use a client of at least this holder's version"));
        }
        client.name = Some(hello.client.chars().filter(|c| !c.is_control()).take(80).collect());
        client.daemon = hello.daemon;
        let id = client.id;
        if hello.daemon {
            for other in self.clients.iter_mut().filter(|other| other.daemon && other.id != id) {
                other.send(&FromHolder::Refused(Refusal::new(
                    Code::Conflict,
                    "this is not the session's daemon any more",
                    "a newer daemon has connected",
                )));
                other.daemon = false;
                other.leaving = true;
            }
        }
        let gets_control = hello.control && (hello.take || self.controller.is_none());
        if gets_control {
            self.controller = Some(id);
            if let Some(size) = hello.size {
                self.resize(size.clamped(), Some(id));
            }
        }
        // Output that waits to be read belongs behind the welcome, and the offsets in it are those of this moment.
        let welcome = Welcome {
            version: VERSION,
            session: self.session,
            process: self.identity.clone(),
            generation: self.generation,
            runner: self.runner.as_ref().map(|runner| runner.started.clone()),
            exited: self.exited.clone().filter(|_| self.runner.is_none()),
            size: self.size,
            start_offset: self.log.start(),
            end_offset: self.log.end(),
            control: gets_control,
            troubles: self.troubles(),
        };
        self.clients[index].send(&FromHolder::Welcome(welcome));
        if gets_control {
            // Its own share of the news was in the welcome.
            self.tell_control(Some(id));
        } else if hello.daemon && self.controller.is_some() {
            // A new daemon learns who controls; the welcome has no place for it.
            self.tell_who_controls(|client| client.id == id);
        }
        if hello.attach == Attach::Screen {
            let frames = screen::frames(&self.screen.draw(), self.log.end(), self.size);
            self.clients[index].send_screen(&frames);
        }
        self.clients[index].begin(hello.attach, &self.log);
        self.clients[index].proceed(&self.log);
        Ok(())
    }

    fn give_control(&mut self, to: Option<u64>) {
        if self.controller != to {
            self.controller = to;
            self.tell_control(None);
        }
    }

    /// Tells everybody, but for one who knows, who controls.
    fn tell_control(&mut self, knows: Option<u64>) {
        self.tell_who_controls(|client| Some(client.id) != knows);
    }

    fn tell_who_controls(&mut self, whom: impl Fn(&Client) -> bool) {
        let to = self.controller;
        let by = to.and_then(|id| self.clients.iter().find(|c| c.id == id)).and_then(|c| c.name.clone());
        for client in self.clients.iter_mut().filter(|client| client.name.is_some() && whom(client)) {
            client.told_viewer = false;
            client.send(&FromHolder::Control(ControlChange { you: Some(client.id) == to, by: by.clone() }));
        }
    }

    /// A connection is over.
    pub(crate) fn departed(&mut self, id: u64) {
        if self.controller == Some(id) {
            self.give_control(None);
        }
        // The connection we were started with ended before anything was started: nobody wants this holder.
        if id == 0 && self.generation == 0 && !self.clients.iter().any(|client| client.daemon) {
            self.closing = true;
        }
    }

    /// Sets the size: the kernel's, the screen's, the journal's, and everybody else's.
    pub(crate) fn resize(&mut self, size: Size, by: Option<u64>) {
        if size != self.size {
            self.set_size(size, by);
        }
    }

    /// The same, also when it is the size already.
    pub(crate) fn set_size(&mut self, size: Size, by: Option<u64>) {
        self.size = size;
        self.screen.resize(size);
        self.streams.resize(size);
        let journaled = self.log.mark(now_ms(), &Mark::Resized { size });
        for client in self.clients.iter_mut().filter(|c| c.name.is_some() && Some(c.id) != by) {
            client.send_in_order(&FromHolder::Resized(size), journaled);
        }
    }

    fn typed(&mut self, index: usize, tag: u64, bytes: Vec<u8>) -> Result<(), Refusal> {
        let full = self.input.is_full();
        let client = &mut self.clients[index];
        let refusal = if !client.daemon && self.controller != Some(client.id) {
            if tag == 0 && std::mem::replace(&mut client.told_viewer, true) {
                return Ok(());
            }
            Refusal::new(
                Code::Forbidden,
                "the input was not written",
                "another client controls the session, or none",
            )
            .fix("take control first")
        } else if self.piped && !client.daemon {
            if tag == 0 && std::mem::replace(&mut client.told_viewer, true) {
                return Ok(());
            }
            Refusal::new(
                Code::Forbidden,
                "the input was not written",
                "an agent is driven from afar: its runner speaks a protocol, not with a terminal",
            )
            .fix("send it a message (delightctl send), or take control back")
        } else if self.runner.is_none() {
            Refusal::new(Code::WrongState, "the input was not written", "no runner is alive")
        } else if full {
            Refusal::new(
                Code::Busy,
                "the input was not written",
                "the runner has not read 1 MiB of earlier input",
            )
        } else {
            let receipt = (tag != 0).then_some(Receipt { client: client.id, tag });
            // Before it is written, so that whatever it brings about has its cause in the journal.
            self.log.note(kind::INPUT, now_ms(), &bytes);
            self.input.push(receipt, bytes);
            self.write_input();
            return Ok(());
        };
        if tag == 0 {
            return Err(refusal);
        }
        client.send(&FromHolder::InputFailed { tag, refusal });
        Ok(())
    }

    /// Writes what the runner takes of the waiting input.
    pub(crate) fn write_input(&mut self) {
        let was_full = self.input.is_full();
        let mut done = Vec::new();
        let streams = &self.streams;
        let written: io::Result<()> =
            self.input.flush(|bytes| streams.write(bytes), |receipt| done.push(receipt));
        for receipt in done {
            self.answer(receipt, &FromHolder::InputDone { tag: receipt.tag });
        }
        if let Err(e) = written {
            self.fail_input(&format!("the runner takes no input any more: {e}"));
            self.streams.close_input();
        }
        if was_full && !self.input.is_full() {
            // Frames that were already read wait in the decoders, and no readiness will tell of them.
            for index in 0..self.clients.len() {
                self.requests(index);
            }
        }
    }

    /// Answers all waiting input: it will never be written whole.
    pub(crate) fn fail_input(&mut self, why: &str) {
        for receipt in self.input.fail() {
            let refusal = Refusal::new(Code::WrongState, "the input was not written whole", why);
            self.answer(receipt, &FromHolder::InputFailed { tag: receipt.tag, refusal });
        }
    }

    fn answer(&mut self, receipt: Receipt, frame: &FromHolder) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == receipt.client) {
            client.send(frame);
        }
    }

    fn close(&mut self) -> Result<(), Refusal> {
        if self.runner.is_some() || !self.tree_is_gone {
            // Whoever asks is told when it can be.
            self.tree_gone_wanted = true;
            return Err(Refusal::new(
                Code::WrongState,
                "the holder was not closed",
                "something of the session's process tree is alive",
            )
            .fix("end the tree first"));
        }
        note("closed by the daemon");
        self.closing = true;
        Ok(())
    }
}
