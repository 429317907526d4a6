//! One client: its requests in, answers and notifications out.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use delight_proto::api::MAX_LINE;
use delight_proto::api::envelope::{Request, Response};
use delight_proto::api::method::{Hello, HelloParams, HelloResult, Method, Subscribe};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::getuid;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Daemon;
use super::call::{Caller, served};
use super::lines::{Line, Lines};
use super::outgoing::{Outgoing, Permit, Room};
use super::request::{params, parse, raw, response};
use super::subscription::Following;

/// A client says hello at once; one that does not is not one of ours and would sit on a seat for ever.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Serves one client until it has gone or the daemon ends.
pub(super) async fn serve(stream: UnixStream, daemon: Arc<Daemon>, mut ending: watch::Receiver<bool>) {
    let cred = match stream.peer_cred() {
        Ok(cred) => cred,
        Err(e) => {
            tracing::warn!(error = %e, "a client without credentials is refused");
            return;
        }
    };
    let origin = Origin::Desktop { pid: cred.pid().and_then(|pid| u32::try_from(pid).ok()) };
    let (read, write) = stream.into_split();
    let (out, writer) = Outgoing::new(write);
    if cred.uid() == getuid().as_raw() {
        let mut client = Client {
            lines: Lines::new(read),
            caller: Caller::new(daemon, origin),
            out,
            subscribed: Arc::default(),
            calls: JoinSet::new(),
        };
        tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => {}
            () = client.run() => {}
        }
        // Answers under way are still given, unless nobody is there to hear them.
        if !client.has_hung_up() {
            while client.calls.join_next().await.is_some() {}
        }
    } else {
        tracing::warn!(uid = cred.uid(), "a client of another user is refused");
        let refusal =
            Refusal::new(Code::Forbidden, "you may not use this daemon", "it belongs to another user")
                .fix("run your own: delightctl up");
        let permit = out.permit().await;
        out.answer(&Response::refused(None, refusal), permit).await;
        drop(out);
    }
    // Ends when everything queued is written or the client is gone.
    let _ = writer.await;
}

struct Client {
    lines: Lines,
    caller: Caller,
    out: Outgoing,
    subscribed: Arc<AtomicBool>,
    calls: JoinSet<()>,
}

impl Client {
    async fn run(&mut self) {
        match tokio::time::timeout(HELLO_WITHIN, self.greet()).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                self.refuse(None, Refusal::new(Code::Timeout, "the connection is closed", "no hello came"))
                    .await;
                return;
            }
        }
        while let Some(line) = self.line().await {
            let permit = self.out.permit().await;
            while self.calls.try_join_next().is_some() {}
            match parse(&line) {
                Ok(request) => {
                    let (caller, out) = (self.caller.clone(), self.out.clone());
                    let subscribed = Arc::clone(&self.subscribed);
                    self.calls.spawn(answer(caller, out, subscribed, request, permit));
                }
                Err((id, refusal)) => self.out.answer(&Response::refused(id, refusal), permit).await,
            }
        }
    }

    /// The next line; `None` when the client says no more or must not.
    async fn line(&mut self) -> Option<Vec<u8>> {
        match self.lines.next().await {
            Ok(Line::Whole(line)) => Some(line),
            Ok(Line::End) => None,
            Ok(Line::TooLong) => {
                let refusal = Refusal::new(
                    Code::TooLarge,
                    "the connection is closed",
                    format!("a line was longer than {MAX_LINE} bytes"),
                )
                .fix("send less at once");
                self.refuse(None, refusal).await;
                None
            }
            Err(e) => {
                tracing::debug!(error = %e, "a client's connection broke");
                None
            }
        }
    }

    /// The first request is `hello`. Anything else is refused and the client may try again.
    async fn greet(&mut self) -> bool {
        while let Some(line) = self.line().await {
            match parse(&line) {
                Err((id, refusal)) => self.refuse(id, refusal).await,
                Ok(request) if request.method == Hello::NAME => {
                    let answer = params::<Hello>(&request).and_then(|hello| self.hello(&hello));
                    match answer {
                        Ok(result) => {
                            let permit = self.out.permit().await;
                            self.out.answer(&response(request.id, result), permit).await;
                            return true;
                        }
                        Err(refusal) => self.refuse(Some(request.id), refusal).await,
                    }
                }
                Ok(request) => {
                    let refusal = Refusal::new(
                        Code::BadRequest,
                        format!("{:?} cannot be answered yet", request.method),
                        "the first request of a connection must be hello",
                    )
                    .fix("send hello first");
                    self.refuse(Some(request.id), refusal).await;
                }
            }
        }
        false
    }

    fn hello(&self, hello: &HelloParams) -> Result<Box<serde_json::value::RawValue>, Refusal> {
        use delight_proto::api::PROTOCOL;
        if hello.protocol == 0 {
            return Err(Refusal::new(
                Code::VersionSkew,
                "client and daemon cannot talk",
                format!("the client speaks protocol {}, the daemon 1 to {PROTOCOL}", hello.protocol),
            )
            .fix("use a delightctl of the same release as the daemon"));
        }
        tracing::debug!(client = %hello.client.chars().take(80).collect::<String>(), "hello");
        raw(&HelloResult {
            protocol: hello.protocol.min(PROTOCOL),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            methods: served(),
            kinds: self.caller.kinds(),
        })
    }

    async fn refuse(&self, id: Option<u64>, refusal: Refusal) {
        let permit = self.out.permit().await;
        self.out.answer(&Response::refused(id, refusal), permit).await;
    }

    /// Whether the client is gone for good: one that only said that it will ask no more still reads.
    fn has_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(self.lines.stream().as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok()
            && fds[0]
                .revents()
                .is_some_and(|events| events.intersects(PollFlags::POLLHUP | PollFlags::POLLERR))
    }
}

/// Answers one request; the one that subscribes goes on telling changes.
async fn answer(
    caller: Caller,
    out: Outgoing,
    subscribed: Arc<AtomicBool>,
    request: Request,
    mut permit: Permit,
) {
    let id = request.id;
    let mut room = Room::of(&out, &mut permit);
    let (result, following) = if request.method == Subscribe::NAME {
        match Following::begin(&caller, &subscribed, &request, &mut room).await {
            Ok((result, following)) => (Ok(result), Some(following)),
            Err(refusal) => (Err(refusal), None),
        }
    } else {
        (caller.call(&request, &mut room).await, None)
    };
    drop(request);
    let response = match result {
        Ok(result) => response(id, result),
        Err(refusal) => Response::refused(Some(id), refusal),
    };
    out.answer(&response, permit).await;
    drop(response);
    if let Some(following) = following {
        following.forward(&out).await;
    }
}
