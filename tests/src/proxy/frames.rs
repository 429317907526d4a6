//! WebSocket frames, as far as one must know them to tell events from acknowledgements.

/// Larger than any packet either side may send.
const MAX_FRAME: usize = 4 << 20;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries {
    /// A Socket.IO event.
    Event,
    /// A Socket.IO acknowledgement.
    Ack,
    /// What keeps the connection going: pings, greetings, ends. Never touched.
    Control,
}

/// The length of the first frame in `bytes`, head included, and what it carries; none while it is not whole.
///
/// # Errors
/// No frame a peer of ours would send.
pub(super) fn first(bytes: &[u8]) -> Result<Option<(usize, Carries)>, &'static str> {
    let [opcode, length, ..] = *bytes else { return Ok(None) };
    let masked = length & 0x80 != 0;
    let (length, mut head) = match length & 0x7f {
        126 => match bytes.get(2..4) {
            Some(wide) => (usize::from(u16::from_be_bytes([wide[0], wide[1]])), 4),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|wide| wide.try_into().ok()) {
            Some(wide) => (usize::try_from(u64::from_be_bytes(wide)).unwrap_or(usize::MAX), 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    if length > MAX_FRAME {
        return Err("a frame of more than 4 MiB");
    }
    let mask = if masked {
        let Some(mask) = bytes.get(head..head + 4) else { return Ok(None) };
        head += 4;
        [mask[0], mask[1]]
    } else {
        [0, 0]
    };
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    const TEXT: u8 = 1;
    let whole_text = opcode == 0x80 | TEXT;
    let carries = match payload {
        [first, second, ..] if whole_text => match (first ^ mask[0], second ^ mask[1]) {
            (b'4', b'2') => Carries::Event,
            (b'4', b'3') => Carries::Ack,
            _ => Carries::Control,
        },
        _ => Carries::Control,
    };
    Ok(Some((head + length, carries)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut frame = vec![0x81, payload.len() as u8];
        match mask {
            None => frame.extend(payload),
            Some(mask) => {
                frame[1] |= 0x80;
                frame.extend(mask);
                frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            }
        }
        frame
    }

    #[test]
    fn events_and_acknowledgements_are_told_from_the_rest() {
        for mask in [None, Some([7, 99, 3, 250])] {
            for (payload, want) in [
                (b"42[\"update\"]".as_slice(), Carries::Event),
                (b"437[1]", Carries::Ack),
                (b"2", Carries::Control),
                (b"40{}", Carries::Control),
            ] {
                let frame = text(payload, mask);
                let mut two = frame.clone();
                two.extend(&frame);
                assert_eq!(first(&two), Ok(Some((frame.len(), want))));
                assert_eq!(first(&frame[..frame.len() - 1]), Ok(None));
            }
        }
        assert_eq!(first(&[0x81]), Ok(None));
        assert!(first(&[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]).is_err());
    }
}
