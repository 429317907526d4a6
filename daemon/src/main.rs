//! `delightd`: keeps sessions alive, remembers them, and lets their owner drive them.
//!
//! Decisions are made by the pure reducers of `delight-core`; this program is the shell around them. It is disposable:
//! killed at any moment it loses nothing that was told to anybody.

mod actor;
mod adapters;
mod api;
mod arguments;
mod compose;
mod config;
mod confined;
mod keys;
mod lifecycle;
mod notify;
mod paths;
mod policy;
mod process;
mod relay;
mod remote;
mod session;
mod store;
mod supervisor;
#[cfg(test)]
mod testing;
mod uplink;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use arguments::Arguments;
use delight_proto::refusal::{Code, Refusal};
use lifecycle::{heap, logs, notify::ReadyPipe, ready_fd};
use relay::RelaySettings;

/// Threads for what blocks: starting holders, looking at directories, reading journals. More than the cores, because a
/// hung network file system holds one.
const BLOCKING_THREADS: usize = 16;

fn main() -> ExitCode {
    let (log_file, ready, relay) = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Arguments::Run { log_file, ready_fd, relay }) => (log_file, ready_fd, relay),
        Ok(Arguments::FileEditor { root, private }) => return file_editor(&root, &private),
        Ok(Arguments::CodexHost { socket, command }) => return codex_host(&socket, &command),
        Ok(Arguments::Help) => return print(arguments::HELP),
        Ok(Arguments::Version) => return print(concat!("delightd ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(reason) => {
            complain(&format!("delightd: {reason}"));
            return ExitCode::from(Code::BadParams.exit_status());
        }
    };
    let mut ready_pipe = match ready.map(ready_fd::take).transpose() {
        Ok(fd) => ReadyPipe::new(fd),
        Err(e) => {
            complain(&format!("delightd: --ready-fd cannot be used: {e}"));
            return ExitCode::from(Code::BadParams.exit_status());
        }
    };
    match run(log_file.as_deref(), relay, &mut ready_pipe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let mut text = format!("delightd: {refusal}");
            if !refusal.fix.is_empty() {
                text = format!("{text} (fix: {})", refusal.fix);
            }
            // Whoever started us gets the refusal as data. Plain strings: serialising it cannot fail.
            ready_pipe.say(&serde_json::to_string(&refusal).unwrap_or_default());
            complain(&text);
            ExitCode::from(refusal.code.exit_status())
        }
    }
}

fn run(
    log_file: Option<&Path>,
    relay: Option<SocketAddr>,
    ready_pipe: &mut ReadyPipe,
) -> Result<(), Refusal> {
    heap::share();
    let failed = |what: &str, e: std::io::Error| Refusal::new(Code::Internal, what.to_owned(), e.to_string());
    let program = std::env::current_exe().map_err(|e| failed("the daemon's own path is not known", e))?;
    let place = paths::resolve()?;
    paths::prepare(&place)?;
    let mut config = config::load(&place.config)?;
    if let Some(listen) = relay {
        config.relay = Some(RelaySettings { listen });
    }
    let filter = std::env::var("DELIGHT_LOG").unwrap_or_else(|_| config.log.clone());
    logs::start(&filter, log_file).map_err(|e| failed("the log cannot be written", e))?;
    // So that no directory is held busy, neither by the daemon nor by the holders it starts.
    std::env::set_current_dir("/").map_err(|e| failed("the root directory cannot be entered", e))?;
    // One thread: sessions are many and small, and what blocks has threads of its own. It keeps memory and latency
    // lower than a thread pool does.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .on_thread_stop(heap::give_back)
        .build()
        .map_err(|e| failed("the daemon's loop cannot be started", e))?;
    let ended = runtime.block_on(compose::run(place, &config, &program, ready_pipe));
    // Whatever still blocks on a hung disk must not keep the daemon from ending.
    runtime.shutdown_background();
    ended
}

fn file_editor(root: &Path, private: &[std::path::PathBuf]) -> ExitCode {
    match adapters::serve_files(root, private) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            complain(&format!("delightd file-editor: {refusal}"));
            ExitCode::from(refusal.code.exit_status())
        }
    }
}

fn codex_host(socket: &Path, command: &[String]) -> ExitCode {
    match adapters::host_codex(socket, command) {
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            complain(&format!("delightd codex-host: {e}"));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Nobody left to tell if standard error is gone, too.
    let _ = writeln!(std::io::stderr(), "{text}");
}
