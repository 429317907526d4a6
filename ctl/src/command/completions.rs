//! `completions`: what a shell needs to complete our command line.

use clap::CommandFactory;
use clap_complete::Shell;
use serde::Serialize;

use crate::cli::Cli;
use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  delightctl completions bash > ~/.local/share/bash-completion/completions/delightctl
  delightctl completions zsh  > ~/.zfunc/_delightctl
  delightctl completions fish > ~/.config/fish/completions/delightctl.fish")]
pub(crate) struct Args {
    /// Which shell
    shell: Shell,
}

#[derive(Serialize)]
struct Document {
    shell: String,
    script: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "delightctl", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        let document = Document { shell: self.shell.to_string(), script };
        context.out.result(&document, || document.script.clone())?;
        Ok(0)
    }
}
