//! A recording in asciicast v2, the format asciinema plays: a header line, then one event a line.

use std::io::{self, Write};

use delight_proto::session::Size;
use serde_json::{Value, json};

use super::utf8::Utf8;
use super::{Body, Record};

/// Writes a recording.
pub(crate) struct Asciicast {
    title: String,
    /// The terminal's size until a record says otherwise.
    size: Size,
    /// Also what was typed.
    input: bool,
    /// Time of the first record, once the header is out.
    start_ms: Option<u64>,
    /// Time of the last event: a clock that was set back must not make time run backwards.
    last_ms: u64,
    output: Utf8,
    typed: Utf8,
}

impl Asciicast {
    pub(crate) fn new(title: String, size: Size, input: bool) -> Self {
        Self {
            title,
            size,
            input,
            start_ms: None,
            last_ms: 0,
            output: Utf8::default(),
            typed: Utf8::default(),
        }
    }

    pub(super) fn record(&mut self, out: &mut impl Write, record: &Record) -> io::Result<()> {
        // Sizes before the first byte belong into the header.
        if let (Body::Resized(size), None) = (&record.body, self.start_ms) {
            self.size = *size;
            return Ok(());
        }
        if let (Body::Started(1), None) = (&record.body, self.start_ms) {
            return Ok(());
        }
        self.begin(out, record.at_ms)?;
        self.last_ms = self.last_ms.max(record.at_ms);
        match &record.body {
            Body::Output(bytes) | Body::Stderr(bytes) => {
                let text = self.output.text(bytes);
                self.event(out, "o", &text)
            }
            Body::Input(bytes) if self.input => {
                let text = self.typed.text(bytes);
                self.event(out, "i", &text)
            }
            Body::Input(_) => Ok(()),
            Body::Resized(size) => self.event(out, "r", &format!("{}x{}", size.cols, size.rows)),
            Body::Lost(bytes) => self.event(out, "m", &format!("{bytes} bytes lost")),
            Body::Started(generation) => self.event(out, "m", &format!("start {generation}")),
            Body::Exited(_, exit) => self.event(out, "m", &exit.to_string()),
        }
    }

    /// Writes what is left. A recording without any record still is one.
    pub(super) fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.begin(out, 0)?;
        let rest = self.output.rest();
        self.event(out, "o", &rest)
    }

    fn begin(&mut self, out: &mut impl Write, at_ms: u64) -> io::Result<()> {
        if self.start_ms.is_some() {
            return Ok(());
        }
        self.start_ms = Some(at_ms);
        self.last_ms = at_ms;
        let header = json!({
            "version": 2,
            "width": self.size.cols,
            "height": self.size.rows,
            "timestamp": at_ms / 1_000,
            "title": self.title,
        });
        line(out, &header)
    }

    fn event(&self, out: &mut impl Write, kind: &str, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let seconds = (self.last_ms - self.start_ms.unwrap_or(self.last_ms)) as f64 / 1_000.0;
        line(out, &json!([seconds, kind, text]))
    }
}

fn line(out: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::session::Exit;

    fn cast(records: Vec<(u64, Body)>, input: bool) -> Vec<Value> {
        let mut cast = Asciicast::new("t".to_owned(), Size::default(), input);
        let mut out = Vec::new();
        for (at_ms, body) in records {
            cast.record(&mut out, &Record { offset: 0, at_ms, body }).unwrap();
        }
        cast.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    #[test]
    fn header_then_events_with_relative_times() {
        let lines = cast(
            vec![
                (5_000, Body::Resized(Size { cols: 100, rows: 30 })),
                (5_000, Body::Started(1)),
                (5_000, Body::Output(b"a".to_vec())),
                (5_500, Body::Input(b"x".to_vec())),
                (6_000, Body::Resized(Size { cols: 90, rows: 20 })),
                (5_900, Body::Output("日".as_bytes()[..1].to_vec())),
                (7_000, Body::Output("日".as_bytes()[1..].to_vec())),
                (8_000, Body::Exited(1, Exit::Code(3))),
            ],
            true,
        );
        assert_eq!(lines[0]["version"], 2);
        assert_eq!((&lines[0]["width"], &lines[0]["height"]), (&json!(100), &json!(30)));
        assert_eq!(lines[0]["timestamp"], 5);
        assert_eq!(
            lines[1..],
            [
                json!([0.0, "o", "a"]),
                json!([0.5, "i", "x"]),
                json!([1.0, "r", "90x20"]),
                json!([2.0, "o", "日"]),
                json!([3.0, "m", "exit status 3"]),
            ]
        );
    }

    #[test]
    fn typed_text_stays_out_unless_asked_for() {
        let lines =
            cast(vec![(0, Body::Output(b"$ ".to_vec())), (1, Body::Input(b"secret".to_vec()))], false);
        assert!(!format!("{lines:?}").contains("secret"));
    }

    #[test]
    fn nothing_recorded_is_an_empty_recording() {
        assert_eq!(cast(vec![], false).len(), 1);
    }
}
