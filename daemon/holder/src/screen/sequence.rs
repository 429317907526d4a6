//! Follows escape sequences just closely enough to know when the emulator's parser is between two of them, to see the
//! few questions the parser does not report, and to keep strings from growing without end.

/// Most bytes of one string sequence (a title, a clipboard text) the emulator is given: it buffers them whole.
const MAX_STRING: usize = 64 << 10;
/// Most bytes of a control sequence that are looked at; those that matter here have fewer than ten.
const MAX_CONTROL: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    Escape,
    Intermediate,
    Control,
    /// An operating system command: ends with BEL or a string terminator.
    Command,
    /// The same, too long: not shown to the emulator any more.
    Overlong,
    /// A device control string.
    Device,
    /// Another string: ends with a string terminator.
    Other,
}

/// What the emulator has to be told, or asked, right behind a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// `CSI > q`: name and version of the terminal.
    AskVersion,
    /// `DCS $ q … ST`: a setting.
    AskSetting,
    /// `CSI ! p`: soft reset.
    SoftReset,
    /// A string has become too long: the bytes from here on are to be kept from the emulator.
    Mute,
    /// They are over.
    Unmute,
}

/// The state between two bytes.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    state: State,
    string: usize,
    control: [u8; MAX_CONTROL],
    length: usize,
}

impl Sequence {
    /// Whether the emulator's parser is in its ground state. When in doubt it says no.
    pub(super) fn is_between(&self) -> bool {
        self.state == State::Ground
    }

    /// Goes on until something is to be done, which is right behind that many bytes, or to the end.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> (usize, Option<Event>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Ground {
                match memchr::memchr(0x1b, &bytes[at..]) {
                    None => return (bytes.len(), None),
                    Some(n) => at += n,
                }
            }
            let event = self.step(bytes[at]);
            at += 1;
            if event.is_some() {
                return (at, event);
            }
        }
        (at, None)
    }

    fn step(&mut self, byte: u8) -> Option<Event> {
        let before = self.state;
        match (before, byte) {
            (_, 0x1b) => self.state = State::Escape,
            (_, 0x18 | 0x1a) => self.state = State::Ground,
            (State::Escape, _) => return self.escape(byte),
            (State::Intermediate, 0x30..=0x7e) => self.state = State::Ground,
            (State::Control, 0x40..=0x7e) => {
                self.state = State::Ground;
                return self.controlled(byte);
            }
            (State::Control | State::Device, 0x20..=0x7e) => {
                if let Some(slot) = self.control.get_mut(self.length) {
                    *slot = byte;
                }
                self.length = self.length.saturating_add(1);
            }
            (State::Command | State::Overlong, 0x07) => self.state = State::Ground,
            (State::Command, _) => {
                self.string += 1;
                if self.string >= MAX_STRING {
                    self.state = State::Overlong;
                    return Some(Event::Mute);
                }
            }
            _ => {}
        }
        match before {
            State::Overlong if self.state != before => Some(Event::Unmute),
            State::Device if byte == 0x1b && self.control[..self.length.min(2)] == *b"$q" => {
                Some(Event::AskSetting)
            }
            _ => None,
        }
    }

    fn escape(&mut self, byte: u8) -> Option<Event> {
        self.length = 0;
        match byte {
            0x20..=0x2f => self.state = State::Intermediate,
            b'[' => self.state = State::Control,
            b']' => (self.state, self.string) = (State::Command, 0),
            b'P' => self.state = State::Device,
            b'X' | b'^' | b'_' => self.state = State::Other,
            0x30..=0x7e => self.state = State::Ground,
            // Controls are carried out inside a sequence; the rest is ignored there.
            _ => {}
        }
        None
    }

    fn controlled(&self, last: u8) -> Option<Event> {
        match (self.control.get(..self.length)?, last) {
            (b">" | b">0", b'q') => Some(Event::AskVersion),
            (b"!", b'p') => Some(Event::SoftReset),
            _ => None,
        }
    }
}
