//! How far a generation's protocol has been read, and what has to be said to the agent because of it.

use delight_core::session::AgentHeard;
use delight_proto::agent::{AgentEvent, AgentOrder, Message, Source};
use delight_proto::refusal::Refusal;

use super::lines::{Lines, Piece};
use crate::adapters::codec::Codec;

/// The state of one reading, from the generation's beginning to its end.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) generation: u64,
    codec: Box<dyn Codec>,
    output: Lines,
    input: Lines,
    /// Whether the journal still has the generation's beginning.
    whole: bool,
    /// Whether anything was ever written to the runner.
    has_input: bool,
    /// What the codec wanted written and the journal does not show as written, oldest first.
    replies: Vec<Vec<u8>>,
    /// A half line that was written last: what is written next must not be taken for its end.
    torn: Vec<u8>,
    /// Up to here the session has taken everything in.
    taken: u64,
    /// Offset after the last line that was told.
    told: u64,
    /// Whether the agent has said that it takes messages.
    pub(super) ready: bool,
    /// Lines that were not understood, one after the other, told as one.
    skipped: Option<(u64, u64, String)>,
}

impl Reading {
    /// Begins. `at`: where the output begins; `whole`: whether that is the generation's own beginning.
    pub(super) fn new(codec: Box<dyn Codec>, generation: u64, taken: u64, at: u64, whole: bool) -> Self {
        let (output, input) = match whole {
            true => (Lines::from_start(at), Lines::from_start(0)),
            false => (Lines::from_middle(at), Lines::from_middle(0)),
        };
        Self {
            generation,
            codec,
            output,
            input,
            whole,
            has_input: false,
            replies: Vec::new(),
            torn: Vec::new(),
            taken,
            told: taken,
            ready: false,
            skipped: None,
        }
    }

    /// Offset up to which the output has been read.
    pub(super) fn at(&self) -> u64 {
        self.output.at()
    }

    /// Bytes of input taken in.
    pub(super) fn inputs(&self) -> u64 {
        self.input.at()
    }

    /// Whether the agent was given this message, as far as was read.
    pub(super) fn has(&mut self, message: &Message) -> bool {
        let order = AgentOrder::Prompt { message: message.clone() };
        self.codec.order(&order).is_ok_and(|lines| lines.is_empty())
    }

    /// Takes in output that begins at `offset`. What was read before is left out.
    pub(super) fn output(&mut self, offset: u64, bytes: &[u8]) -> Vec<AgentHeard> {
        self.output.lose(offset);
        let known = usize::try_from(self.output.at() - offset.min(self.output.at())).unwrap_or(usize::MAX);
        let mut heard = Vec::new();
        let Some(fresh) = bytes.get(known..) else { return heard };
        let mut output = std::mem::replace(&mut self.output, Lines::from_start(0));
        output.push(fresh, |piece, end| self.piece(&piece, end, &mut heard));
        self.output = output;
        self.tell_skipped(&mut heard);
        heard
    }

    /// Output up to this offset cannot be had.
    pub(super) fn lose(&mut self, to: u64) {
        self.output.lose(to);
    }

    /// The runner has ended: what it wrote last may have no newline.
    pub(super) fn finish(&mut self) -> Vec<AgentHeard> {
        let mut heard = Vec::new();
        let mut output = std::mem::replace(&mut self.output, Lines::from_start(0));
        output.finish(|piece, end| self.piece(&piece, end, &mut heard));
        self.output = output;
        self.tell_skipped(&mut heard);
        heard
    }

    fn piece(&mut self, piece: &Piece<'_>, end: u64, heard: &mut Vec<AgentHeard>) {
        let events = match piece {
            Piece::Line(line) => {
                let understood = self.codec.line(line);
                self.replies.extend(whole_lines(&understood.reply));
                understood.events
            }
            Piece::Skipped { bytes, why } => {
                vec![AgentEvent::Skipped { bytes: *bytes, what: (*why).to_owned() }]
            }
        };
        self.ready |= events.contains(&AgentEvent::Ready);
        if events.is_empty() || end < self.taken {
            return;
        }
        if let [AgentEvent::Skipped { bytes, what }] = events.as_slice() {
            // The line at the mark has nothing but this: it has been told.
            if end > self.taken {
                let (so_far, _, first) = self.skipped.take().unwrap_or((0, 0, what.clone()));
                self.skipped = Some((so_far + bytes, end, first));
            }
            return;
        }
        self.tell_skipped(heard);
        heard.push(self.heard(end, events));
    }

    fn tell_skipped(&mut self, heard: &mut Vec<AgentHeard>) {
        if let Some((bytes, end, what)) = self.skipped.take() {
            heard.push(self.heard(end, vec![AgentEvent::Skipped { bytes, what }]));
        }
    }

    /// Offset after the last line that was told, in this reading or before.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    fn heard(&mut self, offset: u64, events: Vec<AgentEvent>) -> AgentHeard {
        self.told = self.told.max(offset);
        AgentHeard { generation: self.generation, source: Source::Stream, offset, first: 0, events }
    }

    /// Something with no place in the output.
    pub(super) fn aside(&self, events: Vec<AgentEvent>) -> AgentHeard {
        AgentHeard { generation: self.generation, source: Source::Status, offset: 0, first: 0, events }
    }

    /// Takes in input the journal shows.
    pub(super) fn input(&mut self, bytes: &[u8]) {
        self.has_input = true;
        let mut lines = Vec::new();
        self.input.push(bytes, |piece, _| {
            if let Piece::Line(line) = piece {
                lines.push(line.to_vec());
            }
        });
        for line in lines {
            self.codec.wrote(&line);
            if let Some(at) = self.replies.iter().position(|reply| *reply == line) {
                self.replies.remove(at);
            }
        }
    }

    /// Everything the journal holds has been read: what is to be written before anything else.
    pub(super) fn caught_up(&mut self) -> Vec<u8> {
        self.torn = self.input.unfinished().to_vec();
        let mut bytes = Vec::new();
        if self.whole && !self.has_input {
            bytes = self.codec.greeting();
            self.wrote(&bytes);
        }
        bytes.extend(self.take_replies());
        self.after_torn(bytes)
    }

    /// What the codec wants written because of what was read since.
    pub(super) fn replies(&mut self) -> Vec<u8> {
        let bytes = self.take_replies();
        self.after_torn(bytes)
    }

    fn take_replies(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for reply in std::mem::take(&mut self.replies) {
            self.codec.wrote(&reply);
            bytes.extend_from_slice(&reply);
            bytes.push(b'\n');
        }
        bytes
    }

    /// The bytes of an order; empty when the agent has it.
    pub(super) fn order(&mut self, order: &AgentOrder) -> Result<Vec<u8>, Refusal> {
        let bytes = self.codec.order(order)?;
        self.wrote(&bytes);
        Ok(self.after_torn(bytes))
    }

    fn wrote(&mut self, bytes: &[u8]) {
        for line in whole_lines(bytes) {
            self.codec.wrote(&line);
        }
    }

    /// A daemon died, or the runner's queue was full, in the middle of a line: its rest goes first if it is the same
    /// line again; else the half line is ended, for the agent to make of it what it can.
    fn after_torn(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() || self.torn.is_empty() {
            return bytes;
        }
        let torn = std::mem::take(&mut self.torn);
        match bytes.strip_prefix(torn.as_slice()) {
            Some(rest) => rest.to_vec(),
            None => [b"\n", bytes.as_slice()].concat(),
        }
    }
}

fn whole_lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::codec::Understood;
    use delight_proto::agent::Activity;
    use delight_proto::session::Origin;

    /// A line `q` is answered with `a`, `x` is not understood, `r` means ready, any other is activity.
    #[derive(Debug, Default)]
    struct Plain {
        wrote: Vec<String>,
    }

    impl Codec for Plain {
        fn greeting(&mut self) -> Vec<u8> {
            b"hi\n".to_vec()
        }

        fn line(&mut self, line: &[u8]) -> Understood {
            let events = match line {
                b"x" => vec![AgentEvent::Skipped { bytes: 2, what: "x".to_owned() }],
                b"r" => vec![AgentEvent::Ready],
                b"q" => return Understood { events: Vec::new(), reply: b"a\n".to_vec() },
                _ => vec![AgentEvent::Activity { activity: Activity::Working }],
            };
            Understood { events, reply: Vec::new() }
        }

        fn wrote(&mut self, line: &[u8]) {
            self.wrote.push(String::from_utf8(line.to_vec()).unwrap());
        }

        fn order(&mut self, order: &AgentOrder) -> Result<Vec<u8>, Refusal> {
            let AgentOrder::Prompt { message } = order else { return Ok(Vec::new()) };
            let has_it = self.wrote.contains(&message.text);
            Ok(if has_it { Vec::new() } else { format!("{}\n", message.text).into_bytes() })
        }
    }

    fn reading(taken: u64, whole: bool) -> Reading {
        Reading::new(Box::new(Plain::default()), 3, taken, 100, whole)
    }

    fn prompt(text: &str) -> AgentOrder {
        let message =
            Message { local_id: "m".parse().unwrap(), text: text.to_owned(), origin: Origin::Daemon };
        AgentOrder::Prompt { message }
    }

    #[test]
    fn what_was_taken_in_is_not_told_again_but_known() {
        let mut reading = reading(104, true);
        // Lines end at 102, 104, 106.
        let heard = reading.output(100, b"r\n1\n2\n");
        assert_eq!(heard.iter().map(|heard| heard.offset).collect::<Vec<_>>(), [104, 106]);
        assert!(reading.ready, "from before the mark");
        assert_eq!(reading.told(), 106);
        assert!(reading.output(100, b"r\n1\n").is_empty(), "read before");
        let heard = reading.output(104, b"2\n3\n");
        assert_eq!(heard.iter().map(|heard| heard.offset).collect::<Vec<_>>(), [108], "only what is new");
    }

    #[test]
    fn neighbours_that_are_not_understood_are_told_as_one() {
        let mut reading = reading(102, true);
        let heard = reading.output(100, b"x\nx\nx\n1\nx\n");
        let told: Vec<_> = heard.iter().map(|heard| (heard.offset, heard.events.clone())).collect();
        let skipped = |bytes| vec![AgentEvent::Skipped { bytes, what: "x".to_owned() }];
        let working = vec![AgentEvent::Activity { activity: Activity::Working }];
        assert_eq!(told, [(106, skipped(4)), (108, working), (110, skipped(2))]);
    }

    #[test]
    fn the_greeting_is_written_once_a_generation() {
        assert_eq!(reading(0, true).caught_up(), b"hi\n");
        let mut greeted = reading(0, true);
        greeted.input(b"hi\n");
        assert!(greeted.caught_up().is_empty());
        assert!(
            reading(0, false).caught_up().is_empty(),
            "what is not in the journal any more was more than that"
        );
    }

    #[test]
    fn a_reply_the_journal_shows_is_not_written_again() {
        let mut reading = reading(0, true);
        reading.input(b"hi\n");
        reading.output(100, b"q\nq\n");
        reading.input(b"a\n");
        assert_eq!(reading.caught_up(), b"a\n", "one of two is outstanding");
        assert!(reading.replies().is_empty());
        reading.output(104, b"q\n");
        assert_eq!(reading.replies(), b"a\n");
    }

    #[test]
    fn an_order_the_journal_shows_is_not_written_again() {
        let mut reading = reading(0, true);
        reading.input(b"hi\none");
        reading.input(b" two\n");
        assert!(reading.caught_up().is_empty());
        assert!(reading.order(&prompt("one two")).unwrap().is_empty());
        assert_eq!(reading.order(&prompt("three")).unwrap(), b"three\n");
        assert!(reading.order(&prompt("three")).unwrap().is_empty(), "what was handed over is remembered");
    }

    #[test]
    fn a_message_is_had_when_all_of_its_line_was_written() {
        let message = |text: &str| match prompt(text) {
            AgentOrder::Prompt { message } => message,
            _ => unreachable!(),
        };
        let mut reading = reading(0, true);
        reading.input(b"hi\none two\nthr");
        assert_eq!(reading.inputs(), 14);
        assert!(reading.has(&message("one two")));
        assert!(!reading.has(&message("three")));
    }

    #[test]
    fn a_half_written_line_is_completed_or_ended() {
        for (order, wanted) in [("one two", &b"two\n"[..]), ("other", b"\nother\n")] {
            let mut reading = reading(0, true);
            reading.input(b"hi\none ");
            assert!(reading.caught_up().is_empty());
            assert_eq!(reading.order(&prompt(order)).unwrap(), wanted);
            assert_eq!(reading.order(&prompt("next")).unwrap(), b"next\n");
        }
    }
}
