//! Reading requests: every way in which one can be wrong has its own words.

use delight_proto::api::MAX_LINE;
use delight_proto::api::envelope::{Request, RequestNumber, Response, Version};
use delight_proto::api::method::Method;
use delight_proto::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Reads a line as a request. The error carries the request's number if that at least can be read.
pub(super) fn parse(line: &[u8]) -> Result<Request, (Option<RequestNumber>, Refusal)> {
    #[derive(Deserialize)]
    struct Numbered {
        id: RequestNumber,
    }
    serde_json::from_slice(line).map_err(|e| {
        let id = serde_json::from_slice::<Numbered>(line).ok().map(|numbered| numbered.id);
        let refusal = Refusal::new(Code::BadRequest, "the line is not a JSON-RPC 2.0 request", e.to_string())
            .fix(r#"send {"jsonrpc":"2.0","id":1,"method":"...","params":{}} on one line"#);
        (id, refusal)
    })
}

/// Reads a request's parameters; the error names the field.
pub(super) fn params<M: Method>(request: &Request) -> Result<M::Params, Refusal> {
    let text = request.params.as_ref().map_or("{}", |params| params.get());
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let field = e.path().to_string();
        let reason = if field == "." { e.inner().to_string() } else { format!("{field}: {}", e.inner()) };
        Refusal::new(Code::BadParams, format!("the parameters of {} cannot be read", M::NAME), reason)
            .fix("see proto/api.schema.json for what the method takes")
    })
}

/// A result as it goes out.
pub(super) fn raw<T: Serialize>(result: &T) -> Result<Box<RawValue>, Refusal> {
    serde_json::value::to_raw_value(result)
        .map_err(|e| Refusal::new(Code::Internal, "the answer could not be written", e.to_string()))
}

/// An answer with a result; one too large for a line is a refusal instead.
pub(super) fn response(id: RequestNumber, result: Box<RawValue>) -> Response {
    // The envelope around a result takes less than this.
    const ENVELOPE: usize = 64;
    let bytes = result.get().len();
    if bytes + ENVELOPE > MAX_LINE {
        let refusal = Refusal::new(
            Code::TooLarge,
            "the answer does not fit a line",
            format!("it has {bytes} bytes; at most {MAX_LINE} are allowed"),
        )
        .fix("ask for less at once");
        return Response::refused(Some(id), refusal);
    }
    Response { jsonrpc: Version, id: Some(id), result: Some(result), error: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::api::method::{DaemonStatus, SessionSpawn};

    #[test]
    fn a_bad_request_keeps_its_number_if_it_has_one() {
        assert_eq!(parse(b"nonsense").unwrap_err().0, None);
        assert_eq!(parse(br#"{"id":7,"method":5}"#).unwrap_err().0, Some(7));
        assert_eq!(parse(br#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#).unwrap_err().0, None);
        assert!(parse(br#"{"jsonrpc":"1.0","id":1,"method":"a"}"#).is_err());
        assert!(parse(br#"{"jsonrpc":"2.0","id":1,"method":"a"}"#).is_ok());
    }

    #[test]
    fn bad_parameters_name_the_field() {
        let request = parse(br#"{"jsonrpc":"2.0","id":1,"method":"session.spawn","params":{"cwd":"/","size":{"cols":"x","rows":1}}}"#).unwrap();
        assert!(params::<SessionSpawn>(&request).unwrap_err().reason.starts_with("size.cols: "));
        let request = parse(br#"{"jsonrpc":"2.0","id":1,"method":"session.spawn"}"#).unwrap();
        assert!(params::<SessionSpawn>(&request).unwrap_err().reason.contains("cwd"));
    }

    #[test]
    fn no_parameters_are_empty_ones() {
        let request = parse(br#"{"jsonrpc":"2.0","id":1,"method":"daemon.status"}"#).unwrap();
        assert!(params::<DaemonStatus>(&request).is_ok());
    }
}
