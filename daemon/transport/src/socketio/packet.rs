//! Socket.IO 5 packets as they stand in Engine.IO messages. Pure: text in, packets out, and back.
//!
//! `<type>[<attachments>-][<namespace>,][<id>][<JSON>]`

use serde_json::value::RawValue;

use super::engine::Malformed;
use super::payload::Args;

/// The protocols we speak attach nothing; a few are read, so that a server's event never breaks a connection.
pub const MAX_ATTACHMENTS: usize = 16;

/// A packet of the server's in namespace `/`.
#[derive(Debug, Clone)]
pub enum Packet {
    /// The namespace is open; the server's JSON, if any.
    Connect(Option<Box<RawValue>>),
    /// The server threw us out of the namespace.
    Disconnect,
    /// An event.
    Event {
        /// The number the server wants acknowledged.
        id: Option<u64>,
        /// Its name.
        name: String,
        /// Its arguments.
        args: Vec<Box<RawValue>>,
        /// How many binary messages follow.
        attachments: usize,
    },
    /// An acknowledgement of an event of ours.
    Ack {
        /// The number of the event.
        id: u64,
        /// Its arguments.
        args: Vec<Box<RawValue>>,
        /// How many binary messages follow.
        attachments: usize,
    },
    /// The server does not open the namespace; its JSON.
    ConnectError(Option<Box<RawValue>>),
    /// A packet of another namespace: none of ours.
    Elsewhere,
}

/// Reads the payload of one Engine.IO message.
///
/// # Errors
/// [`Malformed`] when it is no packet of the protocol.
pub fn decode(text: &str) -> Result<Packet, Malformed> {
    let mut rest = Cursor(text);
    let kind = rest.character().ok_or(Malformed("an empty packet"))?;
    let binary = matches!(kind, '5' | '6');
    let attachments = if binary { rest.attachments()? } else { 0 };
    let here = rest.namespace()? == "/";
    let id = rest.id()?;
    let json = rest.0;
    let packet = match kind {
        '0' => Packet::Connect(raw(json)?),
        '1' => Packet::Disconnect,
        '2' | '5' => {
            let mut args = array(json)?.into_iter();
            let first = args.next().ok_or(Malformed("an event without a name"))?;
            let name = serde_json::from_str(first.get())
                .map_err(|_| Malformed("an event whose name is no string"))?;
            Packet::Event { id, name, args: args.collect(), attachments }
        }
        '3' | '6' => {
            let id = id.ok_or(Malformed("an acknowledgement without a number"))?;
            Packet::Ack { id, args: array(json)?, attachments }
        }
        '4' => Packet::ConnectError(raw(json)?),
        _ => return Err(Malformed("a packet of no Socket.IO type")),
    };
    // The attachments of another namespace would still follow; nobody who is not asked sends us any.
    match (here, attachments) {
        (true, _) => Ok(packet),
        (false, 0) => Ok(Packet::Elsewhere),
        (false, _) => Err(Malformed("a binary packet of another namespace")),
    }
}

/// The message that opens namespace `/`; `auth` is a JSON object.
#[must_use]
pub fn encode_connect(auth: &str) -> String {
    format!("40{auth}")
}

/// The message that leaves namespace `/`.
#[must_use]
pub fn encode_disconnect() -> String {
    "41".to_owned()
}

/// The message that carries an event, with a number when it is to be acknowledged.
#[must_use]
pub fn encode_event(id: Option<u64>, name: &str, args: &Args) -> String {
    let name = serde_json::Value::from(name);
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    match args.json() {
        "" => format!("42{id}[{name}]"),
        json => format!("42{id}[{name},{json}]"),
    }
}

/// The message that acknowledges the server's event number `id`.
#[must_use]
pub fn encode_ack(id: u64, args: &Args) -> String {
    format!("43{id}[{}]", args.json())
}

struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn character(&mut self) -> Option<char> {
        let mut characters = self.0.chars();
        let first = characters.next();
        self.0 = characters.as_str();
        first
    }

    fn digits(&mut self) -> &'a str {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits
    }

    fn attachments(&mut self) -> Result<usize, Malformed> {
        let digits = self.digits();
        self.0 = self.0.strip_prefix('-').ok_or(Malformed("a binary packet without a count"))?;
        match digits.parse::<usize>() {
            Ok(count) if count <= MAX_ATTACHMENTS => Ok(count),
            Ok(_) => Err(Malformed("a packet with too many attachments")),
            Err(_) => Err(Malformed("a binary packet without a count")),
        }
    }

    fn namespace(&mut self) -> Result<&'a str, Malformed> {
        if !self.0.starts_with('/') {
            return Ok("/");
        }
        // A packet without a payload may end with its namespace.
        let (namespace, rest) = self.0.split_once(',').unwrap_or((self.0, ""));
        if namespace.contains(['[', '{', '"']) {
            return Err(Malformed("a namespace without an end"));
        }
        self.0 = rest;
        Ok(namespace)
    }

    fn id(&mut self) -> Result<Option<u64>, Malformed> {
        match self.digits() {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| Malformed("a packet number out of range")),
        }
    }
}

fn raw(json: &str) -> Result<Option<Box<RawValue>>, Malformed> {
    if json.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(json).map(Some).map_err(|_| Malformed("a packet whose payload is no JSON"))
}

fn array(json: &str) -> Result<Vec<Box<RawValue>>, Malformed> {
    serde_json::from_str(json).map_err(|_| Malformed("a packet whose payload is no JSON array"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn texts(args: &[Box<RawValue>]) -> Vec<&str> {
        args.iter().map(|value| value.get()).collect()
    }

    #[test]
    fn packets_of_the_specification_are_read() {
        assert!(matches!(decode(r#"0{"sid":"x"}"#), Ok(Packet::Connect(Some(_)))));
        assert!(matches!(decode("0"), Ok(Packet::Connect(None))));
        assert!(matches!(decode("1"), Ok(Packet::Disconnect)));
        assert!(matches!(decode("1/,"), Ok(Packet::Disconnect)));
        assert!(matches!(decode("1/admin,"), Ok(Packet::Elsewhere)));
        assert!(matches!(decode(r#"2/admin,["x"]"#), Ok(Packet::Elsewhere)));
        assert!(matches!(decode(r#"4{"message":"no"}"#), Ok(Packet::ConnectError(Some(_)))));
        let Ok(Packet::Event { id: Some(12), name, args, attachments: 0 }) =
            decode(r#"212["rpc-request", {"method": "a"}, 1]"#)
        else {
            panic!("the event is read")
        };
        assert_eq!((name.as_str(), texts(&args)), ("rpc-request", vec![r#"{"method": "a"}"#, "1"]));
        let Ok(Packet::Ack { id: 7, args, attachments: 0 }) = decode("37[]") else {
            panic!("the acknowledgement is read")
        };
        assert!(args.is_empty());
        assert!(matches!(
            decode(r#"52-/,3["b",{"_placeholder":true,"num":0}]"#),
            Ok(Packet::Event { id: Some(3), attachments: 2, .. })
        ));
        assert!(matches!(
            decode(r#"61-9[{"_placeholder":true,"num":0}]"#),
            Ok(Packet::Ack { id: 9, attachments: 1, .. })
        ));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for wrong in [
            "",
            "9",
            "2",
            "2[]",
            "2[1]",
            "2{}",
            r#"2["a""#,
            r#"2["a"]x"#,
            "3[]",
            "31{}",
            "399999999999999999999[]",
            r#"5["a"]"#,
            r#"5-["a"]"#,
            r#"599-["a"]"#,
            r#"51-/x,["a"]"#,
            r#"2/x["a"]"#,
            "0{",
            "é",
        ] {
            assert!(decode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_deep_payload_is_carried_and_not_walked() {
        let deep = format!("2[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(decode(&deep), Ok(Packet::Event { .. })));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn written(values: &[Value]) -> Args {
        values.iter().fold(Args::none(), |args, value| args.and(value).unwrap())
    }

    fn read(args: &[Box<RawValue>]) -> Vec<Value> {
        args.iter().map(|value| serde_json::from_str(value.get()).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            id: Option<u64>, name in ".*", values in prop::collection::vec(json(), 0..4)
        ) {
            let text = encode_event(id, &name, &written(&values));
            let Ok(Packet::Event { id: read_id, name: read_name, args, attachments: 0 }) =
                decode(text.strip_prefix('4').unwrap())
            else {
                return Err(TestCaseError::fail("no event"));
            };
            prop_assert_eq!((read_id, read_name), (id, name));
            prop_assert_eq!(read(&args), values);
        }

        #[test]
        fn an_acknowledgement_is_read_again(id: u64, values in prop::collection::vec(json(), 0..4)) {
            let text = encode_ack(id, &written(&values));
            let Ok(Packet::Ack { id: read_id, args, .. }) = decode(text.strip_prefix('4').unwrap()) else {
                return Err(TestCaseError::fail("no acknowledgement"));
            };
            prop_assert_eq!(read_id, id);
            prop_assert_eq!(read(&args), values);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn near_misses_are_read_or_refused(text in r#"[0-7]{1,3}-?(/[a-z]?,?)?[0-9]{0,22}[\[{]?"?[a-z]*"?[\]}]?"#) {
            if let Ok(Packet::Event { attachments, .. } | Packet::Ack { attachments, .. }) = decode(&text) {
                prop_assert!(attachments <= MAX_ATTACHMENTS);
            }
        }
    }
}
