//! What a session has written so far, page by page from the daemon.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use delight_proto::api::MAX_OUTPUT_BYTES;
use delight_proto::api::method::{
    OutputBody, OutputFrom, OutputParams, OutputRecord, OutputResult, SessionOutput,
};
use delight_proto::refusal::{Code, Refusal};

use super::{Body, Record};
use crate::connection::Connection;
use crate::failure::Failure;

/// Between two offsets this close, reading is quicker than asking.
const NEAR: u64 = MAX_OUTPUT_BYTES as u64;

/// A reader of one session's journal.
pub(crate) struct History {
    daemon: Connection,
    session: String,
    /// Also what was typed.
    input: bool,
    next: OutputFrom,
    /// Output before it is not wanted, even where a record begins earlier.
    from_offset: u64,
    /// Records before it are not wanted, up to the first that is not.
    since_ms: u64,
}

/// A page of records.
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// First offset still kept.
    pub(crate) start_offset: u64,
    /// Offset of the journal's end when the page was read.
    pub(crate) end_offset: u64,
    /// Whether there is no more at present.
    pub(crate) at_end: bool,
}

impl History {
    /// A reader that stands at the beginning.
    pub(crate) fn new(daemon: Connection, session: String, input: bool) -> Self {
        Self { daemon, session, input, next: OutputFrom::default(), from_offset: 0, since_ms: 0 }
    }

    /// The connection, for other questions in between.
    pub(crate) fn daemon(&mut self) -> &mut Connection {
        &mut self.daemon
    }

    /// Goes on with another connection: of a daemon that was started in place of the one before.
    pub(crate) fn reconnected(&mut self, daemon: Connection) {
        self.daemon = daemon;
    }

    /// Goes to an output offset.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.next = OutputFrom::Offset(offset);
        self.from_offset = offset;
    }

    /// Goes to the last `lines` lines.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn seek_tail(&mut self, lines: usize) -> Result<(), Failure> {
        // A guess at the length of a line, then eight times as much, until there are enough of them.
        let mut window = (lines as u64).saturating_mul(128).max(8 << 10);
        loop {
            self.next = OutputFrom::Tail(window);
            let (begin, found) = self.tail_begin(lines)?;
            if let Some(offset) = found.or(begin) {
                self.seek(offset);
                return Ok(());
            }
            window = window.saturating_mul(8);
        }
    }

    /// Reads from [`Self::next`] to the end. Gives the offset the last lines begin at, if they are all in there; and
    /// the offset of the journal's own beginning, if it is in there.
    fn tail_begin(&mut self, lines: usize) -> Result<(Option<u64>, Option<u64>), Failure> {
        let mut starts: VecDeque<u64> = VecDeque::new();
        let mut first = None;
        let mut end = 0;
        loop {
            let page = self.page(MAX_OUTPUT_BYTES)?;
            for record in &page.records {
                first.get_or_insert(record.offset);
                if let Body::Output(bytes) = &record.body {
                    end = record.offset + bytes.len() as u64;
                    for at in bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at) {
                        starts.push_back(record.offset + at as u64 + 1);
                        // One more than asked for: whether the last line is finished is known only at the end.
                        if starts.len() > lines + 1 {
                            starts.pop_front();
                        }
                    }
                }
            }
            if page.at_end {
                // Nothing follows the last line end: it begins no line.
                if starts.back() == Some(&end) {
                    starts.pop_back();
                }
                let whole = first.unwrap_or(0) <= page.start_offset;
                let enough = starts.len().checked_sub(lines).and_then(|at| starts.get(at).copied());
                return Ok((whole.then_some(page.start_offset), if lines == 0 { Some(end) } else { enough }));
            }
        }
    }

    /// Goes to the first record written at or after a time.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn seek_time(&mut self, since_ms: u64) -> Result<(), Failure> {
        self.next = OutputFrom::Offset(0);
        let probe = self.page(1)?;
        let (mut low, mut high) = (probe.start_offset, probe.end_offset);
        while high - low > NEAR {
            let middle = low + (high - low) / 2;
            self.next = OutputFrom::Offset(middle);
            match self.page(1)?.records.first() {
                Some(record) if record.at_ms < since_ms => low = middle,
                _ => high = middle,
            }
        }
        self.seek(low);
        self.since_ms = since_ms;
        Ok(())
    }

    /// The next page.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn next(&mut self) -> Result<Page, Failure> {
        let mut page = self.page(MAX_OUTPUT_BYTES)?;
        let (from, since) = (self.from_offset, self.since_ms);
        page.records.retain_mut(|record| trim(record, from));
        if since > 0 {
            let old = page.records.iter().take_while(|record| record.at_ms < since).count();
            page.records.drain(..old);
            // Clocks jump: after the first that counts, all count.
            if !page.records.is_empty() {
                self.since_ms = 0;
            }
        }
        Ok(page)
    }

    fn page(&mut self, max_bytes: u32) -> Result<Page, Failure> {
        let params = OutputParams {
            session: self.session.clone(),
            from: self.next,
            max_bytes,
            input: self.input,
            wait_ms: 0,
        };
        let OutputResult { records, next, start_offset, end_offset, at_end } =
            self.daemon.call::<SessionOutput>(&params)?;
        let stuck = !at_end && next == self.next && records.is_empty();
        if stuck {
            return Err(Refusal::new(
                Code::Internal,
                "the output cannot be read further",
                format!("the daemon gives nothing after {next:?} and does not call it the end"),
            )
            .into());
        }
        self.next = next;
        let records = records.into_iter().map(decoded).collect::<Result<_, _>>()?;
        Ok(Page { records, start_offset, end_offset, at_end })
    }
}

/// Cuts output before an offset away; `false` when nothing is left of the record.
fn trim(record: &mut Record, from: u64) -> bool {
    if record.offset >= from {
        return true;
    }
    match &mut record.body {
        Body::Output(bytes) => {
            let cut = usize::try_from(from - record.offset).unwrap_or(usize::MAX).min(bytes.len());
            bytes.drain(..cut);
            record.offset += cut as u64;
            !bytes.is_empty()
        }
        Body::Lost(bytes) => {
            let end = record.offset + *bytes;
            *bytes = end.saturating_sub(from);
            record.offset = from;
            *bytes > 0
        }
        _ => false,
    }
}

fn decoded(record: OutputRecord) -> Result<Record, Refusal> {
    let bytes = |data: String| {
        STANDARD.decode(data).map_err(|e| {
            Refusal::new(
                Code::VersionSkew,
                "the daemon cannot be understood",
                format!("output is not base64: {e}"),
            )
        })
    };
    let body = match record.body {
        OutputBody::Output { data } => Body::Output(bytes(data)?),
        OutputBody::Stderr { data } => Body::Stderr(bytes(data)?),
        OutputBody::Input { data } => Body::Input(bytes(data)?),
        OutputBody::Lost { bytes } => Body::Lost(bytes),
        OutputBody::Started { generation } => Body::Started(generation),
        OutputBody::Exited { generation, exit } => Body::Exited(generation, exit),
        OutputBody::Resized { size } => Body::Resized(size),
    };
    Ok(Record { offset: record.offset, at_ms: record.at_ms, body })
}

/// The record as the API writes it, for `--json`.
pub(super) fn encoded(record: &Record) -> OutputRecord {
    let body = match &record.body {
        Body::Output(bytes) => OutputBody::Output { data: STANDARD.encode(bytes) },
        Body::Stderr(bytes) => OutputBody::Stderr { data: STANDARD.encode(bytes) },
        Body::Input(bytes) => OutputBody::Input { data: STANDARD.encode(bytes) },
        Body::Lost(bytes) => OutputBody::Lost { bytes: *bytes },
        Body::Started(generation) => OutputBody::Started { generation: *generation },
        Body::Exited(generation, exit) => OutputBody::Exited { generation: *generation, exit: *exit },
        Body::Resized(size) => OutputBody::Resized { size: *size },
    };
    OutputRecord { offset: record.offset, at_ms: record.at_ms, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(offset: u64, text: &str) -> Record {
        Record { offset, at_ms: 0, body: Body::Output(text.as_bytes().to_vec()) }
    }

    #[test]
    fn records_are_cut_at_the_offset_asked_for() {
        let mut record = output(10, "hello");
        assert!(trim(&mut record, 12));
        assert_eq!(record, output(12, "llo"));
        assert!(!trim(&mut output(10, "hello"), 15));
        assert!(trim(&mut output(10, "hello"), 10));
        let mut lost = Record { offset: 0, at_ms: 0, body: Body::Lost(100) };
        assert!(trim(&mut lost, 40));
        assert_eq!((lost.offset, lost.body), (40, Body::Lost(60)));
    }

    #[test]
    fn what_the_api_writes_is_read_back() {
        for body in [Body::Output(vec![0, 255]), Body::Input(vec![3]), Body::Lost(7), Body::Started(2)] {
            let record = Record { offset: 5, at_ms: 6, body };
            assert_eq!(decoded(encoded(&record)), Ok(record));
        }
    }
}
