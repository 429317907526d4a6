//! Binary packets: a text message that announces attachments, then one binary message for each.

use bytes::Bytes;

use super::engine::Malformed;
use super::packet::Packet;
use super::payload::Payload;

/// What the reader may act on.
#[derive(Debug)]
pub(crate) enum Whole {
    Event { id: Option<u64>, name: String, payload: Payload },
    Ack { id: u64, payload: Payload },
    Other(Packet),
}

/// A binary packet whose attachments have not all come.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    waiting: Option<(Whole, usize)>,
}

impl Assembly {
    /// Takes a packet; gives it back whole unless attachments follow.
    pub(crate) fn packet(&mut self, packet: Packet) -> Result<Option<Whole>, Malformed> {
        if self.waiting.is_some() {
            return Err(Malformed("a packet in the midst of another's attachments"));
        }
        let payload = |args| Payload { args, attachments: Vec::new() };
        let (whole, attachments) = match packet {
            Packet::Event { id, name, args, attachments } => {
                (Whole::Event { id, name, payload: payload(args) }, attachments)
            }
            Packet::Ack { id, args, attachments } => (Whole::Ack { id, payload: payload(args) }, attachments),
            other => (Whole::Other(other), 0),
        };
        if attachments == 0 {
            return Ok(Some(whole));
        }
        self.waiting = Some((whole, attachments));
        Ok(None)
    }

    /// Takes an attachment; gives the packet when it was the last. All of one packet together may be `limit` bytes.
    pub(crate) fn attachment(&mut self, bytes: Bytes, limit: usize) -> Result<Option<Whole>, Malformed> {
        let Some((mut whole, left)) = self.waiting.take() else {
            return Err(Malformed("a binary message nobody announced"));
        };
        if let Whole::Event { payload, .. } | Whole::Ack { payload, .. } = &mut whole {
            if payload.size() + bytes.len() > limit {
                return Err(Malformed("attachments larger than a packet may be"));
            }
            payload.attachments.push(bytes);
        }
        if left == 1 {
            return Ok(Some(whole));
        }
        self.waiting = Some((whole, left - 1));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::decode;
    use super::*;

    #[test]
    fn attachments_are_gathered_in_order() {
        let mut assembly = Assembly::default();
        assert!(assembly.packet(decode(r#"52-4["b",1]"#).unwrap()).unwrap().is_none());
        assert!(assembly.attachment(Bytes::from_static(b"one"), 100).unwrap().is_none());
        let whole = assembly.attachment(Bytes::from_static(b"two"), 100).unwrap();
        let Some(Whole::Event { id: Some(4), name, payload }) = whole else { panic!("the event is whole") };
        assert_eq!(name, "b");
        assert_eq!(payload.attachments, [Bytes::from_static(b"one"), Bytes::from_static(b"two")]);
        assert!(matches!(assembly.packet(decode("1").unwrap()), Ok(Some(Whole::Other(Packet::Disconnect)))));
    }

    #[test]
    fn disorder_and_excess_are_refused() {
        let event = || decode(r#"51-["b"]"#).unwrap();
        assert!(Assembly::default().attachment(Bytes::new(), 100).is_err());
        let mut assembly = Assembly::default();
        assert!(assembly.packet(event()).unwrap().is_none());
        assert!(assembly.packet(event()).is_err());
        let mut assembly = Assembly::default();
        assert!(assembly.packet(event()).unwrap().is_none());
        assert!(assembly.attachment(Bytes::from(vec![0; 101]), 100).is_err());
    }
}
