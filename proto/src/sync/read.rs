//! Reading with a bound and a refusal whose text repeats nothing of what was read.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::refusal::{Code, Refusal};

/// Reads JSON text of at most `most` bytes.
///
/// # Errors
/// [`Code::TooLarge`], [`Code::BadRequest`] when it is no JSON, [`Code::BadParams`] when it is of another shape.
pub fn bytes<T: DeserializeOwned>(what: &str, json: &[u8], most: usize) -> Result<T, Refusal> {
    if json.len() > most {
        let reason = format!("{} bytes, more than the {most} allowed", json.len());
        return Err(Refusal::new(Code::TooLarge, what, reason));
    }
    serde_json::from_slice(json).map_err(|error| refuse(what, &error))
}

/// Reads a JSON value.
///
/// # Errors
/// [`Code::BadParams`] when it is of another shape.
pub fn value<T: DeserializeOwned>(what: &str, json: &Value) -> Result<T, Refusal> {
    T::deserialize(json).map_err(|error| refuse(what, &error))
}

/// The refusal of a reading error, without the values that serde quotes: what could not be read may be a secret.
#[must_use]
pub fn refuse(what: &str, error: &serde_json::Error) -> Refusal {
    let code = if error.is_data() { Code::BadParams } else { Code::BadRequest };
    Refusal::new(code, what, without_quotes(&error.to_string()))
}

/// Serde's text with everything it quotes from the input left out. Names of missing fields are ours and stay.
fn without_quotes(text: &str) -> String {
    if text.starts_with("missing field") || text.starts_with("duplicate field") {
        return text.to_owned();
    }
    let Some(at) = text.find(['"', '`']) else { return text.to_owned() };
    let expected = text.rfind(", expected ").filter(|end| *end > at).map_or("", |end| &text[end..]);
    // "expected one of `a`, `b`" lists our own names, but `rfind` might also meet the input's: keep it only unquoted.
    let expected = if expected.contains(['"', '`']) { "" } else { expected };
    format!("{}(not shown){expected}", &text[..at])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn a_refusal_repeats_nothing_of_what_was_read() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code)] // read by serde only
        struct Shape {
            number: u64,
            #[serde(default)]
            kind: Kind,
        }
        #[derive(Debug, Deserialize, Default)]
        enum Kind {
            #[default]
            One,
        }
        for (json, reason) in [
            (r#"{"number":"canary"}"#, "invalid type: string (not shown), expected u64"),
            (r#"{"number":"a\", expected canary"}"#, "invalid type: string (not shown), expected u64"),
            (r#"{"number":1,"kind":"canary"}"#, "unknown variant (not shown)"),
            (r#"{}"#, "missing field `number`"),
        ] {
            let refusal = value::<Shape>("a shape", &serde_json::from_str(json).unwrap()).unwrap_err();
            assert!(!refusal.to_string().contains("canary"), "{refusal}");
            assert!(refusal.reason.starts_with(reason), "{refusal}");
        }
        assert_eq!(bytes::<Shape>("a shape", b"{", 10).unwrap_err().code, Code::BadRequest);
        assert_eq!(bytes::<Shape>("a shape", b"           ", 10).unwrap_err().code, Code::TooLarge);
    }
}
