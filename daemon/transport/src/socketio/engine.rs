//! Engine.IO 4 packets as they stand in WebSocket text messages: one digit, then the payload. Pure.

use std::time::Duration;

use serde::Deserialize;

/// A packet of the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    /// The first packet of a connection; its payload is read by [`Opening::parse`].
    Open(&'a str),
    /// The server closes.
    Close,
    /// The server asks whether we live; the payload goes back in the pong.
    Ping(&'a str),
    /// An answer to a ping; clients of this version send none.
    Pong,
    /// A Socket.IO packet.
    Message(&'a str),
    /// Of the transport upgrade, which a connection that began as WebSocket has not.
    Upgrade,
    /// Nothing.
    Noop,
}

/// What is no packet of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub(crate) &'static str);

/// Reads one text message.
///
/// # Errors
/// [`Malformed`] when its first character is no packet type.
pub fn decode(text: &str) -> Result<EnginePacket<'_>, Malformed> {
    let mut characters = text.chars();
    let packet = match characters.next() {
        Some('0') => EnginePacket::Open(characters.as_str()),
        Some('1') => EnginePacket::Close,
        Some('2') => EnginePacket::Ping(characters.as_str()),
        Some('3') => EnginePacket::Pong,
        Some('4') => EnginePacket::Message(characters.as_str()),
        Some('5') => EnginePacket::Upgrade,
        Some('6') => EnginePacket::Noop,
        Some(_) => return Err(Malformed("a message of no Engine.IO type")),
        None => return Err(Malformed("an empty message")),
    };
    Ok(packet)
}

/// What the server says of itself when a connection opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The server's name for the Engine.IO session.
    pub sid: String,
    /// How often the server pings.
    pub ping_interval: Duration,
    /// How much later than that a ping may be.
    pub ping_timeout: Duration,
    /// The largest message the server takes, in bytes.
    pub max_payload: usize,
}

/// A server that pings more seldom than this could be dead for long before anybody notices.
const MAX_PING: u64 = 600_000;
/// A server that names no limit has the protocol's usual one.
const USUAL_MAX_PAYLOAD: usize = 1_000_000;
/// No identifier is that long.
const MAX_SID: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpeningWire {
    sid: String,
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: Option<usize>,
}

impl Opening {
    /// Reads the payload of the open packet.
    ///
    /// # Errors
    /// [`Malformed`] when it is not JSON of that shape or its numbers are senseless.
    pub fn parse(json: &str) -> Result<Self, Malformed> {
        let wire: OpeningWire =
            serde_json::from_str(json).map_err(|_| Malformed("an open packet of another shape"))?;
        if wire.sid.len() > MAX_SID {
            return Err(Malformed("an open packet with an identifier without end"));
        }
        if !(1..=MAX_PING).contains(&wire.ping_interval) || !(1..=MAX_PING).contains(&wire.ping_timeout) {
            return Err(Malformed("an open packet with senseless ping times"));
        }
        let max_payload = wire.max_payload.unwrap_or(USUAL_MAX_PAYLOAD);
        if max_payload == 0 {
            return Err(Malformed("an open packet that allows no payload"));
        }
        Ok(Self {
            sid: wire.sid,
            ping_interval: Duration::from_millis(wire.ping_interval),
            ping_timeout: Duration::from_millis(wire.ping_timeout),
            max_payload,
        })
    }

    /// The longest time between two pings of a living server.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.ping_interval + self.ping_timeout
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_type_is_read() {
        assert_eq!(decode("2probe"), Ok(EnginePacket::Ping("probe")));
        assert_eq!(decode("42[\"a\"]"), Ok(EnginePacket::Message("2[\"a\"]")));
        assert_eq!(decode("1"), Ok(EnginePacket::Close));
        assert_eq!(decode("3"), Ok(EnginePacket::Pong));
        assert_eq!(decode("5"), Ok(EnginePacket::Upgrade));
        assert_eq!(decode("6"), Ok(EnginePacket::Noop));
        assert!(decode("").is_err() && decode("7").is_err() && decode("é").is_err());
    }

    #[test]
    fn the_opening_of_happys_server_is_read_and_senseless_ones_are_refused() {
        let happy = r#"{"sid":"27dICIz","upgrades":[],"pingInterval":15000,"pingTimeout":45000,"maxPayload":1000000}"#;
        let opening = Opening::parse(happy).unwrap();
        assert_eq!((opening.patience(), opening.max_payload), (Duration::from_secs(60), 1_000_000));
        for wrong in [
            "",
            "{}",
            "[1]",
            r#"{"sid":"a","pingInterval":0,"pingTimeout":1}"#,
            r#"{"sid":"a","pingInterval":1,"pingTimeout":99999999999}"#,
            r#"{"sid":"a","pingInterval":-1,"pingTimeout":1}"#,
            r#"{"sid":"a","pingInterval":1,"pingTimeout":1,"maxPayload":0}"#,
        ] {
            assert!(Opening::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            if let Ok(EnginePacket::Open(json)) = decode(&text) {
                let _ = Opening::parse(json);
            }
            prop_assert_eq!(decode(&text).is_ok(), text.starts_with(['0', '1', '2', '3', '4', '5', '6']));
        }
    }
}
