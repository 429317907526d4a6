//! The command line. It is written by the daemon, not by people, so there is no more to it than this.

use std::ffi::OsString;
use std::path::PathBuf;

use delight_proto::id::SessionId;

/// What `--help` says.
pub(crate) const HELP: &str = "\
delight-holder holds one session: its terminal, its processes, its journal and its attached clients.
It is started by delightd, with the control connection as standard input and the session's lock as standard output.

Usage: delight-holder --session ID --dir DIR --socket PATH [--retain BYTES]

  --session ID    the session
  --dir DIR       the session's state directory; the journal is DIR/journal
  --socket PATH   where clients connect
  --retain BYTES  bytes of journal kept (default 67108864)
  --version       print the version and the protocol version
  --help          print this
";

/// A holder's command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) session: SessionId,
    pub(crate) dir: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) retain_bytes: u64,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Run(Arguments),
    Help,
    Version,
}

/// Reads a command line (without the program's name). The error is one line for a person.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Asked, String> {
    let (mut session, mut dir, mut socket) = (None, None, None);
    let mut retain_bytes = 64 << 20;
    let mut arguments = arguments;
    while let Some(name) = arguments.next() {
        let name = name.to_string_lossy().into_owned();
        match name.as_str() {
            "--help" | "-h" => return Ok(Asked::Help),
            "--version" | "-V" => return Ok(Asked::Version),
            "--session" | "--dir" | "--socket" | "--retain" => {}
            _ => return Err(format!("unknown argument {name:?}; see --help")),
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value; see --help"))?;
        let text = || value.to_str().ok_or_else(|| format!("{name} is not UTF-8"));
        match name.as_str() {
            "--session" => session = Some(text()?.parse().map_err(|e| format!("--session: {e}"))?),
            "--dir" => dir = Some(PathBuf::from(value)),
            "--socket" => socket = Some(PathBuf::from(value)),
            _ => retain_bytes = text()?.parse().map_err(|e| format!("--retain: {e}"))?,
        }
    }
    let missing = |name: &str| format!("{name} is missing; see --help");
    Ok(Asked::Run(Arguments {
        session: session.ok_or_else(|| missing("--session"))?,
        dir: dir.ok_or_else(|| missing("--dir"))?,
        socket: socket.ok_or_else(|| missing("--socket"))?,
        retain_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Asked, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_full_line_is_read_and_what_is_missing_is_named() {
        let line = "--session 0123456789abcdef --dir /d --socket /s --retain 5";
        let Ok(Asked::Run(arguments)) = parse_line(line) else { panic!() };
        assert_eq!((arguments.dir, arguments.socket, arguments.retain_bytes), ("/d".into(), "/s".into(), 5));
        assert!(parse_line("--session 0123456789abcdef --dir /d").unwrap_err().contains("--socket"));
        assert!(parse_line("--session short --dir /d --socket /s").unwrap_err().contains("--session"));
        assert!(parse_line("--wat").unwrap_err().contains("--wat"));
        assert!(parse_line("--dir").unwrap_err().contains("needs a value"));
        assert_eq!(parse_line("--help"), Ok(Asked::Help));
    }
}
