//! `delight-relay`: the relay as a program of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use delight_relay::config::Tls;
use delight_relay::{Config, Relay};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The sync server of delight: daemons and phones meet here, and it cannot read what they say.
///
/// Settings come from the file, then from the flags. It listens on a loopback address unless told otherwise; on any other
/// address give it TLS, or put it behind a proxy that speaks TLS. Tokens, bodies and queries are never logged.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 ended as asked, 1 could not run, 2 usage, 6 another relay uses the data directory.\n\
                  Signals: SIGTERM and SIGINT end it; requests get up to 10 s to finish, a second signal ends it at once."
)]
struct Arguments {
    /// The configuration file (TOML)
    #[arg(long, env = "DELIGHT_RELAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The directory of the database, made with mode 0700 when absent
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// The TLS certificate chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The TLS private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A proxy whose X-Forwarded-For is believed; may be given again
    #[arg(long, value_name = "ADDRESS")]
    trusted_proxy: Vec<std::net::IpAddr>,
    /// Checks configuration, certificate and key, and ends
    #[arg(long)]
    check: bool,
    /// What to log, as a tracing filter
    #[arg(long, env = "DELIGHT_RELAY_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
}

const FAILED: u8 = 1;
const TAKEN: u8 = 6;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, why)) => {
            // Where standard error is closed there is nobody to tell.
            drop(writeln!(std::io::stderr(), "delight-relay: {why}"));
            ExitCode::from(status)
        }
    }
}

type Failure = (u8, String);

fn run(arguments: Arguments) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&arguments.log)
        .map_err(|why| (FAILED, format!("--log {}: {why}", arguments.log)))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let check = arguments.check;
    let config = settings(arguments).map_err(|why| (FAILED, why))?;
    if check {
        config.check().map_err(|why| (FAILED, why.to_string()))?;
        delight_relay::check_tls(&config).map_err(|why| (FAILED, why.to_string()))?;
        drop(writeln!(std::io::stdout(), "the configuration is sound"));
        return Ok(());
    }
    if config.tls.is_none() && !config.listen.ip().is_loopback() {
        tracing::warn!(
            address = %config.listen,
            "listening without TLS on an address others can reach: tokens travel in the clear unless a proxy adds TLS"
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| (FAILED, format!("the runtime could not start: {why}")))?;
    runtime.block_on(serve(config))
}

fn settings(arguments: Arguments) -> Result<Config, String> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(path).map_err(|why| why.to_string())?,
        None => Config::default(),
    };
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    if let Some(data_dir) = arguments.data_dir {
        config.data_dir = data_dir;
    }
    if let Some((cert, key)) = arguments.tls_cert.zip(arguments.tls_key) {
        config.tls = Some(Tls { cert, key });
    }
    config.trusted_proxies.extend(arguments.trusted_proxy);
    Ok(config)
}

async fn serve(config: Config) -> Result<(), Failure> {
    let no_signals = |why: std::io::Error| (FAILED, format!("signals cannot be waited for: {why}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let relay = Relay::start(config).await.map_err(|why| {
        let status = if why.is_taken() { TAKEN } else { FAILED };
        (status, why.to_string())
    })?;
    // One line for whoever started it with port 0; everything else goes to the log.
    drop(writeln!(std::io::stdout(), "listening on {}", relay.address()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to end");
    tokio::select! {
        () = relay.shutdown() => Ok(()),
        _ = terminate.recv() => Err((FAILED, "ended at once, as asked twice".to_owned())),
        _ = interrupt.recv() => Err((FAILED, "ended at once, as asked twice".to_owned())),
    }
}
