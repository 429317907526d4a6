//! The way to the server: logging in, registering the machine, opening connections.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use delight_core::uplink::{Fault, MachineRow};
use delight_proto::refusal::Refusal;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::{Name, Text};
use delight_proto::sync::http::{Call, CreateMachine};
use delight_proto::sync::socket::{ConnectAuth, Scope};
use delight_transport::http::{Client, HttpError};
use delight_transport::reconnect::Retry;
use delight_transport::secret::{Auth, Token};
use delight_transport::socketio::{self, Closed, ConnectError, Events, Handle, Options};
use tokio::sync::OnceCell;

use super::rival;
use super::vault::Vault;
use crate::keys::{self, Account};

/// Something did not work: for the next try, and for people.
#[derive(Debug)]
pub(super) struct Failed {
    /// For the next try.
    pub(super) fault: Fault,
    /// In words.
    pub(super) reason: String,
}

impl From<HttpError> for Failed {
    fn from(error: HttpError) -> Self {
        let fault = match &error {
            HttpError::Status { status: 404 | 410, .. } => Fault::Unknown,
            error => fault(error.retry()),
        };
        Self { fault, reason: error.to_string() }
    }
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        Self { fault: fault(error.retry()), reason: error.to_string() }
    }
}

impl From<Closed> for Failed {
    fn from(closed: Closed) -> Self {
        Self { fault: fault(closed.retry()), reason: closed.to_string() }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self { fault: Fault::Later, reason: refusal.to_string() }
    }
}

fn fault(retry: Retry) -> Fault {
    match retry {
        Retry::Later => Fault::Later,
        Retry::After(wait) => Fault::After(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        Retry::Login => Fault::Login,
        Retry::Never => Fault::Never,
    }
}

/// The server of a link.
#[derive(Debug)]
pub(super) struct Server {
    ca_file: Option<PathBuf>,
    /// Made when it is first needed: with TLS that reads the system's certificates.
    way: OnceCell<Client>,
    /// Of the connection there is, with HTTP connections as young as that: on older ones a request may hang.
    client: Mutex<Option<Client>>,
    token: Mutex<Option<Token>>,
}

impl Server {
    pub(super) fn new(ca_file: Option<PathBuf>) -> Self {
        Self { ca_file, way: OnceCell::new(), client: Mutex::new(None), token: Mutex::new(None) }
    }

    /// Connects the machine: a token, the machine's row, the machine's own connection. A try that hangs keeps nobody waiting.
    pub(super) async fn connect(
        &self,
        vault: &Vault,
        login: bool,
        metadata: &Object,
        daemon_state: &Object,
    ) -> Result<(Handle, Events, MachineRow), Failed> {
        rival::first_end(|| self.try_connect(vault, login, metadata, daemon_state)).await
    }

    async fn try_connect(
        &self,
        vault: &Vault,
        login: bool,
        metadata: &Object,
        daemon_state: &Object,
    ) -> Result<(Handle, Events, MachineRow), Failed> {
        let way = self.way.get_or_try_init(|| keys::connect(&vault.linked.server, self.ca_file.clone()));
        let client = way.await?.anew().map_err(|e| never(e.to_string()))?;
        let token = self.token(&client, vault, login).await?;
        let call = CreateMachine {
            id: vault.linked.machine.clone(),
            metadata: vault.machine.seal_state(metadata)?,
            daemon_state: Some(vault.machine.seal_state(daemon_state)?),
            data_encryption_key: vault.linked.wrapped_machine_key()?,
        };
        let row = keys::call(&client, &call).await?.machine;
        let row = MachineRow {
            metadata: vault.machine.open_state(&row.metadata),
            metadata_version: row.metadata_version,
            daemon_state: row.daemon_state.and_then(|sealed| vault.machine.open_state(&sealed)),
            daemon_state_version: row.daemon_state_version,
        };
        let scope = Scope::Machine(vault.linked.machine.clone());
        let (handle, events) = open(&client, &token, scope).await?;
        *lock(&self.client) = Some(client);
        Ok((handle, events, row))
    }

    /// Opens a connection of its own for a session.
    pub(super) async fn listen(&self, session: Scope) -> Result<(Handle, Events), Failed> {
        let (client, token) = (self.client()?, lock(&self.token).clone());
        let token = token.ok_or_else(not_connected)?;
        open(&client, &token, session).await
    }

    /// Makes one call.
    pub(super) async fn call<C: Call + Sync>(&self, call: &C) -> Result<C::Answer, Failed> {
        Ok(keys::call(&self.client()?, call).await?)
    }

    fn client(&self) -> Result<Client, Failed> {
        lock(&self.client).clone().ok_or_else(not_connected)
    }

    /// A token: the one there is, unless it was refused.
    async fn token(&self, client: &Client, vault: &Vault, login: bool) -> Result<Token, Failed> {
        let linked = &vault.linked;
        let held = lock(&self.token).clone().filter(|_| !login);
        let token = match (held, linked.signing(), &linked.account) {
            (Some(token), ..) => token,
            (None, Some(key), _) => {
                client.set_token(None);
                keys::login(client, &key).await?
            }
            (None, None, Account::Paired { token, .. }) if !login => token.clone(),
            (None, None, _) => {
                let reason = "the server refuses the token of the pairing; pair again: delightctl unpair, delightctl pair";
                return Err(Failed { fault: Fault::Login, reason: reason.to_owned() });
            }
        };
        client.set_token(Some(token.clone()));
        *lock(&self.token) = Some(token.clone());
        Ok(token)
    }
}

fn not_connected() -> Failed {
    Failed { fault: Fault::Later, reason: "not connected yet".to_owned() }
}

fn never(reason: String) -> Failed {
    Failed { fault: Fault::Never, reason }
}

async fn open(client: &Client, token: &Token, scope: Scope) -> Result<(Handle, Events), Failed> {
    let bearer = Text::new(token.expose()).map_err(|e| never(e.to_string()))?;
    let name = Name::cut(concat!("delightd/", env!("CARGO_PKG_VERSION")));
    let auth = ConnectAuth::new(delight_proto::sync::bounded::Token::new(bearer), scope, name);
    let auth = Auth::new(&auth).map_err(|e| never(e.to_string()))?;
    Ok(socketio::connect(Options::new(client.server().clone(), auth)).await?)
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that can panic is done while it is held.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
