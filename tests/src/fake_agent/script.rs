//! The script language: one statement a line (or separated by `;`), read whole before anything runs.

use std::fmt;
use std::time::Duration;

/// Longest script, in bytes: a script is written by hand.
pub(crate) const MAX_SCRIPT: usize = 64 << 10;

/// Most children one `fork` starts: enough to be a crowd, few enough not to hurt the machine.
pub(crate) const MAX_FORK: u32 = 1_000;

/// The language, for `--help`.
pub(crate) const REFERENCE: &str = "\
Statements, one a line or separated by `;`; `#` begins a comment line:
  say TEXT              print TEXT and a line end
  print TEXT            print TEXT; \\n \\r \\t \\e \\\\ \\; and \\xHH are understood
  lines COUNT [RATE]    print numbered lines (10 digits), RATE a second, else as fast as possible
  stamp COUNT MILLIS    print the monotonic clock in nanoseconds COUNT times, MILLIS milliseconds between
  flood [BYTES]         print `y` lines up to BYTES bytes, else for ever
  read                  read a line and print `got: LINE`; at the end of input print `got: end of input`
  ask TEXT              print `permission: TEXT [y/n]`, read a line, print `allowed` or `denied`
  raw                   switch the terminal to raw mode
  echo                  print every byte read, until the end of input or byte 0x04
  query NAME            ask the terminal (da1 da2 cpr osc10 osc11) and print `answer: ` and the escaped answer
  alt | main            enter, leave the alternate screen
  size                  print `size: COLSxROWS`
  env NAME              print `NAME=value` or `NAME is not set`
  cwd | pid | umask     print `cwd: PATH`, `pid: NUMBER`, `umask: OCTAL`
  ignore SIGNAL…        ignore signals (TERM HUP INT QUIT USR1 USR2)
  fork COUNT            start COUNT children that hang, print `forked: PID`, each
  daemon                start a child the classic way: fork, setsid, fork; print `daemon: PID`
  turns                 print `turns: COUNT`: messages the conversation has had so far
  err TEXT              print TEXT and a line end to standard error
  pause MILLISECONDS    wait
  hang                  wait for ever
  repeat                begin again with the first statement
  exit CODE             end with this status (the end of the script is `exit 0`)
  crash SIGNAL          end by this signal (ABRT SEGV KILL TERM …)

With --remote it speaks newline-delimited JSON on pipes. A message that begins with `do ` is a script, any other is
answered with `got: MESSAGE`. There `say` and the like are records of the conversation, `ask` asks for permission and
waits, `lines` gives one record a line, `flood` records of 1 KiB, and these are understood, too:
  think TEXT            a thought
  tool NAME TEXT        a tool is used and done
  write PATH            ask to write a file, and wait
  look PATH             ask to read a file, and wait
  question TEXT         ask for an answer, and wait
  asks COUNT            ask COUNT times, wait each time, and say how many nanoseconds the answer took
  request TEXT          ask for permission, and go on
  withdraw              take the oldest open request back
  await                 wait until every open request is decided
  offer NAME…           have these commands to offer, and no others
  huge BYTES            one line of so many bytes
  deaf                  wait for ever and read nothing any more";

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    Say(String),
    Print(Vec<u8>),
    Lines {
        count: u64,
        rate: Option<u32>,
    },
    Stamp {
        count: u64,
        between: Duration,
    },
    Asks(u64),
    Flood(Option<u64>),
    Read,
    Ask(String),
    Raw,
    Echo,
    Query(Query),
    Alternate(bool),
    Size,
    Env(String),
    Cwd,
    Pid,
    Umask,
    Ignore(Vec<Signal>),
    Fork(u32),
    Daemon,
    /// What the middle process of `daemon` runs; not part of the documented language.
    Orphan,
    Turns,
    Err(String),
    Think(String),
    Tool {
        name: String,
        text: String,
    },
    Write(String),
    Look(String),
    Question(String),
    Request(String),
    Withdraw,
    Await,
    Offer(Vec<String>),
    Huge(u64),
    Deaf,
    Pause(Duration),
    Hang,
    Repeat,
    Exit(u8),
    Crash(Signal),
}

pub(crate) use nix::sys::signal::Signal;

/// What a terminal can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    Da1,
    Da2,
    Cpr,
    Osc10,
    Osc11,
}

impl Query {
    /// The bytes of the question.
    pub(crate) fn question(self) -> &'static [u8] {
        match self {
            Self::Da1 => b"\x1b[c",
            Self::Da2 => b"\x1b[>c",
            Self::Cpr => b"\x1b[6n",
            Self::Osc10 => b"\x1b]10;?\x1b\\",
            Self::Osc11 => b"\x1b]11;?\x1b\\",
        }
    }

    /// Whether `answer` is whole.
    pub(crate) fn answered(self, answer: &[u8]) -> bool {
        match self {
            Self::Da1 | Self::Da2 => answer.ends_with(b"c"),
            Self::Cpr => answer.ends_with(b"R"),
            Self::Osc10 | Self::Osc11 => answer.ends_with(b"\x07") || answer.ends_with(b"\x1b\\"),
        }
    }
}

/// Why a text is no script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadScript {
    /// Number of the statement, from 1.
    pub(crate) statement: usize,
    /// What it says.
    pub(crate) text: String,
    /// What is wrong with it.
    pub(crate) reason: String,
}

impl fmt::Display for BadScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {} ({:?}) {}", self.statement, self.text, self.reason)
    }
}

/// Reads a script.
pub(crate) fn parse(text: &str) -> Result<Vec<Statement>, BadScript> {
    if text.len() > MAX_SCRIPT {
        let reason = format!("makes the script {} bytes; at most {MAX_SCRIPT} are allowed", text.len());
        return Err(BadScript { statement: 1, text: text.chars().take(40).collect(), reason });
    }
    let mut statements = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        for piece in split_unescaped(line) {
            let piece = piece.trim();
            if piece.is_empty() {
                continue;
            }
            let bad = |reason: String| BadScript {
                statement: statements.len() + 1,
                text: piece.chars().take(80).collect(),
                reason,
            };
            statements.push(statement(piece).map_err(bad)?);
        }
    }
    Ok(statements)
}

/// Cuts at `;` that no backslash precedes.
fn split_unescaped(line: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in line.char_indices() {
        match c {
            ';' if !escaped => {
                pieces.push(&line[start..at]);
                start = at + 1;
            }
            _ => escaped = c == '\\' && !escaped,
        }
    }
    pieces.push(&line[start..]);
    pieces
}

fn statement(piece: &str) -> Result<Statement, String> {
    let (verb, rest) = piece.split_once(char::is_whitespace).unwrap_or((piece, ""));
    let rest = rest.trim();
    let mut words = rest.split_whitespace();
    let parsed = match verb {
        "say" => return Ok(Statement::Say(rest.to_owned())),
        "print" => return unescape(rest).map(Statement::Print),
        "ask" => return Ok(Statement::Ask(rest.to_owned())),
        "err" => return Ok(Statement::Err(rest.to_owned())),
        "think" => return Ok(Statement::Think(rest.to_owned())),
        "write" => return Ok(Statement::Write(rest.to_owned())),
        "look" => return Ok(Statement::Look(rest.to_owned())),
        "question" => return Ok(Statement::Question(rest.to_owned())),
        "request" => return Ok(Statement::Request(rest.to_owned())),
        "tool" => {
            let (name, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            if name.is_empty() {
                return Err("needs the name of a tool".to_owned());
            }
            return Ok(Statement::Tool { name: name.to_owned(), text: text.trim().to_owned() });
        }
        "turns" => Statement::Turns,
        "withdraw" => Statement::Withdraw,
        "await" => Statement::Await,
        "offer" => Statement::Offer(words.by_ref().map(str::to_owned).collect()),
        "huge" => Statement::Huge(number(words.next(), "how many bytes")?),
        "deaf" => Statement::Deaf,
        "lines" => Statement::Lines {
            count: number(words.next(), "how many lines")?,
            rate: words.next().map(|word| number(Some(word), "lines a second")).transpose()?,
        },
        "stamp" => Statement::Stamp {
            count: number(words.next(), "how many times")?,
            between: Duration::from_millis(number(words.next(), "milliseconds")?),
        },
        "asks" => Statement::Asks(number(words.next(), "how many times")?),
        "flood" => Statement::Flood(words.next().map(|word| number(Some(word), "bytes")).transpose()?),
        "read" => Statement::Read,
        "raw" => Statement::Raw,
        "echo" => Statement::Echo,
        "query" => Statement::Query(match words.next() {
            Some("da1") => Query::Da1,
            Some("da2") => Query::Da2,
            Some("cpr") => Query::Cpr,
            Some("osc10") => Query::Osc10,
            Some("osc11") => Query::Osc11,
            _ => return Err("needs one of da1 da2 cpr osc10 osc11".to_owned()),
        }),
        "alt" => Statement::Alternate(true),
        "main" => Statement::Alternate(false),
        "size" => Statement::Size,
        "env" => Statement::Env(words.next().ok_or("needs the name of a variable")?.to_owned()),
        "cwd" => Statement::Cwd,
        "pid" => Statement::Pid,
        "umask" => Statement::Umask,
        "ignore" => {
            let signals = words.by_ref().map(signal).collect::<Result<Vec<_>, _>>()?;
            if signals.is_empty() {
                return Err("needs at least one signal".to_owned());
            }
            if let Some(signal) = signals.iter().find(|s| matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
                return Err(format!("names {signal}, which cannot be ignored"));
            }
            Statement::Ignore(signals)
        }
        "fork" => match number(words.next(), "how many children")? {
            count @ 1..=MAX_FORK => Statement::Fork(count),
            count => return Err(format!("asks for {count} children; 1 to {MAX_FORK} are allowed")),
        },
        "daemon" => Statement::Daemon,
        "orphan" => Statement::Orphan,
        "pause" => Statement::Pause(Duration::from_millis(number(words.next(), "milliseconds")?)),
        "hang" => Statement::Hang,
        "repeat" => Statement::Repeat,
        "exit" => Statement::Exit(number(words.next(), "a status from 0 to 255")?),
        "crash" => Statement::Crash(signal(words.next().ok_or("needs a signal")?)?),
        _ => return Err("begins with no known verb; --help lists them".to_owned()),
    };
    match words.next() {
        Some(word) => Err(format!("has one word too many: {word:?}")),
        None => Ok(parsed),
    }
}

fn number<T: std::str::FromStr>(word: Option<&str>, what: &str) -> Result<T, String> {
    let word = word.ok_or_else(|| format!("needs {what}"))?;
    word.parse().map_err(|_| format!("needs {what}, got {word:?}"))
}

fn signal(word: &str) -> Result<Signal, String> {
    let name = if word.starts_with("SIG") { word.to_owned() } else { format!("SIG{word}") };
    name.parse().map_err(|_| format!("names no signal: {word:?}"))
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'e') => 0x1b,
            Some(c @ (b'\\' | b';')) => c,
            Some(b'x') => {
                let digits = [rest.next().unwrap_or(b' '), rest.next().unwrap_or(b' ')];
                let text = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(text, 16)
                    .map_err(|_| format!("has \\x{text:?}: two hex digits are needed"))?
            }
            other => return Err(format!("has an unknown escape: {:?}", other.map(char::from))),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_semicolons_separate_statements() {
        let script = parse("# a comment; say no\nsay hello there; lines 3\n\n exit 7 ").unwrap();
        let expected = [
            Statement::Say("hello there".into()),
            Statement::Lines { count: 3, rate: None },
            Statement::Exit(7),
        ];
        assert_eq!(script, expected);
    }

    #[test]
    fn escapes_give_any_byte() {
        let script = parse(r"print \e[1m\x00\xff\;\\n").unwrap();
        assert_eq!(script, [Statement::Print(b"\x1b[1m\x00\xff;\\n".to_vec())]);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, reason) in [
            ("dance", "no known verb"),
            ("say a\nexit 256", "a status from 0 to 255"),
            ("lines", "how many lines"),
            ("hang now", "one word too many"),
            ("ignore KILL", "cannot be ignored"),
            ("crash BOOM", "names no signal"),
            ("print \\q", "unknown escape"),
            ("fork 5000", "are allowed"),
            ("query colour", "needs one of"),
        ] {
            let bad = parse(text).unwrap_err();
            assert!(bad.to_string().contains(reason), "{text:?} gave {bad}");
        }
        assert_eq!(parse("say a\nexit 256").unwrap_err().statement, 2);
        assert!(parse(&"#".repeat(MAX_SCRIPT + 1)).is_err());
    }

    #[test]
    fn every_verb_of_the_reference_is_understood() {
        let verbs = REFERENCE.lines().filter(|line| line.starts_with("  ")).flat_map(|line| {
            let head = line.trim().split("  ").next().unwrap_or_default();
            head.split(" | ")
                .map(|form| form.split(' ').next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>()
        });
        for verb in verbs {
            if let Err(bad) = parse(&verb) {
                assert!(!bad.reason.contains("no known verb"), "{verb:?} is documented and unknown");
            }
        }
    }
}
