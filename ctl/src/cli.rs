//! The command line: which commands there are, and how they are dispatched.

use clap::{Parser, Subcommand};

use crate::command;
use crate::context::Context;
use crate::failure::{Failure, usage};
use crate::later::Later;

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

/// One variant a command, in the order of the help; each is its own file under `command/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the daemon, if it does not run yet
    Up(Later<command::up::Args>),
    /// Stop the daemon; sessions go on unless --all is given
    Down(Later<command::down::Args>),
    /// Show whether the daemon runs, since when, and what it keeps
    Status(Later<command::status::Args>),
    /// Make a session and run an agent or a command in it; attach to it if this is a terminal
    Spawn(Later<Box<command::spawn::Args>>),
    /// List sessions; those that need you come first
    #[command(visible_alias = "ls")]
    List(Later<command::list::Args>),
    /// Show everything about a session, with its last events
    Show(Later<command::show::Args>),
    /// Attach this terminal to a session
    Attach(Later<command::attach::Args>),
    /// Print what a session wrote
    Logs(Later<Box<command::logs::Args>>),
    /// Give an agent a message, or write text or keys to a session as if typed; done when it has all of it
    Send(Later<command::send::Args>),
    /// Wait until a session has ended, its agent needs you, or it is in another state
    Wait(Later<command::wait::Args>),
    /// Say who needs you: the session that has waited longest, and how to answer it
    Next(Later<command::next::Args>),
    /// List what agents wait to be allowed, or answered; the longest wait first
    Permissions(Later<command::permissions::Args>),
    /// Say yes to what an agent asks; done when the agent has the answer
    Allow(Later<command::decide::Allow>),
    /// Say no to what an agent asks; done when the agent has the answer
    Deny(Later<command::decide::Deny>),
    /// Hand control of an agent to the desktop or the phone; done when it is ready there
    Switch(Later<command::agent_control::Switch>),
    /// Stop what an agent is doing; it stays and takes the next message
    Abort(Later<command::agent_control::Abort>),
    /// Set an agent's model, permission mode or effort
    Mode(Later<command::agent_control::Mode>),
    /// Allow everything an agent asks for a while, or end that
    Bypass(Later<command::agent_control::Bypass>),
    /// Say what agents may do without asking a person: deny beats ask, ask beats allow
    Policy(Later<Box<command::policy::Args>>),
    /// Show the chain of events that led to the state a session is in
    Why(Later<command::why::Args>),
    /// Fold a session's recorded inputs again and compare
    Replay(Later<command::replay::Args>),
    /// List the kinds of sessions there are, and what is missing for those that cannot start
    Agents(Later<command::agents::Args>),
    /// Pair a phone: shows a code to scan, waits for the phone, and says whose account it is
    Pair(Later<command::pair::Args>),
    /// Make, show, back up or take over the account this machine belongs to
    Account(Later<command::account::Args>),
    /// List the account's machines, as far as the server knows them
    Devices(Later<command::devices::Args>),
    /// Leave the account: the server is told, and the keys on this machine are deleted
    Unpair(Later<command::unpair::Args>),
    /// Stop sessions: ask politely, then force; done when nothing of them is alive
    Stop(Later<command::stop::Args>),
    /// Kill sessions: end every process of them at once
    Kill(Later<command::kill::Args>),
    /// Forget ended sessions and delete their output and events
    Rm(Later<command::rm::Args>),
    /// Start an ended session again: same ID, command, directory and environment
    Resume(Later<command::resume::Args>),
    /// Give a session another name, or take its name away
    Rename(Later<command::rename::Args>),
    /// Print what happened to a session: starts, ends, restarts, troubles
    Events(Later<command::events::Args>),
    /// Call a method of the daemon's API and print its result as JSON
    Rpc(Later<command::rpc::Args>),
    /// List the machines of this machine's account, for --machine
    Machines(Later<command::machines::Args>),
    /// Print the completion script of a shell
    Completions(Later<command::completions::Args>),
    /// Have the daemon started at login, by systemd or launchd
    Service(Later<command::service::Args>),
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
            Self::Up(args) => args.0.run(context),
            Self::Down(args) => args.0.run(context),
            Self::Status(args) => args.0.run(context),
            Self::Spawn(args) => args.0.run(context),
            Self::List(args) => args.0.run(context),
            Self::Show(args) => args.0.run(context),
            Self::Attach(args) => args.0.run(context),
            Self::Logs(args) => args.0.run(context),
            Self::Send(args) => args.0.run(context),
            Self::Wait(args) => args.0.run(context),
            Self::Next(args) => args.0.run(context),
            Self::Permissions(args) => args.0.run(context),
            Self::Allow(args) => args.0.run(context),
            Self::Deny(args) => args.0.run(context),
            Self::Switch(args) => args.0.run(context),
            Self::Abort(args) => args.0.run(context),
            Self::Mode(args) => args.0.run(context),
            Self::Bypass(args) => args.0.run(context),
            Self::Policy(args) => args.0.run(context),
            Self::Why(args) => args.0.run(context),
            Self::Replay(args) => args.0.run(context),
            Self::Agents(args) => args.0.run(context),
            Self::Pair(args) => args.0.run(context),
            Self::Account(args) => args.0.run(context),
            Self::Devices(args) => args.0.run(context),
            Self::Unpair(args) => args.0.run(context),
            Self::Stop(args) => args.0.run(context),
            Self::Kill(args) => args.0.run(context),
            Self::Rm(args) => args.0.run(context),
            Self::Resume(args) => args.0.run(context),
            Self::Rename(args) => args.0.run(context),
            Self::Events(args) => args.0.run(context),
            Self::Rpc(args) => args.0.run(context),
            Self::Machines(args) => args.0.run(context),
            Self::Completions(args) => args.0.run(context),
            Self::Service(args) => args.0.run(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// With the options of all commands.
    fn whole() -> clap::Command {
        let mut cli = Cli::command();
        cli.build();
        cli
    }

    #[test]
    fn definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        for command in whole().get_subcommands() {
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
        check(&whole());
    }
}
