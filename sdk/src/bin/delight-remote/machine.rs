//! One machine of the account, and how its control API is asked over a way that breaks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use delight_proto::api::method::{
    DaemonStatus, Method, PageParams, PermissionList, PolicyGet, PolicyTest, SessionDecide, SessionEvents,
    SessionGet, SessionList, SessionListResult, SessionOutput, SessionPage, SessionPrompt, SessionRename,
    SessionScreen, SessionSend, SessionSpawn, SessionStop, SessionWait,
};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::Name;
use delight_proto::sync::rpc::{ApiAnswer, ApiOutcome, ApiRequest, from_afar};
use delight_sdk::{Error, Kind, Machine, Phone, Presence};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::refusal;

/// What servers give one call.
const CALL: Duration = Duration::from_secs(30);
/// How long a call that may be repeated is: a server that restarts and a daemon that finds it again take seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long one `session.wait` or `session.output` waits at the machine; below [`CALL`].
const WAIT_MS: u64 = 20_000;
/// Sessions asked for at once: some 300 kB, which fit a call.
const PAGE: u32 = 300;
/// A list is begun anew so often at most when sessions are removed while it is read.
const BEGUN_ANEW: u32 = 3;
/// Between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Methods that may be asked for again: they change nothing, or know a repetition again, or do no harm twice.
const REPEATABLE: &[&str] = &[
    DaemonStatus::NAME,
    PermissionList::NAME,
    PolicyGet::NAME,
    PolicyTest::NAME,
    SessionDecide::NAME,
    SessionEvents::NAME,
    SessionGet::NAME,
    SessionList::NAME,
    SessionOutput::NAME,
    SessionPage::NAME,
    SessionPrompt::NAME,
    SessionRename::NAME,
    SessionScreen::NAME,
    SessionSend::NAME,
    SessionSpawn::NAME,
    SessionStop::NAME,
    SessionWait::NAME,
];

/// A machine of the account.
pub(crate) struct Remote {
    phone: Phone,
    machine: Machine,
    /// Since when its daemon runs, as it said last; 0 before it said anything.
    daemon: AtomicU64,
    /// Why it cannot be reached at the moment.
    trouble: watch::Sender<Option<String>>,
}

impl Remote {
    /// Finds a machine by its id, the beginning of one, its name or its host.
    ///
    /// # Errors
    /// `not-found`, `ambiguous`, or what keeps the account's machines from being listed.
    pub(crate) async fn find(phone: Phone, named: &str) -> Result<Self, Refusal> {
        let machines = phone.machines().await.map_err(|e| refusal(&e))?;
        let machine = choose(&machines, named)?.clone();
        Ok(Self { phone, machine, daemon: AtomicU64::new(0), trouble: watch::Sender::new(None) })
    }

    /// What a person calls it.
    pub(crate) fn name(&self) -> String {
        name(&self.machine)
    }

    /// Why it cannot be reached, while it cannot.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// [`Self::call`] with the shapes of a method.
    pub(crate) async fn call_as<M: Method>(
        &self,
        params: &M::Params,
        patience: Duration,
    ) -> Result<M::Result, Refusal> {
        let odd = |e: serde_json::Error| {
            Refusal::new(Code::VersionSkew, "the machine cannot be understood", e.to_string())
        };
        let params = serde_json::to_value(params).map_err(odd)?;
        serde_json::from_value(self.call(M::NAME, params, patience).await?).map_err(odd)
    }

    /// Carries out one request of the control API. What may be repeated is, for as long as `patience`.
    ///
    /// # Errors
    /// The machine's own refusal, or why it could not be asked.
    pub(crate) async fn call(
        &self,
        method: &str,
        mut params: Value,
        patience: Duration,
    ) -> Result<Value, Refusal> {
        if !from_afar(method) {
            return Err(Refusal::new(
                Code::Forbidden,
                format!("{method} cannot be asked of another machine"),
                "it belongs to whoever sits at that machine",
            )
            .fix("run it there"));
        }
        match method {
            SessionList::NAME => return Box::pin(self.list(patience)).await,
            SessionWait::NAME => return self.wait(params, patience).await,
            SessionSend::NAME => {
                fill(&mut params, "request_id")?;
                // To know which daemon's memory the key is in.
                if self.daemon.load(Ordering::Relaxed) == 0 {
                    self.ask(DaemonStatus::NAME, json!({}), false, patience).await?;
                }
                return self.ask(method, params, true, patience).await;
            }
            SessionSpawn::NAME => {
                fill(&mut params, "request_id")?;
                self.place(&mut params)?;
            }
            SessionPrompt::NAME => fill(&mut params, "local_id")?,
            SessionOutput::NAME => shorten(&mut params, "wait_ms"),
            _ => {}
        }
        self.ask(method, params, false, patience).await
    }

    /// All sessions, a page at a time: many do not fit one call.
    async fn list(&self, patience: Duration) -> Result<Value, Refusal> {
        let mut params = PageParams { after: None, limit: PAGE };
        let mut sessions = Vec::new();
        let mut begun_anew = 0;
        loop {
            match self.call_as::<SessionPage>(&params, patience).await {
                Ok(page) => {
                    sessions.extend(page.sessions);
                    params.after = sessions.last().map(|view| view.id);
                    if !page.more {
                        break;
                    }
                }
                // A machine whose daemon knows no pages has few enough sessions, or says that it has not.
                Err(refusal) if refusal.code == Code::UnknownMethod => {
                    return self.ask(SessionList::NAME, json!({}), false, patience).await;
                }
                // The one it goes on after was removed.
                Err(refusal) if refusal.code == Code::NotFound && begun_anew < BEGUN_ANEW => {
                    begun_anew += 1;
                    (params.after, sessions) = (None, Vec::new());
                }
                Err(refusal) => return Err(refusal),
            }
        }
        serde_json::to_value(SessionListResult { sessions })
            .map_err(|e| Refusal::new(Code::Internal, "the list cannot be written", e.to_string()))
    }

    /// Waits for as long as the caller wants, a while at a time.
    async fn wait(&self, mut params: Value, patience: Duration) -> Result<Value, Refusal> {
        let limit = params.get("timeout_ms").and_then(Value::as_u64).map(Duration::from_millis);
        let begun = Instant::now();
        loop {
            let left = limit.map(|limit| limit.saturating_sub(begun.elapsed()));
            let piece =
                left.map_or(WAIT_MS, |left| WAIT_MS.min(u64::try_from(left.as_millis()).unwrap_or(WAIT_MS)));
            set(&mut params, "timeout_ms", json!(piece));
            match self.ask(SessionWait::NAME, params.clone(), false, patience).await {
                Err(refusal)
                    if refusal.code == Code::Timeout
                        && left.is_none_or(|left| left.as_millis() > u128::from(piece)) => {}
                done => return done,
            }
        }
    }

    /// `~` is the home directory there.
    fn place(&self, params: &mut Value) -> Result<(), Refusal> {
        let Some(cwd) = params.get("cwd").and_then(Value::as_str) else { return Ok(()) };
        let Some(rest) = cwd.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            return Ok(());
        };
        let home = self.machine.metadata.as_ref().and_then(|metadata| metadata.home_dir.as_ref());
        let Some(home) = home else {
            return Err(Refusal::new(
                Code::BadParams,
                "the working directory cannot be told",
                format!("{} does not say where its home directory is", self.name()),
            )
            .fix("name a directory of that machine: --cwd /absolute/path"));
        };
        let whole = format!("{home}{rest}");
        set(params, "cwd", json!(whole));
        Ok(())
    }

    async fn ask(
        &self,
        method: &str,
        params: Value,
        same_daemon: bool,
        patience: Duration,
    ) -> Result<Value, Refusal> {
        let repeatable = REPEATABLE.contains(&method);
        let begun = Instant::now();
        let mut pause = PAUSES.0;
        // Whether an earlier attempt may have been carried out.
        let mut perhaps = false;
        loop {
            let known = self.daemon.load(Ordering::Relaxed);
            let request = ApiRequest {
                method: Name::cut(method),
                params: Some(params.clone()),
                daemon: same_daemon.then_some(known),
            };
            let error = match self.phone.api(self.machine.id.as_str(), request, false, CALL).await {
                Ok(ApiAnswer { daemon, outcome }) => {
                    self.trouble.send_replace(None);
                    self.daemon.store(daemon, Ordering::Relaxed);
                    if same_daemon && daemon != known && !perhaps {
                        continue;
                    }
                    return match outcome {
                        ApiOutcome::Result(value) => Ok(value),
                        ApiOutcome::Refused(refusal) => Err(refusal),
                    };
                }
                Err(error) => error,
            };
            perhaps |= error.perhaps_done;
            let sendable = repeatable || !perhaps;
            if !sendable || !self.is_passing(&error) || begun.elapsed() + pause >= patience {
                return Err(self.told(&error, perhaps));
            }
            self.trouble.send_replace(Some(error.reason));
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Whether trying again may help: a machine that has answered before is away only until it finds the server again.
    fn is_passing(&self, error: &Error) -> bool {
        match error.kind {
            Kind::Unreachable | Kind::TimedOut | Kind::Busy => true,
            Kind::MachineAway => self.daemon.load(Ordering::Relaxed) != 0,
            _ => false,
        }
    }

    fn told(&self, error: &Error, perhaps: bool) -> Refusal {
        let mut error = error.clone();
        error.perhaps_done |= perhaps;
        let mut told = refusal(&error);
        told.what = format!("{} could not be asked", self.name());
        if error.kind == Kind::MachineAway {
            told.fix = "check that its daemon runs and is paired: delightctl machines".to_owned();
        }
        told
    }
}

/// What a person calls a machine.
pub(crate) fn name(machine: &Machine) -> String {
    let metadata = machine.metadata.as_ref();
    let shown = metadata.and_then(|it| it.display_name.as_ref().map(ToString::to_string));
    let host = metadata.and_then(|it| it.host.as_ref().map(ToString::to_string));
    shown.or(host).unwrap_or_else(|| machine.id.to_string())
}

/// As long as the shortest prefix of a session's id that is taken.
const SHORTEST_PREFIX: usize = 4;

fn choose<'a>(machines: &'a [Machine], named: &str) -> Result<&'a Machine, Refusal> {
    let host = |machine: &Machine| machine.metadata.as_ref()?.host.as_ref().map(ToString::to_string);
    let fits: [&dyn Fn(&Machine) -> bool; 3] = [
        &|machine| machine.id.as_str() == named,
        &|machine| name(machine) == named || host(machine).is_some_and(|host| host == named),
        &|machine| named.len() >= SHORTEST_PREFIX && machine.id.as_str().starts_with(named),
    ];
    for fits in fits {
        let found: Vec<&Machine> = machines.iter().filter(|machine| fits(machine)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            // Of several with one name, the one that can be asked.
            several => {
                let online: Vec<_> =
                    several.iter().filter(|machine| machine.presence == Presence::Online).collect();
                if let [one] = online.as_slice() {
                    return Ok(one);
                }
                let ids: Vec<_> = several.iter().map(|machine| machine.id.as_str()).collect();
                return Err(Refusal::new(
                    Code::Ambiguous,
                    format!("{named:?} fits {} machines", several.len()),
                    format!("their ids are {}", ids.join(", ")),
                )
                .fix("name one by its id"));
            }
        }
    }
    let mut names: Vec<String> = machines.iter().map(name).collect();
    names.sort();
    let reason = if names.is_empty() {
        "the account has none".to_owned()
    } else {
        format!("the account has {}", names.join(", "))
    };
    Err(Refusal::new(Code::NotFound, format!("there is no machine {named:?}"), reason)
        .fix("delightctl machines lists them; delightctl pair adds one"))
}

fn set(params: &mut Value, field: &str, value: Value) {
    if let Some(object) = params.as_object_mut() {
        object.insert(field.to_owned(), value);
    }
}

/// Gives a call a key of its own unless it has one.
fn fill(params: &mut Value, field: &str) -> Result<(), Refusal> {
    if params.get(field).is_none_or(Value::is_null) {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes)
            .map_err(|e| Refusal::new(Code::Internal, "no random numbers can be had", e.to_string()))?;
        set(params, field, json!(format!("afar-{:032x}", u128::from_be_bytes(bytes))));
    }
    Ok(())
}

fn shorten(params: &mut Value, field: &str) {
    if let Some(wanted) = params.get(field).and_then(Value::as_u64) {
        set(params, field, json!(wanted.min(WAIT_MS)));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]
mod tests {
    use super::*;
    use delight_proto::sync::bounded::Id;
    use delight_proto::sync::state::MachineMetadata;

    fn machine(id: &str, host: &str, presence: Presence) -> Machine {
        let metadata = MachineMetadata { host: Some(Name::cut(host)), ..MachineMetadata::default() };
        Machine {
            id: Id::new(id).unwrap(),
            presence,
            metadata: Some(metadata),
            daemon_state: None,
            unreadable: None,
            active_at: 0,
        }
    }

    #[test]
    fn a_machine_is_found_by_id_name_or_the_beginning_of_its_id() {
        let machines = [
            machine("aaaa1111", "laptop", Presence::Online),
            machine("aaaa2222", "tower", Presence::Offline),
            machine("bbbb3333", "tower", Presence::Online),
        ];
        let id = |named| choose(&machines, named).map(|machine| machine.id.to_string());
        assert_eq!(id("aaaa2222").unwrap(), "aaaa2222");
        assert_eq!(id("laptop").unwrap(), "aaaa1111");
        assert_eq!(id("tower").unwrap(), "bbbb3333", "the one that can be asked");
        assert_eq!(id("bbbb").unwrap(), "bbbb3333");
        let both = [machine("cccc1", "x", Presence::Offline), machine("cccc2", "y", Presence::Offline)];
        assert_eq!(choose(&both, "cccc").unwrap_err().code, Code::Ambiguous);
        assert_eq!(choose(&machines, "bbb").unwrap_err().code, Code::NotFound);
        assert!(choose(&[], "x").unwrap_err().reason.contains("none"));
    }

    #[test]
    fn what_is_repeated_has_a_key_of_its_own() {
        let mut params = json!({ "session": "x", "request_id": "mine" });
        fill(&mut params, "request_id").unwrap();
        assert_eq!(params["request_id"], "mine");
        let (mut one, mut two) = (json!({}), json!({ "request_id": null }));
        fill(&mut one, "request_id").unwrap();
        fill(&mut two, "request_id").unwrap();
        assert_ne!(one["request_id"], two["request_id"]);
        let mut params = json!({ "wait_ms": 25_000 });
        shorten(&mut params, "wait_ms");
        assert_eq!(params["wait_ms"], WAIT_MS);
    }
}
