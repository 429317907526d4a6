//! As much HTTP/1.1 as model clients need: one request a connection, answers that end with it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// Bytes of a request's head.
const MAX_HEAD: u64 = 64 << 10;
/// Bytes of a request's body: an agent sends its whole conversation, tools included.
const MAX_BODY: u64 = 64 << 20;

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
}

/// Reads one; none: the connection ended before it.
pub(super) fn read(connection: &TcpStream) -> io::Result<Option<Request>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut reader = BufReader::new(connection);
    let mut head = reader.by_ref().take(MAX_HEAD);
    let mut first = String::new();
    if head.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut words = first.split_ascii_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Err(bad("no request line")) };
    let (mut length, mut chunked, mut expects) = (0, false, false);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Err(bad("a head without an end"));
        }
        let Some((name, value)) = line.trim().split_once(':') else { break };
        let value = value.trim().to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| bad("a length that is no number"))?,
            "transfer-encoding" => chunked = value.contains("chunked"),
            "expect" => expects = value.contains("100-continue"),
            _ => {}
        }
    }
    if expects {
        (&*connection).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    if chunked {
        loop {
            let mut size = String::new();
            reader.by_ref().take(64).read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).map_err(|_| bad("a chunk without a size"))?;
            if size + body.len() as u64 > MAX_BODY {
                return Err(bad("a body without an end"));
            }
            reader.by_ref().take(size).read_to_end(&mut body)?;
            reader.by_ref().take(2).read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else if length > MAX_BODY {
        return Err(bad("a body that is too large"));
    } else {
        reader.by_ref().take(length).read_to_end(&mut body)?;
    }
    Ok(Some(Request { method, path, body }))
}

/// Answers with a JSON document.
pub(super) fn json(mut connection: &TcpStream, status: u16, value: &Value) -> io::Result<()> {
    let text = value.to_string();
    let length = text.len();
    write!(
        connection,
        "HTTP/1.1 {status} Fake\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
}

/// The body of a reply: events of a stream, or all of it at once.
#[derive(Debug)]
pub(super) struct Body<'a> {
    connection: &'a TcpStream,
    stream: bool,
    whole: Option<Value>,
}

impl<'a> Body<'a> {
    /// Begins the reply.
    pub(super) fn begin(mut connection: &'a TcpStream, stream: bool) -> io::Result<Self> {
        if stream {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
            connection.write_all(head.as_bytes())?;
        }
        Ok(Self { connection, stream, whole: None })
    }

    /// An event of the stream.
    pub(super) fn event(&mut self, name: Option<&str>, data: &Value) -> io::Result<()> {
        if !self.stream {
            return Ok(());
        }
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        self.chunk(&format!("{name}data: {data}\n\n"))
    }

    /// What an answer without a stream holds.
    pub(super) fn whole(&mut self, value: Value) {
        self.whole = Some(value);
    }

    /// Ends the reply.
    pub(super) fn end(mut self) -> io::Result<()> {
        match self.whole.take().filter(|_| !self.stream) {
            Some(whole) => json(self.connection, 200, &whole),
            None => self.chunk(""),
        }
    }

    fn chunk(&mut self, text: &str) -> io::Result<()> {
        write!(&mut &*self.connection, "{:x}\r\n{text}\r\n", text.len())
    }
}
