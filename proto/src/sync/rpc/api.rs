//! The control API through the server: one request and its answer. Ours: Happy has nothing like it.
//!
//! The methods are those of [`crate::api::method`], carried out by the same code as on the control socket, but for the ones
//! that make no sense from afar or are the owner's at the machine itself ([`from_afar`]).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::method::{
    AccountCreate, AccountExport, AccountImport, AccountShow, DaemonStop, Hello, Method, PairBegin,
    PairCancel, PairWait, PolicyAdd, PolicyRemove, PolicySet, SessionBypass, SessionTerminal, Subscribe,
    Unpair,
};
use crate::refusal::Refusal;
use crate::sync::bounded::Name;

/// Methods that are never carried out from afar: those of a connection, and those by which a phone could give itself more
/// than its owner did at the machine.
const NEVER: &[&str] = &[
    Hello::NAME,
    Subscribe::NAME,
    DaemonStop::NAME,
    AccountCreate::NAME,
    AccountShow::NAME,
    AccountExport::NAME,
    AccountImport::NAME,
    PairBegin::NAME,
    PairWait::NAME,
    PairCancel::NAME,
    Unpair::NAME,
    PolicyAdd::NAME,
    PolicyRemove::NAME,
    PolicySet::NAME,
    SessionBypass::NAME,
    SessionTerminal::NAME,
];

/// Whether a method of the control API may be asked for from afar.
#[must_use]
pub fn from_afar(method: &str) -> bool {
    !NEVER.contains(&method)
}

/// See [`super::MachineRequest::Api`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiRequest {
    /// The method.
    pub method: Name,
    /// Its parameters; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// Only if the daemon is still the one that began then, in Unix milliseconds ([`ApiAnswer::daemon`]): what it remembers
    /// of earlier calls ends with it, so that only then a repeated call can be known again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<u64>,
}

/// The answer to an [`ApiRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiAnswer {
    /// When the daemon that answers began, Unix milliseconds.
    pub daemon: u64,
    /// What it says.
    #[serde(flatten)]
    pub outcome: ApiOutcome,
}

/// What became of an [`ApiRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiOutcome {
    /// The method's result.
    Result(Value),
    /// It was refused.
    Refused(Refusal),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::method::{NAMES, SessionSend};
    use crate::refusal::Code;

    #[test]
    fn what_is_never_done_from_afar_exists() {
        for method in NEVER {
            assert!(NAMES.contains(method), "{method}");
        }
        assert!(from_afar(SessionSend::NAME));
        let owners = |name: &str| name.starts_with("account.") || name.starts_with("pair.");
        for name in NAMES.iter().filter(|name| owners(name)) {
            assert!(!from_afar(name), "{name} may be asked from afar");
        }
    }

    #[test]
    fn answers_read_back_as_written() {
        let refusal = Refusal::new(Code::NotFound, "a", "b");
        for outcome in [ApiOutcome::Result(Value::Null), ApiOutcome::Refused(refusal)] {
            let answer = ApiAnswer { daemon: 7, outcome };
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<ApiAnswer>(&text).unwrap(), answer, "{text}");
        }
    }
}
