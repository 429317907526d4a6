//! Ways to the owner. None of them carries any content of a session.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use delight_proto::refusal::Code;
use delight_transport::http::{Client, Method, Options};
use delight_transport::server::Server;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::observe::{Notice, Occasion};
use super::settings::{NotifySettings, PushoverSettings};
use crate::process::errand::{Errand, plain_environment, run};

/// How long a hook or a desktop's program may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Bytes kept of what a hook says: enough for the log.
const WORDS: usize = 1_024;

/// Sends notices one after the other until nobody gives any more.
pub(super) async fn deliver(settings: NotifySettings, mut notices: mpsc::Receiver<Notice>) {
    let mut desktop = settings.desktop;
    let pushover = settings.pushover.as_ref().and_then(|settings| match Pushover::new(settings) {
        Ok(pushover) => Some(pushover),
        Err(reason) => {
            tracing::error!(reason, "notifications do not go to Pushover");
            None
        }
    });
    while let Some(notice) = notices.recv().await {
        let hook = async {
            if let Some((program, arguments)) = settings.command.split_first() {
                execute(program, arguments.iter().map(OsString::from).collect(), &notice).await;
            }
        };
        let shown = async {
            let (program, arguments) = on_the_desktop(&notice);
            desktop && execute(program, arguments, &notice).await == Some(Code::NotFound)
        };
        let pushed = async {
            if let Some(pushover) = &pushover {
                pushover.push(&notice).await;
            }
        };
        let ((), missing, ()) = tokio::join!(hook, shown, pushed);
        if missing {
            tracing::warn!(
                "there is no program that shows notifications on the desktop; it is not looked for again"
            );
            desktop = false;
        }
    }
}

/// What is said.
fn words(notice: &Notice) -> String {
    let what = match notice.occasion {
        Occasion::NeedsYou => "needs you",
        Occasion::Done => "is done",
        Occasion::Failed => "failed",
    };
    format!("{} {what}", notice.name)
}

/// The program that shows it, and its arguments. A name is letters, digits and `._-`: nothing of it can be taken for more.
fn on_the_desktop(notice: &Notice) -> (&'static str, Vec<OsString>) {
    if cfg!(target_os = "macos") {
        let script = format!("display notification \"{}\" with title \"delight\"", words(notice));
        return ("osascript", vec!["-e".into(), script.into()]);
    }
    let urgency = if notice.occasion == Occasion::Done { "normal" } else { "critical" };
    (
        "notify-send",
        ["--app-name=delight", "--urgency", urgency, "delight"]
            .map(OsString::from)
            .into_iter()
            .chain([words(notice).into()])
            .collect(),
    )
}

/// Runs a program for a notice; what went wrong, if it could not be run.
async fn execute(program: &str, arguments: Vec<OsString>, notice: &Notice) -> Option<Code> {
    let mut env = plain_environment();
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"] {
        env.extend(std::env::var_os(name).map(|value| (name.into(), value)));
    }
    env.extend([
        ("DELIGHT_EVENT".into(), notice.occasion.word().into()),
        ("DELIGHT_SESSION".into(), notice.session.as_str().into()),
        ("DELIGHT_NAME".into(), notice.name.clone().into()),
    ]);
    let errand = Errand {
        program: PathBuf::from(program),
        arguments,
        directory: Path::new("/").to_owned(),
        env,
        limit: LIMIT,
        most: WORDS,
    };
    match run(errand).await {
        Ok(outcome) if outcome.exit.is_some_and(|exit| exit.is_success()) => None,
        Ok(outcome) => {
            let exit =
                outcome.exit.map_or_else(|| format!("not done within {LIMIT:?}"), |exit| exit.to_string());
            let said = String::from_utf8_lossy(&outcome.stderr.bytes).trim().to_owned();
            tracing::warn!(program, exit, said, "a notification's program failed");
            None
        }
        Err(refusal) => {
            tracing::warn!(program, %refusal, "a notification's program could not be run");
            Some(refusal.code)
        }
    }
}

/// The service of that name.
struct Pushover {
    client: Client,
    settings: PushoverSettings,
}

/// What it is told.
#[derive(Serialize)]
struct Message<'a> {
    token: &'a str,
    user: &'a str,
    title: &'a str,
    message: String,
    priority: i8,
}

impl Pushover {
    fn new(settings: &PushoverSettings) -> Result<Self, String> {
        let server = Server::from_environment(&settings.url, None).map_err(|e| e.to_string())?;
        let options = Options { max_answer: 64 << 10, ..Options::default() };
        let client = Client::new(server, options).map_err(|e| e.to_string())?;
        Ok(Self { client, settings: settings.clone() })
    }

    async fn push(&self, notice: &Notice) {
        let message = Message {
            token: self.settings.token.expose(),
            user: self.settings.user.expose(),
            title: "delight",
            message: words(notice),
            priority: i8::from(notice.occasion == Occasion::NeedsYou),
        };
        let sent = self.client.request(Method::POST, "/1/messages.json", &[], Some(&message)).await;
        if let Err(e) = sent.and_then(|answer| answer.json::<Value>()) {
            tracing::warn!(error = %e, "Pushover did not take a notification");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::id::SessionId;
    use delight_proto::sync::bounded::Hidden;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn notice() -> Notice {
        Notice {
            occasion: Occasion::NeedsYou,
            session: SessionId::from_random([1; 10]),
            name: "web".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_hook_is_told_by_its_environment() {
        let base = tempfile::tempdir().unwrap();
        let out = base.path().join("out");
        let script = format!("echo $DELIGHT_EVENT $DELIGHT_SESSION $DELIGHT_NAME > {}", out.display());
        let settings = NotifySettings {
            command: ["sh", "-c", &script].map(str::to_owned).to_vec(),
            ..NotifySettings::default()
        };
        let (to, notices) = mpsc::channel(1);
        to.send(notice()).await.unwrap();
        drop(to);
        // Whoever runs errands collects children, as the daemon does.
        let mut child_ended = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::child()).unwrap();
        let mut delivering = std::pin::pin!(deliver(settings, notices));
        loop {
            tokio::select! {
                () = &mut delivering => break,
                _ = child_ended.recv() => crate::process::reap::collect(),
            }
        }
        let said = std::fs::read_to_string(out).unwrap();
        assert_eq!(said.trim(), format!("needs-you {} web", SessionId::from_random([1; 10])));
    }

    #[tokio::test]
    async fn pushover_gets_a_message_without_content() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let settings = PushoverSettings {
            token: Hidden::new("tok".to_owned()),
            user: Hidden::new("usr".to_owned()),
            url,
        };
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut got, mut chunk) = (Vec::new(), [0u8; 4096]);
            while !got.ends_with(b"}") {
                let n = stream.read(&mut chunk).await.unwrap();
                assert!(n > 0, "it closed early");
                got.extend_from_slice(&chunk[..n]);
            }
            let body = b"{\"status\":1}";
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
            String::from_utf8(got).unwrap()
        });
        Pushover::new(&settings).unwrap().push(&notice()).await;
        let got = served.await.unwrap();
        assert!(got.starts_with("POST /1/messages.json "), "{got}");
        let body: Value = serde_json::from_str(got.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "token": "tok", "user": "usr", "title": "delight", "message": "web needs you", "priority": 1,
            })
        );
    }
}
