//! `account`: the account this machine belongs to, for people without a phone.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::Subcommand;
use delight_proto::api::method::{
    AccountCreate, AccountCreateParams, AccountExport, AccountImport, AccountImportParams, AccountResult,
    AccountShow, Empty,
};
use delight_proto::sync::bounded::Hidden;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, system, usage};
use crate::output::{self, Tone};
use crate::text;

/// A backup has 44 characters; more is something else.
const MOST: u64 = 4_096;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
An account is a secret of 32 bytes; whoever has it reads and does everything the account can. The backup is that secret \
as 44 characters. It is read from standard input or a file, never from the command line, where other programs see it.

Examples:
  delightctl account create --server https://sync.example.org
  delightctl account show
  delightctl account export --file backup.txt
  delightctl account import --file backup.txt")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an account on a server and link this machine to it
    Create {
        /// The sync server; default: the configured one, or the relay that runs in the daemon
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
    /// Show the account this machine is linked to
    Show,
    /// Show the account's secret as a backup
    Export {
        /// Write it into this file (mode 0600), which must not exist
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
    },
    /// Link this machine to the account of a backup
    Import {
        /// Read it from this file; default: standard input
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
        /// The sync server; default: the configured one, or the relay that runs in the daemon
        #[arg(long, value_name = "URL")]
        server: Option<String>,
    },
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let place = context.place()?;
        let out = context.out;
        match self.what {
            What::Show => {
                let account = context.daemon()?.call::<AccountShow>(&Empty {})?;
                out.result(&account, || words(&account))?;
            }
            What::Create { server } => {
                let (mut daemon, _) = context.daemon_or_start(&place)?;
                let account = daemon.call::<AccountCreate>(&AccountCreateParams { server })?;
                out.result(&account, || {
                    format!(
                        "{}\n{}keep a backup: without it the account is lost with this machine\nnext: delightctl account export --file \
                         backup.txt\n",
                        out.paint(Tone::Good, "the account is made"),
                        words(&account)
                    )
                })?;
            }
            What::Export { file } => export(context, file)?,
            What::Import { file, server } => {
                let backup = Hidden::new(read(file)?);
                let (mut daemon, _) = context.daemon_or_start(&place)?;
                let account = daemon.call::<AccountImport>(&AccountImportParams { backup, server })?;
                out.result(&account, || {
                    format!(
                        "{}\n{}next: delightctl devices\n",
                        out.paint(Tone::Good, "imported"),
                        words(&account)
                    )
                })?;
            }
        }
        Ok(0)
    }
}

/// An account in words.
pub(super) fn words(account: &AccountResult) -> String {
    let holds = if account.has_secret {
        "the account's secret"
    } else {
        "what the phone gave it; the secret is on the phone"
    };
    format!(
        "  account  {}\n  server   {}\n  machine  {}\n  holds    {holds}\n",
        text::visible(&account.account),
        text::visible(&account.server),
        text::visible(&account.machine),
    )
}

fn export(context: &Context, file: Option<PathBuf>) -> Result<(), Failure> {
    let backup = context.daemon()?.call::<AccountExport>(&Empty {})?.backup;
    let Some(path) = file else {
        return context
            .out
            .result(&json!({ "backup": backup.expose() }), || format!("{}\n", backup.expose()));
    };
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| writeln!(file, "{}", backup.expose()).and_then(|()| file.sync_all()));
    written.map_err(|e| {
        usage(
            format!("the backup cannot be written to {}", path.display()),
            e.to_string(),
            "name another file",
        )
    })?;
    context.out.result(&json!({ "file": path }), || {
        format!(
            "written to {}; keep it where nobody else reads it\n",
            text::visible(&path.display().to_string())
        )
    })
}

fn read(file: Option<PathBuf>) -> Result<String, Failure> {
    let mut backup = String::new();
    match file {
        Some(path) => {
            let read =
                std::fs::File::open(&path).and_then(|file| file.take(MOST).read_to_string(&mut backup));
            read.map_err(|e| {
                usage(format!("{} cannot be read", path.display()), e.to_string(), "name another file")
            })?;
        }
        None => {
            let stdin = io::stdin();
            let _quiet = stdin.is_terminal().then(|| {
                output::note("paste the backup and press Enter (it is not shown): ");
                Quiet::begin()
            });
            let line = io::BufRead::read_line(&mut stdin.lock().take(MOST), &mut backup);
            line.map_err(|e| system("the backup could not be read", e))?;
        }
    }
    Ok(backup.trim().to_owned())
}

/// A terminal that does not show what is typed, until dropped.
struct Quiet(Option<nix::sys::termios::Termios>);

impl Quiet {
    fn begin() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut quiet) = before.clone() {
            quiet.local_flags.remove(LocalFlags::ECHO);
            // One that cannot be quiet shows it; the person sees that.
            let _ = tcsetattr(io::stdin(), SetArg::TCSAFLUSH, &quiet);
        }
        Self(before)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
            output::note("\n");
        }
    }
}
