//! What a shell command may run, as far as can be seen without running it.
//!
//! It reads more than a shell would (the text of a comment is left out, a branch never taken is not) and says where
//! something may be hidden from it. Nothing here may make an allow: for that there is [`super::plain`].

use super::programs;

/// Substitutions and scripts inside scripts that are followed; deeper ones are taken for hidden.
const MAX_DEPTH: u32 = 8;

/// Longest command that is read; a longer one is taken for hidden.
const MAX_BYTES: usize = 64 << 10;

/// Words before a command that are not its program.
const BEFORE: &[&str] = &[
    "if", "then", "else", "elif", "fi", "while", "until", "do", "done", "for", "select", "esac", "in",
    "time", "!", "{", "}", "coproc",
];

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word {
    /// Its text without quotes.
    pub(super) text: String,
    /// Whether the program gets exactly this text as one argument.
    pub(super) literal: bool,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Simple commands that run, if anything runs.
    pub(super) commands: Vec<Vec<Word>>,
    /// Word sequences that may be commands.
    pub(super) perhaps: Vec<Vec<Word>>,
    /// Other words: targets of redirections, assignments.
    pub(super) loose: Vec<Word>,
    /// Whether nothing can be hidden in it.
    pub(super) clear: bool,
}

/// Looks into a command.
pub(super) fn look(text: &str) -> Seen {
    let mut seen = Seen { commands: Vec::new(), perhaps: Vec::new(), loose: Vec::new(), clear: true };
    look_into(text, 0, &mut seen);
    seen
}

fn look_into(text: &str, depth: u32, seen: &mut Seen) {
    if depth > MAX_DEPTH || text.len() > MAX_BYTES {
        seen.clear = false;
        return;
    }
    let mut reader = Reader { chars: text.chars().collect(), at: 0, depth, seen };
    while reader.at < reader.chars.len() {
        reader.script(None);
    }
}

struct Reader<'a> {
    chars: Vec<char>,
    at: usize,
    depth: u32,
    seen: &'a mut Seen,
}

/// The command being read.
#[derive(Default)]
struct Open {
    words: Vec<Word>,
    word: Option<Word>,
    /// Whether the word being read, or the next one, is a redirection's target.
    target: bool,
    here_document: bool,
}

impl Open {
    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_with(|| Word { text: String::new(), literal: true })
    }

    fn push(&mut self, c: char) {
        self.word().text.push(c);
    }
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        c
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// Reads commands up to an unmatched `closing`, or to the end.
    fn script(&mut self, closing: Option<char>) {
        let mut open = Open::default();
        while let Some(c) = self.next() {
            if Some(c) == closing {
                break;
            }
            match c {
                ' ' | '\t' => self.end_word(&mut open),
                '\n' | ';' | '&' | '|' | ')' => {
                    self.end_command(&mut open);
                    if c == '\n' && open.here_document {
                        // What follows is text, and after it commands again: neither can be told from the other.
                        self.seen.clear = false;
                        self.at = self.chars.len();
                    }
                }
                '(' => {
                    if open.word.is_some() || !open.words.is_empty() {
                        self.seen.clear = false;
                    }
                    self.end_command(&mut open);
                    self.nested(')');
                }
                '<' | '>' => self.redirection(c, &mut open),
                '#' if open.word.is_none() => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                '\\' => match self.next() {
                    Some('\n') => {}
                    Some(c) => open.push(c),
                    None => self.seen.clear = false,
                },
                '\'' => self.quoted(&mut open),
                '"' => self.double_quoted(&mut open),
                '$' => self.dollar(&mut open),
                '`' => self.backticks(&mut open),
                '*' | '?' | '[' => {
                    open.word().literal = false;
                    open.push(c);
                }
                '~' if open.word.is_none() => {
                    open.word().literal = false;
                    open.push(c);
                }
                '{' if open.word.is_some() || self.peek().is_some_and(|c| !c.is_whitespace()) => {
                    open.word().literal = false;
                    open.push(c);
                }
                c => open.push(c),
            }
        }
        self.end_command(&mut open);
    }

    fn nested(&mut self, closing: char) {
        if self.depth >= MAX_DEPTH {
            self.seen.clear = false;
            self.at = self.chars.len();
            return;
        }
        self.depth += 1;
        self.script(Some(closing));
        self.depth -= 1;
    }

    fn redirection(&mut self, first: char, open: &mut Open) {
        // `2>` names a descriptor.
        if open.word.as_ref().is_some_and(|word| word.text.bytes().all(|b| b.is_ascii_digit())) {
            open.word = None;
        }
        self.end_word(open);
        let mut arrows = 1;
        while self.peek().is_some_and(|c| matches!(c, '<' | '>' | '&' | '|' | '-')) {
            arrows += u32::from(self.next() == Some('<'));
        }
        open.here_document |= first == '<' && arrows == 2;
        open.target = self.peek() != Some('(');
    }

    fn quoted(&mut self, open: &mut Open) {
        open.word();
        loop {
            match self.next() {
                Some('\'') => return,
                Some(c) => open.push(c),
                None => break,
            }
        }
        self.seen.clear = false;
    }

    fn double_quoted(&mut self, open: &mut Open) {
        open.word();
        loop {
            match self.next() {
                Some('"') => return,
                Some('\\') => match self.next() {
                    Some('\n') => {}
                    Some(c) if matches!(c, '$' | '`' | '"' | '\\') => open.push(c),
                    Some(c) => {
                        open.push('\\');
                        open.push(c);
                    }
                    None => break,
                },
                Some('$') => self.dollar(open),
                Some('`') => self.backticks(open),
                Some(c) => open.push(c),
                None => break,
            }
        }
        self.seen.clear = false;
    }

    fn dollar(&mut self, open: &mut Open) {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                open.word().literal = false;
                self.nested(')');
            }
            Some('{') => {
                self.at += 1;
                open.word().literal = false;
                self.nested('}');
            }
            Some('\'') => {
                open.word().literal = false;
                self.at += 1;
                loop {
                    match self.next() {
                        Some('\\') => self.at += 1,
                        Some('\'') => break,
                        Some(_) => {}
                        None => {
                            self.seen.clear = false;
                            break;
                        }
                    }
                }
            }
            Some('"') => {}
            Some(c) if c.is_whitespace() => open.push('$'),
            None => open.push('$'),
            Some(_) => {
                open.word().literal = false;
                open.push('$');
            }
        }
    }

    fn backticks(&mut self, open: &mut Open) {
        open.word().literal = false;
        let mut inside = String::new();
        loop {
            match self.next() {
                Some('`') => break,
                Some('\\') if self.peek().is_some_and(|c| matches!(c, '`' | '\\' | '$')) => {
                    inside.extend(self.next());
                }
                Some(c) => inside.push(c),
                None => {
                    self.seen.clear = false;
                    break;
                }
            }
        }
        look_into(&inside, self.depth + 1, self.seen);
    }

    fn end_word(&mut self, open: &mut Open) {
        let Some(word) = open.word.take() else { return };
        if std::mem::take(&mut open.target) {
            self.seen.loose.push(word);
        } else {
            open.words.push(word);
        }
    }

    fn end_command(&mut self, open: &mut Open) {
        self.end_word(open);
        open.target = false;
        let mut words = std::mem::take(&mut open.words);
        let first = words
            .iter()
            .position(|word| !(BEFORE.contains(&word.text.as_str()) || is_assignment(&word.text)))
            .unwrap_or(words.len());
        self.seen.loose.extend(words.drain(..first));
        if !words.is_empty() {
            self.command(words);
        }
    }

    /// Takes in a command and what it may run itself.
    fn command(&mut self, words: Vec<Word>) {
        let program = &words[0];
        let (name, arguments) = (program.text.as_str(), &words[1..]);
        if !program.literal || name == "case" || programs::veils(name) {
            self.seen.clear = false;
        }
        if name == "eval" {
            self.seen.clear &= arguments.iter().all(|word| word.literal);
            look_into(&joined(arguments), self.depth + 1, self.seen);
        } else if programs::is_shell(name) {
            self.shell(arguments);
        } else if programs::searches(name) {
            let after = arguments.iter().position(|word| programs::runs_after(&word.text));
            if let Some(run) = after.and_then(|at| arguments.get(at + 1..)).filter(|run| !run.is_empty()) {
                self.command(run.to_vec());
            }
        } else if programs::launches(name) {
            self.launcher(name, arguments);
        }
        self.seen.commands.push(words);
    }

    fn shell(&mut self, arguments: &[Word]) {
        let is_script = |word: &Word| {
            word.text.starts_with('-') && !word.text.starts_with("--") && word.text.contains('c')
        };
        match arguments.iter().position(is_script).and_then(|at| arguments.get(at + 1)) {
            Some(script) if script.literal => look_into(&script.text, self.depth + 1, self.seen),
            // A file, its input, or text made while it runs.
            _ => self.seen.clear = false,
        }
    }

    fn launcher(&mut self, name: &str, arguments: &[Word]) {
        let mut more = arguments.to_vec();
        if matches!(programs::name(name), "xargs" | "parallel" | "entr") {
            more.push(Word { text: String::new(), literal: false });
        }
        let is_own = |word: &Word| {
            word.text.starts_with('-')
                || is_assignment(&word.text)
                || word.text.starts_with(|c: char| c.is_ascii_digit())
        };
        let first = more.iter().position(|word| !is_own(word)).unwrap_or(more.len());
        for at in first + 1..more.len() {
            self.seen.perhaps.push(more[at..].to_vec());
        }
        if programs::name(name) == "ssh" && !arguments.is_empty() {
            look_into(&joined(arguments.get(first + 1..).unwrap_or_default()), self.depth + 1, self.seen);
        } else if first < more.len() && self.depth < MAX_DEPTH {
            self.depth += 1;
            self.command(more.split_off(first));
            self.depth -= 1;
        } else if first < more.len() {
            self.seen.clear = false;
        }
    }
}

fn joined(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim_end_matches('+');
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    })
}
