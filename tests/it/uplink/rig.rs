//! A relay, and a machine linked to an account on it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_crypto::{Dialect, MasterSecret};
use delight_proto::api::method::{DaemonStatus, Empty, UplinkState};
use delight_sdk::{Account, Phone, Server};
use delight_tests::{Sandbox, binaries, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

/// The machine's id in these tests.
pub(crate) const MACHINE: &str = "0c1d2e3f-0000-4000-8000-000000000001";

/// A relay of this test.
pub(crate) struct Relay {
    child: Child,
    address: String,
}

impl Relay {
    pub(crate) fn start(sandbox: &Sandbox, listen: &str) -> Self {
        Self::with(sandbox, listen, "")
    }

    /// The same with settings of its own.
    pub(crate) fn with(sandbox: &Sandbox, listen: &str, settings: &str) -> Self {
        let config = sandbox.path().join("relay.toml");
        fs::write(&config, settings).unwrap();
        let mut child = Command::new(binaries::program("delight-relay"))
            .args(["--listen", listen, "--log", "warn", "--data-dir"])
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

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `kill -9`; gives the address, for the next one.
    pub(crate) fn kill9(mut self) -> String {
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
pub(crate) fn secret() -> [u8; 32] {
    let mut bytes = [0; 32];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    bytes
}

/// Waits until the daemon says that the server knows the machine as online.
#[track_caller]
pub(super) fn is_online(sandbox: &Sandbox) {
    let mut client = sandbox.client();
    until("the machine is online", || {
        let status = client.call::<DaemonStatus>(&Empty {}).unwrap();
        status.uplink.is_some_and(|uplink| uplink.state == UplinkState::Online)
    });
}

/// An account and a machine of it.
pub(crate) struct Link {
    pub(crate) master: [u8; 32],
    pub(crate) machine_key: [u8; 32],
    url: String,
}

impl Link {
    /// Links the sandbox's machine to a new account, as a pairing would.
    pub(crate) fn make(sandbox: &Sandbox, url: &str) -> Self {
        let link = Self { master: secret(), machine_key: secret(), url: url.to_owned() };
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
    pub(crate) fn phone(&self) -> Phone {
        let account = Account::new(MasterSecret::from_bytes(self.master), Dialect::Happy);
        Phone::connect(Server::new(&self.url).unwrap(), account).unwrap()
    }
}
