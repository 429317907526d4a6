//! Commands in which every character means itself: the only ones a rule may allow.

/// Words that mean something to the shell where a program stands.
const RESERVED: &[&str] = &[
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "in",
    "select", "function", "time", "coproc",
];

/// The words of a command that runs one program and does nothing else; none for any other, and when in doubt.
///
/// It knows what is harmless, not what is harmful: a character it does not know makes the command not plain.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.trim_matches([' ', '\t', '\n']).chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '$' | '`' | '\\' | '!' if c == '"' => return None,
                        inside if is_quotable(inside) => word.push(inside),
                        _ => return None,
                    }
                }
            }
            // Zsh takes a word that begins with it for the path of a command.
            '=' if word.is_none() => return None,
            c if is_bare(c) => word.get_or_insert_default().push(c),
            _ => return None,
        }
    }
    words.extend(word);
    let program = words.first()?;
    if program.is_empty() || program.contains('=') || RESERVED.contains(&program.as_str()) {
        return None;
    }
    Some(words)
}

/// Letters and digits of any script mean nothing to a shell; of the rest, only these.
fn is_bare(c: char) -> bool {
    c.is_alphanumeric() || "-_./:=@%+,".contains(c)
}

fn is_quotable(c: char) -> bool {
    !c.is_control() || matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_commands_are_taken_apart() {
        for (text, want) in [
            ("git status", vec!["git", "status"]),
            ("  ls\t-la \n", vec!["ls", "-la"]),
            ("git commit -m 'a; b $(c)'", vec!["git", "commit", "-m", "a; b $(c)"]),
            ("echo \"a b\"c", vec!["echo", "a bc"]),
            ("x ''", vec!["x", ""]),
        ] {
            assert_eq!(words(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn anything_else_is_not_plain() {
        for text in [
            "",
            "   ",
            "a;b",
            "a&b",
            "a&&b",
            "a|b",
            "a\nb",
            "a `b`",
            "a $(b)",
            "a $b",
            "a >b",
            "a <b",
            "(a)",
            "{ a; }",
            "a *",
            "a ?",
            "a [x]",
            "a {b,c}",
            "a ~",
            "a #b",
            "! a",
            "a\\ b",
            "A=1 b",
            "a \"$b\"",
            "a \"`b`\"",
            "a 'b",
            "a \"b",
            "a\u{0}b",
            "a\rb",
            "if a",
            "time a",
            "'' a",
            "=a",
            "a =b",
            "a ^b",
            "a 'x\u{1b}'",
            "a\u{a0}b",
        ] {
            assert_eq!(words(text), None, "{text:?}");
        }
    }
}
