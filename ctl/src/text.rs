//! Showing foreign text to a person: names, commands and reasons can hold anything, terminal escapes included.

use unicode_width::UnicodeWidthChar;

/// The text with every control character made visible, so that nothing a session is called can move the cursor.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x1b' => out.push_str("\\e"),
            // Bidirectional overrides reorder what a person reads; they are shown, not obeyed.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// A command as one would type it into a shell.
pub(crate) fn command_line(command: &[String]) -> String {
    command.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ")
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        visible(&format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// Cells the text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The text cut to at most `cells`, with `…` at the cut.
pub(crate) fn cut(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut left = cells.saturating_sub(1);
    let mut out = String::new();
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if w > left {
            break;
        }
        left -= w;
        out.push(c);
    }
    if cells > 0 {
        out.push('…');
    }
    out
}

/// The text, with its middle left out where it has more than `most` characters: its end often says what is wrong.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let side = most.saturating_sub(1) / 2;
    let head: String = text.chars().take(side).collect();
    let tail: String = text.chars().skip(count - side).collect();
    format!("{head}…{tail}")
}

/// `1 session`, `2 sessions`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(visible("a\x1b[2Jb\n\u{7}\u{9b}"), "a\\e[2Jb\\n\\u{7}\\u{9b}");
        assert_eq!(visible("naïve 日本"), "naïve 日本");
        assert_eq!(visible("\u{202e}x"), "\\u{202e}x");
    }

    #[test]
    fn command_lines_can_be_typed_back() {
        let command = ["sh", "-c", "echo 'hi'", ""].map(str::to_owned);
        assert_eq!(command_line(&command), r"sh -c 'echo '\''hi'\''' ''");
    }

    #[test]
    fn the_middle_of_a_long_text_is_left_out() {
        assert_eq!(shortened("日本語", 3), "日本語");
        assert_eq!(shortened("0123456789", 5), "01…89");
        assert_eq!(shortened("0123456789", 0), "…");
    }

    #[test]
    fn cutting_counts_cells_not_characters() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(width(&cut("日本語abc", 4)), 3);
        assert_eq!(cut("abc", 0), "");
    }
}
