//! One direction of one connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

use super::frames::{self, Carries};
use super::{Dice, LOOK, Shared, locked};

/// Longer than any head of a request or an answer here.
const MAX_HEAD: usize = 64 << 10;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// What is being carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first head, which says what comes after.
    Head,
    /// Anything: HTTP.
    Bytes,
    /// WebSocket frames.
    Frames,
}

struct Carrier<'a> {
    to: TcpStream,
    direction: Direction,
    shared: &'a Shared,
    budget: &'a AtomicU64,
    dice: Dice,
    stage: Stage,
    /// Read and not yet carried.
    waiting: Vec<u8>,
    /// A frame that is to come after its successor.
    late: Option<Vec<u8>>,
}

/// The connection is over for this direction.
enum Over {
    /// Its budget was spent.
    Cut,
    /// One of the sides is gone.
    Gone,
}

/// Carries until either side is gone; whether it was cut here.
pub(super) fn run(
    mut from: TcpStream,
    to: TcpStream,
    (number, direction): (u64, Direction),
    shared: &Shared,
    budget: &AtomicU64,
    dice: Dice,
) -> bool {
    let (stage, waiting) = (Stage::Head, Vec::new());
    let mut carrier = Carrier { to, direction, shared, budget, dice, stage, waiting, late: None };
    let mut bytes = [0; 16 << 10];
    loop {
        if shared.has_ended() {
            return false;
        }
        if shared.is_silent(number) {
            std::thread::sleep(LOOK);
            continue;
        }
        let done = match from.read(&mut bytes) {
            Ok(0) => Err(Over::Gone),
            // What was read just when silence began is carried after it, on a connection that is cut by then.
            Ok(count) => carrier.take(&bytes[..count]),
            // Nothing follows for now: what waits for a successor waits no longer.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                carrier.release()
            }
            Err(_) => Err(Over::Gone),
        };
        match done {
            Ok(()) => {}
            Err(Over::Cut) => return true,
            Err(Over::Gone) => return false,
        }
    }
}

impl Carrier<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.waiting.extend_from_slice(bytes);
        if self.stage == Stage::Head {
            let Some(end) = self.waiting.windows(4).position(|four| four == b"\r\n\r\n") else {
                return if self.waiting.len() > MAX_HEAD { Err(Over::Gone) } else { Ok(()) };
            };
            let head: Vec<u8> = self.waiting.drain(..end + 4).collect();
            self.stage = if self.upgrades(&head) { Stage::Frames } else { Stage::Bytes };
            self.put(&head)?;
        }
        if self.stage == Stage::Bytes {
            let all = std::mem::take(&mut self.waiting);
            return self.put(&all);
        }
        while let Some((length, carries)) = frames::first(&self.waiting).map_err(|_| Over::Gone)? {
            let frame: Vec<u8> = self.waiting.drain(..length).collect();
            self.frame(frame, carries)?;
        }
        Ok(())
    }

    fn upgrades(&self, head: &[u8]) -> bool {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        match self.direction {
            Direction::ToServer => head.contains("upgrade: websocket"),
            Direction::ToClient => head.starts_with("http/1.1 101"),
        }
    }

    fn frame(&mut self, frame: Vec<u8>, carries: Carries) -> Result<(), Over> {
        let faults = *locked(&self.shared.faults);
        if carries == Carries::Control {
            self.release()?;
            return self.put(&frame);
        }
        if carries == Carries::Ack && self.dice.falls(faults.lose_acks) {
            locked(&self.shared.wrongs).lost += 1;
            return Ok(());
        }
        if self.late.is_none() && self.dice.falls(faults.swap) {
            locked(&self.shared.wrongs).swapped += 1;
            self.late = Some(frame);
            return Ok(());
        }
        self.put(&frame)?;
        if self.dice.falls(faults.double) {
            locked(&self.shared.wrongs).doubled += 1;
            self.put(&frame)?;
        }
        self.release()
    }

    fn release(&mut self) -> Result<(), Over> {
        self.late.take().map_or(Ok(()), |late| self.put(&late))
    }

    /// Writes as much as the connection may still carry.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let len = bytes.len() as u64;
        let spend = |left: u64| Some(left.saturating_sub(len));
        let left = self.budget.fetch_update(Ordering::SeqCst, Ordering::SeqCst, spend).unwrap_or_default();
        let carried = usize::try_from(left.min(len)).unwrap_or(bytes.len());
        self.to.write_all(&bytes[..carried]).map_err(|_| Over::Gone)?;
        locked(&self.shared.wrongs).bytes += carried as u64;
        if carried < bytes.len() { Err(Over::Cut) } else { Ok(()) }
    }
}
