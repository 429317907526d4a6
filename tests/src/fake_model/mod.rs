//! A scripted stand-in for the model servers that coding agents call: Anthropic messages, OpenAI responses and Gemini,
//! on a port of the loopback. What the "model" says and does is written in the prompt (see `script.rs`).
//!
//! It keeps no conversation: which step of a script comes next is read off the transcript that an agent sends with every
//! request. Resuming, retrying and compacting therefore need no care, and many agents share one server.

mod anthropic;
mod conversation;
mod gates;
mod gemini;
mod http;
mod plan;
mod responses;
mod script;
mod tools;

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use conversation::Conversation;
use gates::Gates;
use http::{Body, Request};
use plan::{Item, Reply};

/// A request to a model and what became of it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path it went to.
    pub path: String,
    /// The script it played; empty: none.
    pub prompt: String,
    /// `open`, `done`, `aborted` (the agent hung up), or `status N`.
    pub outcome: String,
}

/// What all connections share.
#[derive(Debug, Default)]
struct Shared {
    gates: Gates,
    asked: Mutex<Vec<Asked>>,
    over: AtomicBool,
}

/// The server. It ends when this is dropped; connections that wait end with it.
#[derive(Debug)]
pub struct FakeModel {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl FakeModel {
    /// Serves on a port of its own.
    ///
    /// # Panics
    /// When the loopback cannot be listened on.
    #[must_use]
    pub fn start() -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").expect("the loopback can be listened on"))
    }

    /// Serves on this listener.
    ///
    /// # Panics
    /// When the listener has no address.
    #[must_use]
    pub fn serve(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if of_thread.over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || answer(&connection, &shared));
            }
        });
        Self { address, shared }
    }

    /// Where it serves.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Opens a gate for good: whoever waits there goes on.
    pub fn open_gate(&self, name: &str) {
        self.shared.gates.open(name);
    }

    /// How many wait at a gate.
    #[must_use]
    pub fn waiting_at(&self, name: &str) -> usize {
        self.shared.gates.waiting(name)
    }

    /// The requests to models so far, oldest first.
    ///
    /// # Panics
    /// When a connection's thread panicked while it wrote.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no writer panics").clone()
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

/// Serves one connection: one request, one answer.
fn answer(connection: &TcpStream, shared: &Shared) {
    // A client that says nothing for so long is none.
    let _ = connection.set_read_timeout(Some(Duration::from_secs(30)));
    let Ok(Some(request)) = http::read(connection) else { return };
    // Whoever hung up does not want to know.
    let _ = respond(connection, &request, shared);
    let _ = connection.shutdown(Shutdown::Both);
}

fn respond(connection: &TcpStream, request: &Request, shared: &Shared) -> std::io::Result<()> {
    let path = request.path.split('?').next().unwrap_or_default();
    if let Some(door) = path.strip_prefix("/_fake/") {
        return side_door(connection, door, &request.method, shared);
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let dialect = match path {
        _ if path.ends_with("/messages") => Dialect::Anthropic,
        _ if path.ends_with("/responses") => Dialect::Responses,
        _ if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") => {
            Dialect::Gemini
        }
        _ if path.ends_with("/count_tokens") || path.ends_with(":countTokens") => {
            let count = request.body.len() / 4;
            return http::json(connection, 200, &json!({"input_tokens": count, "totalTokens": count}));
        }
        _ if path.ends_with("/models") => {
            return http::json(connection, 200, &json!({"object": "list", "data": [], "models": []}));
        }
        _ => return http::json(connection, 404, &json!({"error": {"message": format!("no {path}")}})),
    };
    let conversation = dialect.parse(path, &body);
    let reply = plan::reply(&conversation);
    let number = shared.enter(path, &conversation);
    let outcome = match &reply.failure {
        Some((status, message)) => {
            http::json(connection, *status, &dialect.failure(*status, message))?;
            format!("status {status}")
        }
        None => {
            let spoken = speak(connection, dialect, &conversation, &reply, shared);
            if spoken.is_ok() { "done".to_owned() } else { "aborted".to_owned() }
        }
    };
    shared.leave(number, outcome);
    Ok(())
}

impl Shared {
    fn enter(&self, path: &str, conversation: &Conversation) -> usize {
        let prompt = conversation.script().map(|(_, text)| text).unwrap_or_default();
        let asked = Asked { path: path.to_owned(), prompt, outcome: "open".to_owned() };
        match self.asked.lock() {
            Ok(mut all) => {
                all.push(asked);
                all.len() - 1
            }
            Err(_) => 0,
        }
    }

    fn leave(&self, number: usize, outcome: String) {
        if let Ok(mut all) = self.asked.lock()
            && let Some(row) = all.get_mut(number)
        {
            row.outcome = outcome;
        }
    }
}

/// Streams a reply, in its time; ends early when the agent hangs up.
fn speak(
    connection: &TcpStream,
    dialect: Dialect,
    conversation: &Conversation,
    reply: &Reply,
    shared: &Shared,
) -> std::io::Result<()> {
    let mut body = Body::begin(connection, conversation.stream)?;
    let mut wait = |item: &Item| -> std::io::Result<()> {
        match item {
            Item::Wait(time) => shared.gates.pause(*time, connection, &shared.over),
            Item::Gate(name) => shared.gates.pass(name, connection, &shared.over),
            _ => Ok(()),
        }
    };
    match dialect {
        Dialect::Anthropic => anthropic::speak(&mut body, conversation, reply, &mut wait)?,
        Dialect::Responses => responses::speak(&mut body, conversation, reply, &mut wait)?,
        Dialect::Gemini => gemini::speak(&mut body, conversation, reply, &mut wait)?,
    }
    body.end()
}

/// Whose wire format.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    Anthropic,
    Responses,
    Gemini,
}

impl Dialect {
    fn parse(self, path: &str, body: &Value) -> Conversation {
        match self {
            Self::Anthropic => anthropic::parse(body),
            Self::Responses => responses::parse(body),
            Self::Gemini => gemini::parse(path, body),
        }
    }

    fn failure(self, status: u16, message: &str) -> Value {
        match self {
            Self::Anthropic => json!({"type": "error", "error": {"type": "api_error", "message": message}}),
            Self::Responses => json!({"error": {"type": "server_error", "message": message, "code": null}}),
            Self::Gemini => json!({"error": {"code": status, "message": message, "status": "INTERNAL"}}),
        }
    }
}

/// An id nobody had before, in this process and in those that ran before it: agents keep ids of former conversations.
fn fresh(prefix: &str) -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{prefix}{:x}{serial:04}", now.as_nanos())
}

/// For people who try things by hand: health, requests, gates.
fn side_door(connection: &TcpStream, door: &str, method: &str, shared: &Shared) -> std::io::Result<()> {
    let answer = match (method, door) {
        ("GET", "health") => json!({"ok": true}),
        ("GET", "asked") => {
            let asked = shared.asked.lock().map(|all| all.clone()).unwrap_or_default();
            let row = |a: &Asked| json!({"path": a.path, "prompt": a.prompt, "outcome": a.outcome});
            asked.iter().map(row).collect()
        }
        ("POST", _) if door.starts_with("gate/") => {
            shared.gates.open(door.trim_start_matches("gate/"));
            json!({"open": true})
        }
        _ => return http::json(connection, 404, &json!({"error": format!("no {door}")})),
    };
    http::json(connection, 200, &answer)
}
