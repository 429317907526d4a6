//! `unpair`: this machine leaves the account.

use std::io::{self, IsTerminal};

use delight_proto::api::method::{AccountShow, Empty, Unpair};
use delight_proto::refusal::{Code, Refusal};

use crate::context::Context;
use crate::failure::{Failure, system};
use crate::output::{self, Tone};
use crate::text;

/// Done, but the server still lists the machine.
const WITH_A_WARNING: u8 = 8;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sessions go on. When the server cannot be reached the keys are deleted all the same and the exit status is 8: the machine \
stays in the account's list until somebody removes it there.

Example:
  delightctl unpair")]
pub(crate) struct Args {
    /// Do not ask, even if this machine holds the account's secret
    #[arg(long, short)]
    yes: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut daemon = context.daemon()?;
        let account = daemon.call::<AccountShow>(&Empty {})?;
        if account.has_secret && !self.yes && !confirmed()? {
            output::note("nothing was done\n");
            return Ok(0);
        }
        let done = daemon.call::<Unpair>(&Empty {})?;
        context.out.result(&done, || {
            let head = context.out.paint(Tone::Good, "this machine belongs to no account any more");
            if done.told {
                format!("{head}\nnext: delightctl pair\n")
            } else {
                format!(
                    "{head}\n{} {}\n",
                    context.out.paint(Tone::Warn, "the server was not told:"),
                    text::visible(&done.reason)
                )
            }
        })?;
        Ok(if done.told { 0 } else { WITH_A_WARNING })
    }
}

/// Asks a person: the secret may exist nowhere else.
fn confirmed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Refusal::new(
            Code::NeedsHuman,
            "the account's secret is on this machine and would be deleted",
            "nobody can be asked whether there is a backup",
        )
        .fix("make one (delightctl account export --file PATH), then: delightctl unpair --yes")
        .into());
    }
    output::note(
        "This machine holds the account's secret. Without a backup the account is lost. Delete it? [y/N] ",
    );
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|e| system("the answer could not be read", e))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
