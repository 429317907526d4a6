//! A sync server, and a machine linked to an account on it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_crypto::{Dialect, MasterSecret};
use delight_sdk::{Account, Phone, Server};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::{Sandbox, binaries, kernel, until_some};

/// The machine's id.
pub const MACHINE: &str = "0c1d2e3f-0000-4000-8000-000000000001";

/// A `delight-relay` of its own. Ended by force when dropped.
pub struct Relay {
    child: Child,
    address: String,
}

impl Relay {
    /// Starts it with its data in the sandbox, and returns once it listens.
    ///
    /// # Panics
    /// When it cannot be started, or does not say where it listens.
    #[must_use]
    pub fn start(sandbox: &Sandbox, listen: &str) -> Self {
        Self::with(sandbox, listen, "")
    }

    /// The same with settings of its own.
    ///
    /// # Panics
    /// When it cannot be started, or does not say where it listens.
    #[must_use]
    pub fn with(sandbox: &Sandbox, listen: &str, settings: &str) -> Self {
        Self::logging(sandbox, listen, settings, "warn")
    }

    /// The same, and it logs what this filter lets through, to [`Self::log`].
    ///
    /// # Panics
    /// When it cannot be started, or does not say where it listens.
    #[must_use]
    pub fn logging(sandbox: &Sandbox, listen: &str, settings: &str, filter: &str) -> Self {
        let config = sandbox.path().join("relay.toml");
        fs::write(&config, settings).unwrap();
        let mut child = Command::new(binaries::program("delight-relay"))
            .args(["--listen", listen, "--log", filter, "--data-dir"])
            .arg(sandbox.path().join("relay"))
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(sandbox.path().join("relay.log")).unwrap())
            .spawn()
            .expect("the relay can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Self { child, address }
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the newest relay of a sandbox has said so far.
    #[must_use]
    pub fn log(sandbox: &Sandbox) -> String {
        fs::read_to_string(sandbox.path().join("relay.log")).unwrap()
    }

    /// `SIGTERM`; gives its status and the address, for the next one.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        kernel::signal(self.pid(), Signal::SIGTERM);
        let status = until_some("the relay ends", || self.child.try_wait().unwrap());
        (status, self.address.clone())
    }

    /// `kill -9`; gives the address, for the next one.
    pub fn kill9(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address.clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Random bytes.
#[must_use]
pub fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    bytes
}

/// An account and a machine of it.
pub struct Link {
    /// The account's master secret.
    pub master: [u8; 32],
    /// The machine's own key.
    pub machine_key: [u8; 32],
    url: String,
}

impl Link {
    /// A new account, of which nobody knows yet.
    #[must_use]
    pub fn of_new_account(url: &str) -> Self {
        Self { master: secret(), machine_key: secret(), url: url.to_owned() }
    }

    /// Links the sandbox's machine to a new account, as a pairing would.
    ///
    /// # Panics
    /// When the machine is linked already.
    #[must_use]
    pub fn make(sandbox: &Sandbox, url: &str) -> Self {
        let link = Self::of_new_account(url);
        let account = sandbox.place().account();
        fs::create_dir(&account).unwrap();
        fs::set_permissions(&account, fs::Permissions::from_mode(0o700)).unwrap();
        let key = json!({
            "version": 1,
            "server": url,
            "dialect": "happy",
            "machine": MACHINE,
            "machineKey": BASE64.encode(link.machine_key),
            "account": { "holds": "secret", "secret": BASE64.encode(link.master) },
        });
        let path = account.join("key.json");
        fs::write(&path, key.to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        link
    }

    /// The account's phone.
    ///
    /// # Panics
    /// When there are no threads for it.
    #[must_use]
    pub fn phone(&self) -> Phone {
        self.phone_at(&self.url)
    }

    /// The account's phone, which goes to the server by another way than the machine.
    ///
    /// # Panics
    /// When there are no threads for it.
    #[must_use]
    pub fn phone_at(&self, url: &str) -> Phone {
        let account = Account::new(MasterSecret::from_bytes(self.master), Dialect::Happy);
        Phone::connect(Server::new(url).unwrap(), account).unwrap()
    }
}
