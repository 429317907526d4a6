//! What `delightd` is told on its command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::relay::USUAL_ADDRESS;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
delightd - keeps coding-agent and terminal sessions alive

Usage: delightd [run] [--log-file PATH] [--ready-fd N] [--relay [ADDRESS:PORT]]
       delightd --help | --version

It runs in the foreground, logs to standard error, and serves its owner's delightctl on a Unix socket.
SIGTERM and SIGINT end it; its sessions go on, and the next daemon finds them again.

Options:
  --log-file PATH  log into this file (8 MiB, one older file is kept) instead of standard error
  --ready-fd N     write one line to this inherited descriptor: \"ready\", or the refusal as JSON
  --relay [ADDRESS:PORT]
                   run a sync server inside, for trying things out (default: 127.0.0.1:3005, this machine only)
  --help           this text
  --version        the version

Environment:
  DELIGHT_STATE_DIR    where sessions are remembered (default: $XDG_STATE_HOME/delight, ~/.local/state/delight)
  DELIGHT_RUNTIME_DIR  where the sockets are (default: $XDG_RUNTIME_DIR/delight, /tmp/delight-UID)
  DELIGHT_CONFIG       the configuration file (default: $XDG_CONFIG_HOME/delight/config.toml)
  DELIGHT_LOG          what is logged, over the configuration's `log` (error, warn, info, debug)

Exit status: 0 ended on request, 1 failed, 2 usage, 5 a directory is not private, 6 another daemon runs already
";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Be the daemon.
    Run {
        /// Log here instead of standard error.
        log_file: Option<PathBuf>,
        /// Say here when it is ready.
        ready_fd: Option<i32>,
        /// Run a relay inside, here.
        relay: Option<SocketAddr>,
    },
    /// Be the runner of a `file-editor` session. Not for people: not in the help.
    FileEditor {
        /// The directory.
        root: PathBuf,
        /// What is out of bounds.
        private: Vec<PathBuf>,
    },
    /// Be the runner of a `codex` session that phone and desktop share. Not for people: not in the help.
    CodexHost {
        /// Where Codex's own terminal program comes in.
        socket: PathBuf,
        /// The app server's program and arguments.
        command: Vec<String>,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// A line that says what is wrong.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let (mut log_file, mut ready_fd, mut relay) = (None, None, None);
    let mut arguments = arguments.peekable();
    let mut first = true;
    while let Some(argument) = arguments.next() {
        if argument == "--relay" {
            let given = arguments.next_if(|next| !next.to_string_lossy().starts_with('-'));
            relay = Some(match given {
                None => USUAL_ADDRESS,
                Some(text) => {
                    let address = text.to_str().and_then(|text| text.parse().ok());
                    address.ok_or("--relay must be an address and a port, such as 127.0.0.1:3005")?
                }
            });
            first = false;
            continue;
        }
        let mut value = |name: &str| arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match argument.to_str() {
            Some("run") if first => {}
            Some("file-editor") if first => return file_editor(arguments),
            Some("codex-host") if first => return codex_host(arguments),
            Some("--help" | "-h") => return Ok(Arguments::Help),
            Some("--version" | "-V") => return Ok(Arguments::Version),
            Some("--log-file") => {
                let path = PathBuf::from(value("--log-file")?);
                if path.is_relative() {
                    return Err("--log-file must be an absolute path".to_owned());
                }
                log_file = Some(path);
            }
            Some("--ready-fd") => {
                let text = value("--ready-fd")?;
                let fd = text.to_str().and_then(|text| text.parse::<i32>().ok()).filter(|fd| *fd > 2);
                ready_fd = Some(fd.ok_or("--ready-fd must be the number of an open descriptor above 2")?);
            }
            _ => return Err(format!("{} is not understood; see --help", argument.display())),
        }
        first = false;
    }
    Ok(Arguments::Run { log_file, ready_fd, relay })
}

/// `file-editor [--private PATH]… ROOT`.
fn file_editor(mut arguments: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let mut private = Vec::new();
    loop {
        let word = arguments.next().ok_or("file-editor needs a directory")?;
        if word == "--private" {
            private.push(PathBuf::from(arguments.next().ok_or("--private needs a value")?));
            continue;
        }
        return match arguments.next() {
            None => Ok(Arguments::FileEditor { root: PathBuf::from(word), private }),
            Some(_) => Err("file-editor takes one directory".to_owned()),
        };
    }
}

/// `codex-host --socket PATH PROGRAM [ARGUMENT]…`.
fn codex_host(mut arguments: impl Iterator<Item = OsString>) -> Result<Arguments, String> {
    let socket = match (arguments.next(), arguments.next()) {
        (Some(word), Some(path)) if word == "--socket" => PathBuf::from(path),
        _ => return Err("codex-host needs --socket and a path".to_owned()),
    };
    let command: Result<Vec<_>, _> = arguments.map(OsString::into_string).collect();
    match command {
        Ok(command) if !command.is_empty() => Ok(Arguments::CodexHost { socket, command }),
        Ok(_) => Err("codex-host needs a program".to_owned()),
        Err(word) => Err(format!("{} is no text", word.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Arguments, String> {
        parse(text.split_ascii_whitespace().map(OsString::from))
    }

    #[test]
    fn run_is_the_default() {
        let plain = Ok(Arguments::Run { log_file: None, ready_fd: None, relay: None });
        assert_eq!(of(""), plain);
        assert_eq!(of("run"), plain);
        assert_eq!(
            of("run --log-file /l --ready-fd 7"),
            Ok(Arguments::Run { log_file: Some("/l".into()), ready_fd: Some(7), relay: None })
        );
        let relay = |text| {
            of(text).map(|arguments| match arguments {
                Arguments::Run { relay, .. } => relay,
                _ => None,
            })
        };
        assert_eq!(relay("run --relay"), Ok(Some(USUAL_ADDRESS)));
        assert_eq!(relay("--relay --ready-fd 7"), Ok(Some(USUAL_ADDRESS)));
        assert_eq!(relay("--relay 0.0.0.0:1 --ready-fd 7"), Ok(Some("0.0.0.0:1".parse().unwrap())));
        assert!(relay("--relay somewhere").is_err());
    }

    #[test]
    fn the_file_editor_takes_one_directory() {
        let asked = of("file-editor --private /p --private /q /r");
        let private = vec!["/p".into(), "/q".into()];
        assert_eq!(asked, Ok(Arguments::FileEditor { root: "/r".into(), private }));
        for wrong in ["file-editor", "file-editor --private", "file-editor a b", "run file-editor /r"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_codex_host_takes_a_socket_and_a_command() {
        let command = vec!["codex".to_owned(), "--x".to_owned()];
        let asked = of("codex-host --socket /s codex --x");
        assert_eq!(asked, Ok(Arguments::CodexHost { socket: "/s".into(), command }));
        for wrong in ["codex-host", "codex-host --socket", "codex-host --socket /s", "codex-host codex /s x"]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for wrong in
            ["walk", "--ready-fd", "--ready-fd 1", "--ready-fd x", "--log-file l", "--log-file /l run"]
        {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
