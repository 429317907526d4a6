//! The forms a journal is printed in.

use std::io::{self, BufWriter, Stderr, Stdout, Write};

use super::asciicast::Asciicast;
use super::history::encoded;
use super::strip::LineText;
use super::{Body, Record};
use crate::failure::{self, Failure};
use crate::output::note;
use crate::text;

/// Where records go.
pub(crate) struct Printer {
    out: BufWriter<Stdout>,
    err: Stderr,
    form: Form,
}

/// How they look there.
pub(crate) enum Form {
    /// The bytes as they were written.
    Raw,
    /// Text without escape sequences.
    Stripped(Box<LineText>),
    /// A recording.
    Asciicast(Box<Asciicast>),
    /// One record a line.
    JsonLines,
    /// All records in one document; whether one was printed already.
    JsonDocument { any: bool },
}

impl Printer {
    pub(crate) fn new(form: Form) -> Self {
        Self { out: BufWriter::with_capacity(64 << 10, io::stdout()), err: io::stderr(), form }
    }

    /// What comes before the first record.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(crate) fn begin(&mut self, session: &str, start_offset: u64) -> Result<(), Failure> {
        if matches!(self.form, Form::JsonDocument { .. }) {
            write!(self.out, r#"{{"session":"{session}","start_offset":{start_offset},"records":["#)
                .map_err(failure::output)?;
        }
        Ok(())
    }

    /// One record.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), Failure> {
        self.write(record).map_err(failure::output)
    }

    /// Nothing more comes for now: what is there must be seen.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(crate) fn idle(&mut self) -> Result<(), Failure> {
        if let Form::Stripped(text) = &mut self.form {
            text.show_unfinished(&mut self.out).map_err(failure::output)?;
        }
        self.out.flush().map_err(failure::output)
    }

    /// What comes after the last record.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(crate) fn end(mut self, end_offset: u64) -> Result<(), Failure> {
        match &mut self.form {
            Form::Raw | Form::JsonLines => Ok(()),
            Form::Stripped(text) => text.finish(&mut self.out),
            Form::Asciicast(cast) => cast.finish(&mut self.out),
            Form::JsonDocument { .. } => writeln!(self.out, r#"],"end_offset":{end_offset}}}"#),
        }
        .and_then(|()| self.out.flush())
        .map_err(failure::output)
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        match &mut self.form {
            Form::JsonLines => {
                serde_json::to_writer(&mut self.out, &encoded(record))?;
                return self.out.write_all(b"\n");
            }
            Form::JsonDocument { any } => {
                if std::mem::replace(any, true) {
                    self.out.write_all(b",")?;
                }
                return Ok(serde_json::to_writer(&mut self.out, &encoded(record))?);
            }
            Form::Asciicast(cast) => return cast.record(&mut self.out, record),
            Form::Raw | Form::Stripped(_) => {}
        }
        match (&record.body, &mut self.form) {
            (Body::Output(bytes), Form::Stripped(text)) => text.feed(bytes, &mut self.out)?,
            (Body::Output(bytes), _) => self.out.write_all(bytes)?,
            // What the command wrote to its standard error goes to ours, as if it had been run here.
            (Body::Stderr(bytes), _) => self.err.write_all(bytes)?,
            (Body::Lost(bytes), _) => {
                self.out.flush()?;
                note(&format!("note: {} of output are lost here\n", text::count(*bytes, "byte")));
            }
            (Body::Input(_) | Body::Started(_) | Body::Exited(..) | Body::Resized(_), _) => {}
        }
        Ok(())
    }
}

/// Plain text.
pub(crate) fn stripped() -> Form {
    Form::Stripped(Box::new(LineText::new()))
}
