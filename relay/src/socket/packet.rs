//! Engine.IO 4 and Socket.IO 5 as far as they are spoken here: text, the root namespace, one packet a frame.
//!
//! Binary attachments, other namespaces and payloads of several packets do not occur on this wire; they are errors.

use serde_json::value::RawValue;

/// Largest packet, bytes: Socket.IO's default, announced in the handshake. A larger one closes the connection.
pub(crate) const MAX: usize = 1_000_000;

/// What a client can say.
#[derive(Debug)]
pub(crate) enum Packet<'a> {
    /// Answer to our ping.
    Pong,
    /// Engine.IO `close`, or Socket.IO `DISCONNECT`: the client leaves on purpose.
    Leave,
    /// Log in to the root namespace.
    Connect(&'a str),
    /// An event: its arguments, the name first, and the number to acknowledge it by.
    Event { ack: Option<u64>, arguments: Vec<&'a RawValue> },
    /// The answer to an event of ours.
    Ack { ack: u64, arguments: Vec<&'a RawValue> },
}

/// A frame that is not a packet of this wire. The connection that sent it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a Socket.IO packet of this wire")]
pub(crate) struct Malformed;

/// Reads a frame.
pub(crate) fn parse(frame: &str) -> Result<Packet<'_>, Malformed> {
    let Some(message) = frame.strip_prefix('4') else {
        return match frame {
            "3" => Ok(Packet::Pong),
            "1" => Ok(Packet::Leave),
            _ => Err(Malformed),
        };
    };
    let (kind, rest) = message.split_at_checked(1).ok_or(Malformed)?;
    // The root namespace may be named; any other may not.
    let rest = rest.strip_prefix("/,").unwrap_or(rest);
    match kind {
        "0" => Ok(Packet::Connect(rest)),
        "1" => Ok(Packet::Leave),
        "2" => {
            let (ack, arguments) = numbered(rest)?;
            Ok(Packet::Event { ack, arguments })
        }
        "3" => {
            let (ack, arguments) = numbered(rest)?;
            Ok(Packet::Ack { ack: ack.ok_or(Malformed)?, arguments })
        }
        _ => Err(Malformed),
    }
}

fn numbered(text: &str) -> Result<(Option<u64>, Vec<&RawValue>), Malformed> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, arguments) = text.split_at(digits);
    let ack = match number {
        "" => None,
        number => Some(number.parse().map_err(|_| Malformed)?),
    };
    Ok((ack, serde_json::from_str(arguments).map_err(|_| Malformed)?))
}

/// Engine.IO `open`.
pub(crate) fn open(sid: &str, ping_interval_ms: u64, ping_timeout_ms: u64) -> String {
    format!(
        r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":{ping_interval_ms},"pingTimeout":{ping_timeout_ms},"maxPayload":{MAX}}}"#
    )
}

/// Socket.IO `CONNECT`, the welcome.
pub(crate) fn connected(sid: &str) -> String {
    format!(r#"40{{"sid":"{sid}"}}"#)
}

/// Socket.IO `CONNECT_ERROR`: not let in, and why.
pub(crate) fn refused(why: &str) -> String {
    format!("44{}", serde_json::json!({ "message": why }))
}

/// An event with one argument, which is JSON already.
pub(crate) fn event(name: &str, payload: &str) -> String {
    format!(r#"42["{name}",{payload}]"#)
}

/// An event that asks for an acknowledgement.
pub(crate) fn question(ack: u64, name: &str, payload: &str) -> String {
    format!(r#"42{ack}["{name}",{payload}]"#)
}

/// An acknowledgement with one argument, which is JSON already.
pub(crate) fn ack(ack: u64, payload: &str) -> String {
    format!("43{ack}[{payload}]")
}

/// Engine.IO `ping`.
pub(crate) const PING: &str = "2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_clients_send() {
        assert!(matches!(parse("3"), Ok(Packet::Pong)));
        assert!(matches!(parse("1"), Ok(Packet::Leave)));
        assert!(matches!(parse("41"), Ok(Packet::Leave)));
        assert!(matches!(parse(r#"40{"token":"x"}"#), Ok(Packet::Connect(r#"{"token":"x"}"#))));
        assert!(matches!(parse(r#"40/,{"token":"x"}"#), Ok(Packet::Connect(r#"{"token":"x"}"#))));
        let Ok(Packet::Event { ack: Some(17), arguments }) = parse(r#"4217["ping",{"a":[1, 2]}]"#) else {
            panic!("an event with a number")
        };
        assert_eq!(
            arguments.iter().map(|one| one.get()).collect::<Vec<_>>(),
            [r#""ping""#, r#"{"a":[1, 2]}"#]
        );
        assert!(matches!(parse(r#"42["ping"]"#), Ok(Packet::Event { ack: None, .. })));
        assert!(matches!(parse(r#"430["x"]"#), Ok(Packet::Ack { ack: 0, .. })));
    }

    #[test]
    fn refuses_the_rest_without_panicking() {
        for frame in [
            "",
            "2",
            "4",
            "5",
            "6",
            "45",
            "451-[\"x\"]",
            "42",
            "42{}",
            "42[",
            "43[\"x\"]",
            "42/admin,[\"x\"]",
            "4299999999999999999999999[\"x\"]",
            "é",
            "4é",
            "42é",
        ] {
            assert!(parse(frame).is_err(), "{frame:?}");
        }
    }

    #[test]
    fn a_reason_with_quotes_stays_json() {
        assert_eq!(refused(r#"no "x""#), r#"44{"message":"no \"x\""}"#);
    }
}
