//! Lines over a WebSocket, as its client (RFC 6455): a line is a text message. Nothing is kept whole: a message passes
//! through in pieces, so that no size of it costs memory or ends the connection.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

/// Bytes of the server's answer to the upgrade. Codex's has some 200.
const HEAD: usize = 16 << 10;
/// Bytes of a control frame's payload, by the protocol.
const CONTROL: u64 = 125;
/// Bytes passed on at once.
const PIECE: usize = 64 << 10;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// The request for a WebSocket. The key guards against caches between the two ends; here there is nothing between.
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: ZGVsaWdodCBob3N0IGtleQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Turns a connection into a WebSocket.
///
/// # Errors
/// The connection's, or the other end does not want to.
pub(super) async fn upgrade<S: AsyncBufRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(UPGRADE).await?;
    stream.flush().await?;
    let mut first = None;
    let mut head = stream.take(HEAD as u64);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(io::Error::other("it ended before it was a WebSocket"));
        }
        if line.trim_end().is_empty() {
            break;
        }
        first.get_or_insert(line);
    }
    match first {
        Some(line) if line.split(' ').nth(1) == Some("101") => Ok(()),
        other => {
            Err(io::Error::other(format!("it is no WebSocket: {}", other.unwrap_or_default().trim_end())))
        }
    }
}

/// Carries lines out until there are none: each becomes a message. What has no newline at the end was cut off, and is not
/// completed.
///
/// # Errors
/// Either end's. Not cancel safe: half a frame may have been written.
pub(super) async fn carry_out<R, W>(from: &mut R, to: &Mutex<W>) -> io::Result<()>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut continues = false;
    loop {
        let bytes = from.fill_buf().await?;
        if bytes.is_empty() {
            return Ok(());
        }
        let piece = bytes.iter().take(PIECE).position(|byte| *byte == b'\n');
        let (payload, last) = match piece {
            Some(end) => (&bytes[..end], true),
            None => (&bytes[..bytes.len().min(PIECE)], false),
        };
        let used = payload.len() + usize::from(last);
        // A line with nothing in it is no message.
        if continues || !payload.is_empty() {
            let kind = if continues { CONTINUATION } else { TEXT };
            frame(to, if last { FIN | kind } else { kind }, payload).await?;
            continues = !last;
        }
        from.consume(used);
    }
}

/// Carries messages in until the connection ends: each becomes a line. Pings are answered on `back`.
///
/// # Errors
/// Either end's, or what comes is no WebSocket's. Not cancel safe.
pub(super) async fn carry_in<R, W, B>(from: &mut R, to: &mut W, back: &Mutex<B>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    B: AsyncWrite + Unpin,
{
    let mut piece = vec![0u8; PIECE];
    loop {
        let mut start = [0u8; 2];
        match from.read_exact(&mut start).await {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(e) => return Err(e),
        }
        if start[1] & MASKED != 0 {
            return Err(io::Error::other("a server does not mask"));
        }
        let length = match start[1] & !MASKED {
            126 => u64::from(from.read_u16().await?),
            127 => from.read_u64().await?,
            short => u64::from(short),
        };
        let (kind, last) = (start[0] & 0x0f, start[0] & FIN != 0);
        match kind {
            CONTINUATION | TEXT => {
                let mut left = length;
                while left > 0 {
                    let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
                    let got = from.read(&mut piece[..most]).await?;
                    if got == 0 {
                        return Ok(());
                    }
                    // A line's end within JSON can only be space between its words.
                    piece[..got].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
                    to.write_all(&piece[..got]).await?;
                    left -= got as u64;
                }
                if last {
                    to.write_all(b"\n").await?;
                    to.flush().await?;
                }
            }
            BINARY => drop(tokio::io::copy(&mut from.take(length), &mut tokio::io::sink()).await?),
            CLOSE => return Ok(()),
            PING | PONG if length <= CONTROL => {
                let mut payload = vec![0u8; usize::try_from(length).unwrap_or_default()];
                from.read_exact(&mut payload).await?;
                if kind == PING {
                    frame(back, FIN | PONG, &payload).await?;
                }
            }
            _ => return Err(io::Error::other(format!("a frame of kind {kind:#x} with {length} bytes"))),
        }
    }
}

/// Writes a frame. A client must mask; by a mask of zeros the payload stays as it is. (Masks keep a program from forging
/// requests to what lies between the two ends. There is nothing.)
async fn frame<W: AsyncWrite + Unpin>(to: &Mutex<W>, start: u8, payload: &[u8]) -> io::Result<()> {
    let mut head = vec![start];
    match payload.len() {
        short @ 0..=125 => head.push(MASKED | short as u8),
        middle @ 126..=0xffff => {
            head.push(MASKED | 126);
            head.extend((middle as u16).to_be_bytes());
        }
        long => {
            head.push(MASKED | 127);
            head.extend((long as u64).to_be_bytes());
        }
    }
    head.extend([0; 4]);
    let mut to = to.lock().await;
    to.write_all(&head).await?;
    to.write_all(payload).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::BufReader;

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn out(lines: &[u8], piece: usize) -> Vec<u8> {
        let to = Mutex::new(Vec::new());
        wait(carry_out(&mut BufReader::with_capacity(piece, lines), &to)).unwrap();
        to.into_inner()
    }

    fn carried_in(frames: &[u8]) -> (Vec<u8>, Vec<u8>, io::Result<()>) {
        let (mut to, back) = (Vec::new(), Mutex::new(Vec::new()));
        let done = wait(carry_in(&mut &frames[..], &mut to, &back));
        (to, back.into_inner(), done)
    }

    /// Frames as a server sends them: those of a client without their masks.
    fn as_server(frames: &[u8]) -> Vec<u8> {
        let (mut rest, mut all) = (frames, Vec::new());
        while let [start, length, after @ ..] = rest {
            let extra = match length & !MASKED {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let size = match extra {
                0 => usize::from(length & !MASKED),
                _ => after[..extra].iter().fold(0, |size, byte| size << 8 | usize::from(*byte)),
            };
            all.extend([*start, length & !MASKED]);
            all.extend(&after[..extra]);
            assert_eq!(after[extra..extra + 4], [0; 4], "the mask");
            all.extend(&after[extra + 4..extra + 4 + size]);
            rest = &after[extra + 4 + size..];
        }
        all
    }

    #[test]
    fn a_line_is_a_message_and_nothing_is_none() {
        assert_eq!(out(b"ab\n\n", 64), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
        assert_eq!(as_server(&out(b"abc\n", 2)), [0x01, 2, b'a', b'b', 0x80, 1, b'c']);
        let cut = as_server(&out(b"abc", 64));
        assert_eq!(cut, [0x01, 3, b'a', b'b', b'c'], "what was cut off is never whole");
    }

    #[test]
    fn pings_are_answered_between_the_pieces_of_a_message() {
        let (lines, back, done) =
            carried_in(b"\x01\x02ab\x89\x01p\x80\x02c\n\x8a\x00\x82\x01x\x81\x01d\x88\x00");
        assert!(done.is_ok());
        assert_eq!(lines, b"abc \nd\n");
        assert_eq!(back, [0x8a, 0x81, 0, 0, 0, 0, b'p']);
    }

    #[test]
    fn what_is_no_websocket_ends_it() {
        for wrong in [&b"\x81\x81mask"[..], b"\x83\x00", b"\x89\x7e\x01\x00"] {
            assert!(carried_in(wrong).2.is_err(), "{wrong:?}");
        }
        for ended in [&b""[..], b"\x81", b"\x81\x05ab"] {
            assert!(carried_in(ended).2.is_ok(), "{ended:?}: the process's own end says why");
        }
    }

    #[test]
    fn an_upgrade_is_agreed_on_or_refused() {
        let ask = |answer: &'static str| {
            wait(async move {
                let (ours, mut theirs) = tokio::io::duplex(4_096);
                theirs.write_all(answer.as_bytes()).await.unwrap();
                theirs.shutdown().await.unwrap();
                upgrade(&mut BufReader::new(ours)).await
            })
        };
        assert!(ask("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n").is_ok());
        let refused = ask("HTTP/1.1 403 Forbidden\r\n\r\n").unwrap_err().to_string();
        assert!(refused.contains("403"), "{refused}");
        assert!(ask("HTTP/1.1 101").is_err(), "cut off");
    }

    proptest! {
        /// Whatever the pieces, what goes out comes in again.
        #[test]
        fn lines_come_through_whole(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>().prop_filter("a line", |b| *b != b'\n'), 1..200), 0..20),
            long in 60_000usize..70_000,
            piece in 1usize..5_000,
        ) {
            let mut all: Vec<u8> = lines.into_iter().flat_map(|line| [line, vec![b'\n']].concat()).collect();
            all.extend(vec![b'x'; long]);
            all.push(b'\n');
            let (got, _, done) = carried_in(&as_server(&out(&all, piece)));
            prop_assert!(done.is_ok());
            prop_assert_eq!(got, all);
        }
    }
}
