//! The methods: a name, parameters and a result each.

mod agent;
mod change;
mod daemon;
mod link;
mod policy;
mod session;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::agent::*;
pub use self::change::*;
pub use self::daemon::*;
pub use self::link::*;
pub use self::policy::*;
pub use self::session::*;
use crate::agent::PermissionView;
use crate::policy::{Policy, Rule, Verdict};
use crate::session::SessionView;

/// One method of the control API.
pub trait Method {
    /// Its name on the wire.
    const NAME: &'static str;
    /// What it is given.
    type Params: Serialize + DeserializeOwned;
    /// What it answers. A result means *done*.
    type Result: Serialize + DeserializeOwned;
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $method:ident = $name:literal ($params:ty) -> $result:ty;)*) => {
        $($(#[doc = $doc])*
        #[derive(Debug, Clone, Copy)]
        pub enum $method {}
        impl Method for $method {
            const NAME: &'static str = $name;
            type Params = $params;
            type Result = $result;
        })*

        /// Every method's name, in the order of this file.
        pub const NAMES: &[&str] = &[$($name),*];

        /// Calls `visit` once a method: for the schema, and for tests that must not forget one.
        #[cfg(feature = "schema")]
        pub(crate) fn each(mut visit: impl FnMut(&'static str, &'static str, schemars::Schema, schemars::Schema)) {
            $(visit(
                $name,
                concat!($($doc, "\n"),*).trim(),
                schemars::schema_for!($params),
                schemars::schema_for!($result),
            );)*
        }
    };
}

/// Derives what every wire struct has.
macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })*) => {
        $($(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $name { $($body)* })*
    };
}
pub(crate) use wire;

methods! {
    /// First request of a connection: who am I, what do we both speak.
    Hello = "hello" (HelloParams) -> HelloResult;
    /// The daemon's own state.
    DaemonStatus = "daemon.status" (Empty) -> DaemonStatusResult;
    /// Ends the daemon. Sessions go on unless `stop_sessions` is set; the answer comes when that is done.
    DaemonStop = "daemon.stop" (DaemonStopParams) -> DaemonStopResult;
    /// Makes and starts a session; answers when its runner is up.
    SessionSpawn = "session.spawn" (SpawnParams) -> SessionView;
    /// All sessions, newest first.
    SessionList = "session.list" (Empty) -> SessionListResult;
    /// Some of the sessions, newest first, for whom all of them are too many at once.
    SessionPage = "session.page" (PageParams) -> PageResult;
    /// One session.
    SessionGet = "session.get" (SessionRef) -> SessionView;
    /// A session's events after a number.
    SessionEvents = "session.events" (EventsParams) -> EventsResult;
    /// The events that led to the state a session is in.
    SessionWhy = "session.why" (SessionRef) -> WhyResult;
    /// Folds a session's recorded inputs again and says whether they give the same.
    SessionReplay = "session.replay" (SessionRef) -> ReplayResult;
    /// A piece of a session's journal.
    SessionOutput = "session.output" (OutputParams) -> OutputResult;
    /// A session's screen as it is now, while its holder lives.
    SessionScreen = "session.screen" (SessionRef) -> ScreenResult;
    /// Writes to a session's runner; answers when all of it is written.
    SessionSend = "session.send" (SendParams) -> SendResult;
    /// Sets a session's terminal size when no client controls it.
    SessionResize = "session.resize" (ResizeParams) -> SessionView;
    /// Answers when the session is in one of the phases.
    SessionWait = "session.wait" (WaitParams) -> SessionView;
    /// Ends a session: politely, then by force; answers when nothing of its tree is alive.
    SessionStop = "session.stop" (StopParams) -> SessionView;
    /// Starts an ended session again under the same id.
    SessionResume = "session.resume" (SessionRef) -> SessionView;
    /// Gives a session another name, or none.
    SessionRename = "session.rename" (RenameParams) -> SessionView;
    /// Forgets an ended session and deletes its journal and events.
    SessionRemove = "session.remove" (SessionRef) -> RemovedResult;
    /// Gives an agent a message; answers when the agent has it.
    SessionPrompt = "session.prompt" (PromptParams) -> PromptResult;
    /// Stops what an agent is doing; answers when it was told.
    SessionAbort = "session.abort" (SessionRef) -> SessionView;
    /// Hands control of an agent to the desktop or the phone; answers when the runner that serves them is up.
    SessionSwitch = "session.switch" (SwitchParams) -> SessionView;
    /// The agent's own terminal program for a session that desktop and phone drive at once: to be run in a terminal of
    /// one's own, as often as one likes.
    SessionTerminal = "session.terminal" (SessionRef) -> TerminalProgram;
    /// Answers an agent's request; answers when the agent has it.
    SessionDecide = "session.decide" (DecideParams) -> PermissionView;
    /// Sets an agent's model or permission mode; answers when the agent was told.
    SessionSetMode = "session.set-mode" (SetModeParams) -> SessionView;
    /// Allows everything unasked for a while, or ends that.
    SessionBypass = "session.bypass" (BypassParams) -> SessionView;
    /// What agents of all sessions wait for, oldest first.
    PermissionList = "permission.list" (Empty) -> PermissionListResult;
    /// The owner's policy.
    PolicyGet = "policy.get" (Empty) -> Policy;
    /// Adds a rule; answers with it and its number.
    PolicyAdd = "policy.add" (PolicyAddParams) -> Rule;
    /// Removes a rule; answers with it.
    PolicyRemove = "policy.remove" (PolicyRemoveParams) -> Rule;
    /// Sets what becomes of permissions nobody answers.
    PolicySet = "policy.set" (PolicySetParams) -> Policy;
    /// What the policy says of a request, without asking anybody.
    PolicyTest = "policy.test" (PolicyTestParams) -> Verdict;
    /// Agents this daemon can start: installed, logged in, and what is missing.
    AgentList = "agent.list" (Empty) -> AgentListResult;
    /// The link to the sync server.
    UplinkStatus = "uplink.status" (Empty) -> UplinkStatusResult;
    /// Makes an account on a server and links this machine to it. Refused when it is linked already.
    AccountCreate = "account.create" (AccountCreateParams) -> AccountResult;
    /// The account this machine is linked to.
    AccountShow = "account.show" (Empty) -> AccountResult;
    /// The account's secret as a backup text. Whoever has it has everything.
    AccountExport = "account.export" (Empty) -> AccountExportResult;
    /// Links this machine to an account by its backup text. Refused when it is linked already.
    AccountImport = "account.import" (AccountImportParams) -> AccountResult;
    /// Begins pairing: a link for a phone, good once and for two minutes. A second one replaces the first.
    PairBegin = "pair.begin" (PairBeginParams) -> PairBeginResult;
    /// Answers when the pairing is done or over.
    PairWait = "pair.wait" (PairWaitParams) -> PairWaitResult;
    /// Gives up the pairing under way.
    PairCancel = "pair.cancel" (Empty) -> Empty;
    /// Machines and apps of the account, as far as the server knows them.
    DeviceList = "device.list" (Empty) -> DeviceListResult;
    /// Ends the link: the machine is taken off the server, if that can be reached, and its keys are deleted here.
    Unpair = "unpair" (Empty) -> UnpairResult;
    /// Notifications of session changes on this connection from now on.
    Subscribe = "subscribe" (SubscribeParams) -> SubscribeResult;
}
