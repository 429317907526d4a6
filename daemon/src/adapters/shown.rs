//! What people are shown of an agent's doings: one line of what a tool does, a readable piece of what it gave.

use delight_proto::agent::{AgentEvent, AgentRecord, RecordBody};

/// Characters of a title: what fits a notification or a line of a wide terminal.
const TITLE: usize = 160;

/// Bytes of a tool's output in a record: several screens. The agent has all of it; the record says that it was cut.
const OUTPUT: usize = 16 << 10;

/// One line for people, without control characters.
pub(super) fn title(text: &str) -> String {
    let mut line: String = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE + 1)
        .collect();
    if line.chars().count() > TITLE {
        line = line.chars().take(TITLE - 1).chain(['…']).collect();
    }
    line
}

/// The beginning of a tool's output, and how much more there was.
pub(super) fn output(text: &str) -> String {
    if text.len() <= OUTPUT {
        return text.to_owned();
    }
    let end = (0..=OUTPUT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or_default();
    format!("{}\n… {} more bytes", &text[..end], text.len() - end)
}

/// A record of the agent itself.
pub(super) fn record(key: Option<String>, body: RecordBody) -> AgentEvent {
    AgentEvent::Record { record: AgentRecord { key, parent: None, body } }
}

/// Output that was not understood.
pub(super) fn skipped(line: &[u8], what: impl Into<String>) -> AgentEvent {
    AgentEvent::Skipped { bytes: line.len() as u64, what: what.into() }
}

/// Why a line was left out, without any of its content.
pub(super) fn not_understood(e: &serde_json::Error) -> &'static str {
    match e.classify() {
        serde_json::error::Category::Data => "JSON of an unknown shape",
        _ => "not JSON",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_one_short_line_of_text() {
        assert_eq!(title("\n  npm test\nrm -rf /\n"), "npm test");
        assert_eq!(title("a\x1b[31mb\x07"), "a[31mb");
        assert_eq!(title(&"é".repeat(500)).chars().count(), TITLE);
        assert_eq!(title(""), "");
    }

    #[test]
    fn long_output_is_cut_between_characters_and_says_so() {
        let text = "é".repeat(OUTPUT);
        let shown = output(&text);
        assert!(shown.len() < OUTPUT + 40 && shown.ends_with("more bytes"), "{}", shown.len());
        assert_eq!(output("short"), "short");
    }
}
