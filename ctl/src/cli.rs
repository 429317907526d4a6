//! The command line: which commands there are, and how they are dispatched.

use clap::{Parser, Subcommand};

use crate::command;
use crate::context::Context;
use crate::failure::{Failure, usage};

/// Exit statuses, for `--help`.
const EXITS: &str = "\
Sessions are named by ID, by a unique prefix of it (4 characters or more), by name, or as @last (the newest).

Exit status:
  0 done                     5 refused by policy or permission
  1 failed                   6 conflict, or not possible in this state
  2 wrong usage              7 timed out
  3 no such session          8 done, with a warning
  4 no daemon answers        9 client and daemon do not fit together
                            10 needs a person at a terminal

Everything works on this machine alone: no account, no network, no root. With --machine NAME the \
same commands are for another machine of the account, end to end encrypted through the server; \
--follow looks every few seconds then, and what is about a machine itself (up, down, service, \
accounts, pairing, policy) is done at that machine.

Examples:
  delightctl spawn                       a shell that outlives this terminal (detach: ctrl-\\)
  delightctl spawn --name build -- make  the same with a command and a name
  delightctl spawn claude .              an agent in this directory, attached
  delightctl list                        what runs, what needs you first
  delightctl allow                       yes to what an agent asks
  delightctl attach build                back to it, from any terminal
  delightctl logs --follow build         only watch";

/// Keeps terminal and coding-agent sessions alive and lets you drive them.
#[derive(Debug, Parser)]
#[command(name = "delightctl", version, after_help = EXITS, max_term_width = 110, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Print exactly one JSON document on standard output (one a line with --follow)
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Ask another machine of the account, through the server; `delightctl machines` lists them
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One variant a command; each is its own file under `command/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(command::up::Args),
    Down(command::down::Args),
    Status(command::status::Args),
    Spawn(Box<command::spawn::Args>),
    #[command(visible_alias = "ls")]
    List(command::list::Args),
    Show(command::show::Args),
    Attach(command::attach::Args),
    Logs(Box<command::logs::Args>),
    Send(command::send::Args),
    Wait(command::wait::Args),
    Next(command::next::Args),
    Permissions(command::permissions::Args),
    Allow(command::decide::Allow),
    Deny(command::decide::Deny),
    Switch(command::agent_control::Switch),
    Abort(command::agent_control::Abort),
    Mode(command::agent_control::Mode),
    Bypass(command::agent_control::Bypass),
    Policy(Box<command::policy::Args>),
    Why(command::why::Args),
    Replay(command::replay::Args),
    Agents(command::agents::Args),
    Pair(command::pair::Args),
    Account(command::account::Args),
    Devices(command::devices::Args),
    Unpair(command::unpair::Args),
    Stop(command::stop::Args),
    Kill(command::kill::Args),
    Rm(command::rm::Args),
    Resume(command::resume::Args),
    Rename(command::rename::Args),
    Events(command::events::Args),
    Rpc(command::rpc::Args),
    Machines(command::machines::Args),
    Completions(command::completions::Args),
    Service(command::service::Args),
}

impl Command {
    fn is_about_this_machine(&self) -> bool {
        matches!(
            self,
            Self::Up(_) | Self::Down(_) | Self::Machines(_) | Self::Completions(_) | Self::Service(_)
        )
    }

    /// Carries the command out; the result is the exit status of one that did what was asked.
    ///
    /// # Errors
    /// Whatever kept it from that.
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        if let Some(machine) = &context.machine
            && self.is_about_this_machine()
        {
            return Err(usage(
                "this cannot be done for another machine",
                format!("it is about the machine it is run on, not about {machine}"),
                "run it there, or leave --machine out",
            ));
        }
        match self {
            Self::Up(args) => args.run(context),
            Self::Down(args) => args.run(context),
            Self::Status(args) => args.run(context),
            Self::Spawn(args) => args.run(context),
            Self::List(args) => args.run(context),
            Self::Show(args) => args.run(context),
            Self::Attach(args) => args.run(context),
            Self::Logs(args) => args.run(context),
            Self::Send(args) => args.run(context),
            Self::Wait(args) => args.run(context),
            Self::Next(args) => args.run(context),
            Self::Permissions(args) => args.run(context),
            Self::Allow(args) => args.run(context),
            Self::Deny(args) => args.run(context),
            Self::Switch(args) => args.run(context),
            Self::Abort(args) => args.run(context),
            Self::Mode(args) => args.run(context),
            Self::Bypass(args) => args.run(context),
            Self::Policy(args) => args.run(context),
            Self::Why(args) => args.run(context),
            Self::Replay(args) => args.run(context),
            Self::Agents(args) => args.run(context),
            Self::Pair(args) => args.run(context),
            Self::Account(args) => args.run(context),
            Self::Devices(args) => args.run(context),
            Self::Unpair(args) => args.run(context),
            Self::Stop(args) => args.run(context),
            Self::Kill(args) => args.run(context),
            Self::Rm(args) => args.run(context),
            Self::Resume(args) => args.run(context),
            Self::Rename(args) => args.run(context),
            Self::Events(args) => args.run(context),
            Self::Rpc(args) => args.run(context),
            Self::Machines(args) => args.run(context),
            Self::Completions(args) => args.run(context),
            Self::Service(args) => args.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty(), "{} has no about", command.get_name());
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Example"), "{} shows no example", command.get_name());
        }
    }

    /// clap wraps each line for the terminal by itself: prose broken by hand comes out with short lines in between.
    #[test]
    fn prose_below_the_options_is_not_broken_by_hand() {
        fn check(command: &clap::Command) {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines: Vec<&str> = after.lines().collect();
            for pair in lines.windows(2).filter(|pair| pair[0].len() > 80) {
                let goes_on = !pair[1].is_empty() && !pair[1].starts_with(' ') && !pair[0].ends_with('.');
                assert!(!goes_on, "{}: {pair:?}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
