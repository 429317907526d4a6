//! The account: asked of the local daemon, which keeps it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use delight_proto::api::envelope::{Request, Response, Version};
use delight_proto::api::method::{AccountExport, AccountShow, Empty, Hello, HelloParams, Method};
use delight_proto::api::{MAX_LINE, PROTOCOL};
use delight_proto::refusal::{Code, Refusal};
use delight_sdk::{Account, Dialect, Phone, Server};

/// The local daemon answers these from memory.
const WITHIN: Duration = Duration::from_secs(10);

/// The phone of this machine's account.
///
/// # Errors
/// No daemon runs here, this machine has no account or only a share in one, or the account's server is no URL.
pub(crate) fn phone(daemon: &Path) -> Result<Phone, Refusal> {
    let mut local = Local::connect(daemon)?;
    let shown = local.call::<AccountShow>(&Empty {})?;
    if !shown.has_secret {
        return Err(Refusal::new(
            Code::Forbidden,
            "other machines cannot be asked",
            "this machine was paired without the account's secret",
        )
        .fix("bring the account here: delightctl account export there, delightctl account import here"));
    }
    let exported = local.call::<AccountExport>(&Empty {})?;
    let account = Account::import(exported.backup.expose(), Dialect::Happy).map_err(|e| e.to_refusal())?;
    let server = Server::new(&shown.server).map_err(|e| e.to_refusal())?;
    Phone::connect(server, account).map_err(|e| e.to_refusal())
}

struct Local {
    stream: BufReader<UnixStream>,
    next: u64,
}

impl Local {
    fn connect(socket: &Path) -> Result<Self, Refusal> {
        let stream = UnixStream::connect(socket).map_err(|e| {
            Refusal::new(
                Code::DaemonUnreachable,
                "other machines cannot be asked",
                format!("the daemon of this one keeps the account, and {} says: {e}", socket.display()),
            )
            .fix("delightctl up")
        })?;
        stream.set_read_timeout(Some(WITHIN)).map_err(|e| broken(&e))?;
        let mut local = Self { stream: BufReader::new(stream), next: 0 };
        let client = concat!("delight-remote ", env!("CARGO_PKG_VERSION")).to_owned();
        local.call::<Hello>(&HelloParams { client, protocol: PROTOCOL })?;
        Ok(local)
    }

    fn call<M: Method>(&mut self, params: &M::Params) -> Result<M::Result, Refusal> {
        let garbled = |reason: String| {
            Refusal::new(Code::VersionSkew, "the local daemon cannot be understood", reason)
                .fix("use programs of one release")
        };
        let params = Some(serde_json::value::to_raw_value(params).map_err(|e| garbled(e.to_string()))?);
        let request = Request { jsonrpc: Version, id: self.next, method: M::NAME.to_owned(), params };
        self.next += 1;
        let mut line = serde_json::to_vec(&request).map_err(|e| garbled(e.to_string()))?;
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(|e| broken(&e))?;
        line.clear();
        let most = MAX_LINE as u64 + 1;
        (&mut self.stream).take(most).read_until(b'\n', &mut line).map_err(|e| broken(&e))?;
        let answer: Response = serde_json::from_slice(&line).map_err(|e| garbled(e.to_string()))?;
        match (answer.result, answer.error) {
            (Some(result), None) => serde_json::from_str(result.get()).map_err(|e| garbled(e.to_string())),
            (_, Some(error)) => Err(error.data),
            (None, None) => Err(garbled("an answer without a result".to_owned())),
        }
    }
}

fn broken(error: &std::io::Error) -> Refusal {
    Refusal::new(Code::DaemonUnreachable, "the local daemon does not answer", error.to_string())
}
