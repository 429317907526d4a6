//! Arguments of events and acknowledgements: opaque JSON, bounded by the packet they travel in.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Arguments that cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("an argument cannot be written as JSON: {0}")]
pub struct BadArgs(#[from] serde_json::Error);

/// Arguments to send: JSON texts, written once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// Joined by commas.
    json: String,
}

impl Args {
    /// No argument.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One argument.
    ///
    /// # Errors
    /// [`BadArgs`] when it does not become JSON.
    pub fn one<T: Serialize + ?Sized>(value: &T) -> Result<Self, BadArgs> {
        Self::none().and(value)
    }

    /// The same with one more argument.
    ///
    /// # Errors
    /// [`BadArgs`] when it does not become JSON.
    pub fn and<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, BadArgs> {
        let json = serde_json::to_string(value)?;
        if self.json.is_empty() {
            self.json = json;
        } else {
            self.json.push(',');
            self.json.push_str(&json);
        }
        Ok(self)
    }

    pub(crate) fn json(&self) -> &str {
        &self.json
    }
}

impl std::fmt::Debug for Args {
    /// Without the contents: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Args({} bytes)", self.json.len())
    }
}

/// Arguments received.
#[derive(Clone, Default)]
pub struct Payload {
    /// Each argument as JSON text.
    pub args: Vec<Box<RawValue>>,
    /// The binary attachments; `{"_placeholder":true,"num":n}` stands for number *n* in the JSON.
    pub attachments: Vec<Bytes>,
}

impl Payload {
    /// Reads the first argument; no argument reads as `null`.
    ///
    /// # Errors
    /// It is not of that shape.
    pub fn first<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.args.first().map_or("null", |value| value.get()))
    }

    /// The bytes of all arguments and attachments.
    #[must_use]
    pub fn size(&self) -> usize {
        let json: usize = self.args.iter().map(|value| value.get().len()).sum();
        json + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl std::fmt::Debug for Payload {
    /// Without the contents: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} arguments, {} bytes)", self.args.len(), self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_joined_and_never_printed() {
        let args = Args::one(&serde_json::json!({"token": "canary"})).unwrap().and(&1).unwrap();
        assert_eq!(args.json(), r#"{"token":"canary"},1"#);
        assert!(!format!("{args:?}").contains("canary"));
        let payload = Payload {
            args: vec![RawValue::from_string("\"canary\"".into()).unwrap()],
            attachments: vec![Bytes::from_static(b"canary")],
        };
        assert!(!format!("{payload:?}").contains("canary"));
        assert_eq!(payload.first::<String>().unwrap(), "canary");
        assert_eq!(payload.size(), 14);
        assert_eq!(Payload::default().first::<Option<u8>>().unwrap(), None);
    }
}
