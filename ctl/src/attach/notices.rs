//! What happened while attached and could not be said without disturbing the screen: told on leaving.

use crate::text;

/// Most lines kept; a session in trouble repeats itself.
const MOST: usize = 20;

/// Lines for the person, each once.
#[derive(Debug, Default)]
pub(super) struct Notices {
    lines: Vec<String>,
    left_out: usize,
}

impl Notices {
    pub(super) fn add(&mut self, line: impl Into<String>) {
        let line = text::visible(&line.into());
        if self.lines.contains(&line) {
            return;
        }
        if self.lines.len() < MOST {
            self.lines.push(line);
        } else {
            self.left_out += 1;
        }
    }

    /// All of them, one a line.
    pub(super) fn words(&self) -> String {
        let mut words: String = self.lines.iter().map(|line| format!("note: {line}\n")).collect();
        if self.left_out > 0 {
            words += &format!("note: and {} more\n", self.left_out);
        }
        words
    }
}
