//! Messages on their way to the server, in order, each until the server names its number: a pure queue.

use std::collections::VecDeque;

use delight_proto::sync::bounded::Id;
use delight_proto::sync::bounds;

/// Messages of one session that may wait. Each has somebody waiting for its answer; more than ten full writes behind means
/// that the server cannot be reached, and the caller should hear so.
pub const WAITING: usize = 1_024;

/// Bytes of sealed text in one write: below what servers take as a body (16 MiB), several of the largest messages.
const WRITE_BYTES: usize = 4 << 20;

/// The messages of one session. `C` is what is sent, `R` whom to answer.
#[derive(Debug)]
pub struct Outbox<C, R> {
    queue: VecDeque<Entry<C, R>>,
    /// How many at the head are in a write that is on its way.
    writing: usize,
    /// How many at the head are written one by one, because a write of all of them was refused for the sake of one.
    alone: usize,
}

/// One message.
#[derive(Debug)]
pub struct Entry<C, R> {
    /// Our id for it, the same over every attempt.
    pub local_id: Id,
    /// What is sent.
    pub content: C,
    /// Its size, bytes.
    pub size: usize,
    /// Until when it is tried, on the caller's clock (milliseconds).
    pub until: u64,
    /// Whether a write with it has failed: then the server may have it all the same.
    pub tried: bool,
    /// Whom to answer.
    pub reply: R,
}

impl<C, R> Default for Outbox<C, R> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), writing: 0, alone: 0 }
    }
}

impl<C: Clone, R> Outbox<C, R> {
    /// Puts a message behind the others.
    ///
    /// # Errors
    /// The entry, when [`WAITING`] are there already.
    // The whole entry comes back, since somebody waits for its answer.
    #[allow(clippy::result_large_err)]
    pub fn push(&mut self, entry: Entry<C, R>) -> Result<(), Entry<C, R>> {
        if self.queue.len() >= WAITING {
            return Err(entry);
        }
        self.queue.push_back(entry);
        Ok(())
    }

    /// The next write: up to [`bounds::POST_MESSAGES`] messages from the head; empty while one is on its way or nothing
    /// waits. Answer with [`Outbox::written`] or [`Outbox::failed`].
    pub fn write(&mut self) -> Vec<(Id, C)> {
        if self.writing > 0 {
            return Vec::new();
        }
        let mut bytes = 0;
        let batch: Vec<_> = self
            .queue
            .iter()
            .take(if self.alone > 0 { 1 } else { bounds::POST_MESSAGES })
            .take_while(|entry| {
                let first = bytes == 0;
                bytes += entry.size.max(1);
                first || bytes <= WRITE_BYTES
            })
            .map(|entry| (entry.local_id.clone(), entry.content.clone()))
            .collect();
        self.writing = batch.len();
        batch
    }

    /// The write was done. What `stored` names is finished and returned with its number; what it does not name, although
    /// it was written, stays at the head and is written again.
    pub fn written(&mut self, stored: impl Fn(&Id) -> Option<u64>) -> Vec<(Entry<C, R>, u64)> {
        let head: Vec<_> = self.queue.drain(..self.writing).collect();
        self.alone = self.alone.saturating_sub(self.writing);
        self.writing = 0;
        let mut done = Vec::new();
        for mut entry in head.into_iter().rev() {
            match stored(&entry.local_id) {
                Some(seq) => done.push((entry, seq)),
                None => {
                    entry.tried = true;
                    self.queue.push_front(entry);
                }
            }
        }
        done.reverse();
        done
    }

    /// The write failed in a way that says nothing about the single messages: all are tried again, but for those whose
    /// time is over. They are returned.
    pub fn failed(&mut self, now: u64) -> Vec<Entry<C, R>> {
        for entry in self.queue.iter_mut().take(self.writing) {
            entry.tried = true;
        }
        self.writing = 0;
        let (over, kept) = std::mem::take(&mut self.queue).into_iter().partition(|entry| entry.until <= now);
        self.queue = kept;
        Vec::from_iter::<VecDeque<_>>(over)
    }

    /// The write was refused for good. Of several messages only one may be the reason, so they are written again one by
    /// one; a single one is taken out and returned.
    pub fn refused(&mut self) -> Option<Entry<C, R>> {
        let writing = std::mem::take(&mut self.writing);
        if writing > 1 {
            self.alone = writing;
            return None;
        }
        self.alone = self.alone.saturating_sub(writing);
        self.queue.pop_front()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: usize, size: usize) -> Entry<usize, usize> {
        Entry { local_id: Id::cut(id.to_string()), content: id, size, until: 100, tried: false, reply: id }
    }

    fn ids(batch: &[(Id, usize)]) -> Vec<usize> {
        batch.iter().map(|(_, id)| *id).collect()
    }

    #[test]
    fn one_write_at_a_time_in_order_and_confirmed_by_name() {
        let mut outbox = Outbox::default();
        for id in 0..250 {
            outbox.push(entry(id, 10)).unwrap();
        }
        assert_eq!(ids(&outbox.write()), (0..100).collect::<Vec<_>>());
        assert!(outbox.write().is_empty(), "a second write would overtake the first");
        // The server has all but number 7: it stays first.
        let done = outbox.written(|id| (id.as_str() != "7").then_some(1));
        assert_eq!(done.len(), 99);
        assert_eq!(done[0].0.reply, 0);
        let again = outbox.write();
        assert_eq!(ids(&again)[..3], [7, 100, 101]);
    }

    #[test]
    fn a_failed_write_is_made_again_with_the_same_messages() {
        let mut outbox = Outbox::default();
        outbox.push(entry(1, 10)).unwrap();
        outbox.push(Entry { until: 5, ..entry(2, 10) }).unwrap();
        let first = outbox.write();
        let over = outbox.failed(5);
        assert_eq!(over.iter().map(|entry| (entry.reply, entry.tried)).collect::<Vec<_>>(), [(2, true)]);
        assert_eq!(ids(&outbox.write()), ids(&first)[..1]);
        assert_eq!(outbox.refused().map(|entry| entry.reply), Some(1));
        assert!(outbox.is_empty());
    }

    #[test]
    fn one_refused_message_does_not_take_the_others_with_it() {
        let mut outbox = Outbox::default();
        for id in 0..3 {
            outbox.push(entry(id, 10)).unwrap();
        }
        assert_eq!(ids(&outbox.write()), [0, 1, 2]);
        assert!(outbox.refused().is_none());
        assert_eq!(ids(&outbox.write()), [0]);
        assert_eq!(outbox.refused().map(|entry| entry.reply), Some(0));
        for (alone, id) in [(1, "1"), (2, "2")] {
            assert_eq!(ids(&outbox.write()), [alone]);
            assert_eq!(outbox.written(|written| (written.as_str() == id).then_some(1)).len(), 1);
        }
        outbox.push(entry(4, 10)).unwrap();
        outbox.push(entry(5, 10)).unwrap();
        assert_eq!(ids(&outbox.write()), [4, 5]);
    }

    #[test]
    fn the_queue_and_its_writes_are_bounded() {
        let mut outbox = Outbox::default();
        for id in 0..WAITING {
            outbox.push(entry(id, WRITE_BYTES)).unwrap();
        }
        assert_eq!(outbox.push(entry(9, 1)).unwrap_err().reply, 9);
        assert_eq!(outbox.write().len(), 1, "one of the largest goes alone");
    }
}
