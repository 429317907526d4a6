//! Coming to belong to an account, and leaving it: what the control socket can ask.

use std::sync::{Arc, OnceLock};

use delight_crypto::{ContentSecret, MasterSecret, wrapped};
use delight_proto::api::method::{
    AccountExportResult, AccountResult, Device, PairBeginResult, PairWaitResult, UnpairResult,
};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::Hidden;
use delight_proto::sync::http::{Call, DeleteMachine, ListMachines};
use delight_proto::sync::row::MachineRow;
use delight_proto::sync::state::MachineMetadata;
use delight_transport::http::{Client, HttpError};
use tokio::task::spawn_blocking;

use super::pairing::{self, Pairings};
use super::server::{call, connect, login, refusal};
use super::settings::ServerSettings;
use super::{Account, Keys, Linked, fresh, hex};

/// What may be asked about the account. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Linking(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Keys,
    settings: ServerSettings,
    /// The URL of the relay inside the daemon, once it runs.
    relay: OnceLock<String>,
    pairings: Pairings,
}

impl Linking {
    /// For these keys.
    pub(crate) fn new(keys: Keys, settings: ServerSettings) -> Self {
        Self(Arc::new(Inner { keys, settings, relay: OnceLock::new(), pairings: Pairings::default() }))
    }

    /// Where the relay inside the daemon answers: what new links use when neither caller nor configuration names a server.
    pub(crate) fn relay_runs(&self, url: String) {
        // It is started once.
        let _ = self.0.relay.set(url);
    }

    /// The keys.
    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    fn server(&self, named: Option<String>) -> Result<String, Refusal> {
        let url = named.or_else(|| self.0.settings.url.clone()).or_else(|| self.0.relay.get().cloned());
        url.ok_or_else(|| {
            Refusal::new(Code::BadParams, "no server is known", "none was named, none is configured, and no relay runs here")
                .fix("name one (--server URL), set server.url in the configuration, or try it with delightctl up --relay")
        })
    }

    async fn client(&self, url: &str) -> Result<Client, Refusal> {
        connect(url, self.0.settings.ca_file.clone()).await
    }

    /// Makes an account on a server and links this machine to it.
    ///
    /// # Errors
    /// `conflict` when the machine is linked already; what the server says.
    pub(crate) async fn create(&self, server: Option<String>) -> Result<AccountResult, Refusal> {
        self.join(server, MasterSecret::generate(fresh()?), "the account was not made").await
    }

    /// Links this machine to the account of a backup.
    ///
    /// # Errors
    /// As [`Self::create`]; `bad-params` for what is no backup, without repeating it.
    pub(crate) async fn import(
        &self,
        backup: &Hidden<String>,
        server: Option<String>,
    ) -> Result<AccountResult, Refusal> {
        let secret = MasterSecret::from_base64(backup.expose()).map_err(|e| {
            Refusal::new(Code::BadParams, "the backup cannot be used", e.to_string())
                .fix("give the 44 characters that `delightctl account export` showed")
        })?;
        self.join(server, secret, "the account was not imported").await
    }

    async fn join(
        &self,
        server: Option<String>,
        secret: MasterSecret,
        what: &str,
    ) -> Result<AccountResult, Refusal> {
        self.0.keys.check_free()?;
        let server = self.server(server)?;
        let client = self.client(&server).await?;
        let dialect = self.0.settings.dialect.into();
        // Before anything is kept: keys that the server refuses are worth nothing.
        let signing = delight_crypto::SigningKey::derive(&secret, dialect);
        login(&client, &signing).await.map_err(|error| refusal(what, &error))?;
        let server = client.server().endpoint().to_string();
        Ok(account_of(&*pairing::link(&self.0.keys, server, dialect, Account::Secret(secret)).await?))
    }

    fn linked(&self) -> Result<Arc<Linked>, Refusal> {
        if let Some(fault) = self.0.keys.fault() {
            return Err(fault);
        }
        self.0.keys.current().ok_or_else(|| {
            Refusal::new(Code::NotFound, "this machine belongs to no account", "it was not paired")
                .fix("delightctl pair, or delightctl account create")
        })
    }

    /// The account.
    ///
    /// # Errors
    /// `not-found` when there is none.
    pub(crate) fn show(&self) -> Result<AccountResult, Refusal> {
        Ok(account_of(&*self.linked()?))
    }

    /// The account's secret.
    ///
    /// # Errors
    /// `wrong-state` when this machine does not hold it.
    pub(crate) fn export(&self) -> Result<AccountExportResult, Refusal> {
        match &self.linked()?.account {
            Account::Secret(secret) => {
                Ok(AccountExportResult { backup: Hidden::new(secret.expose_base64().to_string()) })
            }
            Account::Paired { .. } => Err(Refusal::new(
                Code::WrongState,
                "there is no secret to export",
                "the phone gave this machine the account's public key only",
            )
            .fix("make the backup on the phone")),
        }
    }

    /// Begins pairing.
    ///
    /// # Errors
    /// `conflict` when the machine is linked already; what the server says.
    pub(crate) async fn begin(&self, server: Option<String>) -> Result<PairBeginResult, Refusal> {
        self.0.keys.check_free()?;
        let client = self.client(&self.server(server)?).await?;
        let server = client.server().endpoint().to_string();
        self.0.pairings.begin(&self.0.keys, client, server, self.0.settings.dialect.into()).await
    }

    /// Waits for the end of a pairing. Cancel safe.
    ///
    /// # Errors
    /// Why it failed.
    pub(crate) async fn wait(&self, pairing: &str) -> Result<PairWaitResult, Refusal> {
        self.0.pairings.wait(pairing).await
    }

    /// Gives up the pairing under way, if there is one.
    pub(crate) fn cancel(&self) {
        self.0.pairings.cancel();
    }

    /// The account's machines, as far as the server knows them.
    ///
    /// # Errors
    /// What the server says.
    pub(crate) async fn devices(&self) -> Result<Vec<Device>, Refusal> {
        let linked = self.linked()?;
        let what = "the account's machines are not known";
        let rows =
            self.ask(&linked, &ListMachines {}).await.map_err(|error| error.refusal(what))?.0.into_vec();
        Ok(rows.iter().map(|row| device(&linked, row)).collect())
    }

    /// Leaves the account: the server is told, if it can be reached, and the keys are deleted either way.
    ///
    /// # Errors
    /// `not-found` when the machine belongs to no account; `storage` when the keys cannot be deleted.
    pub(crate) async fn unpair(&self) -> Result<UnpairResult, Refusal> {
        let linked = self.linked()?;
        let told = match self.ask(&linked, &DeleteMachine { id: linked.machine.clone() }).await {
            // It does not know the machine (any more): what was wanted.
            Ok(_) | Err(Failed::Http(HttpError::Status { status: 404, .. })) => Ok(()),
            Err(error) => Err(error.refusal("the server still lists this machine").to_string()),
        };
        let keys = self.0.keys.clone();
        spawn_blocking(move || keys.unlink()).await.unwrap_or_else(|e| {
            Err(Refusal::new(Code::Internal, "the keys cannot be deleted", e.to_string()))
        })?;
        Ok(UnpairResult { told: told.is_ok(), reason: told.err().unwrap_or_default() })
    }

    /// A call with the account's token.
    async fn ask<C: Call + Sync>(&self, linked: &Linked, asked: &C) -> Result<C::Answer, Failed> {
        let client = self.client(&linked.server).await.map_err(Failed::Refused)?;
        let token = match (&linked.account, linked.signing()) {
            (_, Some(signing)) => login(&client, &signing).await.map_err(Failed::Http)?,
            (Account::Paired { token, .. }, None) => token.clone(),
            (Account::Secret(_), None) => return Err(Failed::Refused(unlinked())),
        };
        client.set_token(Some(token));
        call(&client, asked).await.map_err(Failed::Http)
    }
}

/// Why a call was not made.
enum Failed {
    Refused(Refusal),
    Http(HttpError),
}

impl Failed {
    fn refusal(self, what: &str) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Http(error) => refusal(what, &error),
        }
    }
}

fn unlinked() -> Refusal {
    Refusal::new(Code::Internal, "the server was not asked", "this machine has nothing to log in with")
}

/// A link as its owner may see it.
pub(super) fn account_of(linked: &Linked) -> AccountResult {
    AccountResult {
        server: linked.server.clone(),
        account: hex(linked.content().as_bytes()),
        machine: linked.machine.to_string(),
        has_secret: matches!(linked.account, Account::Secret(_)),
    }
}

fn device(linked: &Linked, row: &MachineRow) -> Device {
    let metadata = metadata(linked, row);
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let name = metadata.and_then(|metadata| {
        text(metadata.display_name.as_deref()).or_else(|| text(metadata.host.as_deref()))
    });
    Device {
        id: row.id.to_string(),
        name,
        this: row.id == linked.machine,
        online: row.active,
        seen_ms: (row.active_at > 0).then_some(row.active_at),
    }
}

/// A machine's metadata, when this machine may read it: its own, and with the account's secret all others'.
fn metadata(linked: &Linked, row: &MachineRow) -> Option<MachineMetadata> {
    let sealing = match &linked.account {
        _ if row.id == linked.machine => linked.machine_sealing(),
        Account::Paired { .. } => return None,
        Account::Secret(secret) => match &row.data_encryption_key {
            Some(key) => {
                let content = ContentSecret::derive(secret, linked.dialect);
                delight_crypto::SealingKey::data(&wrapped::unwrap(key, &content).ok()?)
            }
            None => linked.machine_sealing(),
        },
    };
    let opened = sealing.open_base64(row.metadata.as_str()).ok()?;
    serde_json::from_slice(opened.json()).ok()
}
