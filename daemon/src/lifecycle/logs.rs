//! Where the log goes: standard error (the journal of the service manager), or a bounded file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// A log file of this size is set aside as `*.old` (one is kept) and a new one begun: 16 MiB at most.
const ROTATE_AT: u64 = 8 << 20;

/// Starts logging. `filter` is the configuration's; one that cannot be read falls back to `info` and says so.
pub(crate) fn start(filter: &str, file: Option<&Path>) -> io::Result<()> {
    let (parsed, complaint) = match EnvFilter::try_new(filter) {
        Ok(parsed) => (parsed, None),
        Err(e) => (EnvFilter::new("info"), Some(e.to_string())),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_ansi(false).with_target(false);
    match file {
        Some(path) => builder.with_writer(Rotating::open(path, ROTATE_AT)?).init(),
        // The journal stamps every line itself.
        None if std::env::var_os("JOURNAL_STREAM").is_some() => {
            builder.without_time().with_writer(io::stderr).init();
        }
        None => builder.with_writer(io::stderr).init(),
    }
    if let Some(complaint) = complaint {
        tracing::warn!(filter, complaint, "the log filter cannot be read; logging at info");
    }
    Ok(())
}

/// An append-only file that begins anew when it is full.
#[derive(Debug)]
struct Rotating {
    path: PathBuf,
    limit: u64,
    open: Mutex<(File, u64)>,
}

impl Rotating {
    fn open(path: &Path, limit: u64) -> io::Result<Self> {
        let open = Mutex::new(Self::append(path)?);
        Ok(Self { path: path.to_owned(), limit, open })
    }

    fn append(path: &Path) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }
}

/// One line being written.
#[derive(Debug)]
struct Line<'a> {
    log: &'a Rotating,
    open: MutexGuard<'a, (File, u64)>,
}

impl<'a> MakeWriter<'a> for Rotating {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { log: self, open: self.open.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.1 > 0 && self.open.1 + bytes.len() as u64 > self.log.limit {
            let mut old = self.log.path.clone().into_os_string();
            old.push(".old");
            fs::rename(&self.log.path, old)?;
            *self.open = Rotating::append(&self.log.path)?;
        }
        let written = self.open.0.write(bytes)?;
        self.open.1 += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_newest_lines() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("daemon.log");
        let log = Rotating::open(&path, 100).unwrap();
        for n in 0..50 {
            log.make_writer().write_all(format!("line {n:05}\n").as_bytes()).unwrap();
        }
        let (new, old) = (
            fs::read_to_string(&path).unwrap(),
            fs::read_to_string(base.path().join("daemon.log.old")).unwrap(),
        );
        assert!(new.len() <= 100 && old.len() <= 100);
        assert!(new.ends_with("line 00049\n"));
        assert!(old.ends_with("\n") && new.starts_with("line"));
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 2);
    }
}
