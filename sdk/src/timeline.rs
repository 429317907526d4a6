//! One session's messages in their order, each once: a pure reducer.
//!
//! What comes live may be doubled, reordered, cut off or without a number. Only a message whose number is the next is
//! taken as it comes; everything else is a reason to fetch what is after the last one taken. Numbers that are missing in a
//! fetched page are missing for good (real servers burn some).

/// Where a session's reading stands. `M` is a message with a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    last: u64,
    fetching: bool,
    /// Something came while a page was on its way, so what is after that page must be asked for once more.
    again: bool,
}

/// What is to be done: deliver, in this order, then fetch if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<M> {
    /// To deliver now.
    pub deliver: Vec<M>,
    /// Fetch the messages after this number. Answer with [`Timeline::page`] or [`Timeline::failed`].
    pub fetch_after: Option<u64>,
}

impl<M> Step<M> {
    fn nothing() -> Self {
        Self { deliver: Vec::new(), fetch_after: None }
    }
}

impl Timeline {
    /// Reads on after this number; 0 is the beginning.
    #[must_use]
    pub fn after(last: u64) -> Self {
        Self { last, fetching: false, again: false }
    }

    /// The number of the last message delivered.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// A message came live; `seq` is none where its way does not tell.
    pub fn live<M>(&mut self, seq: Option<u64>, message: M) -> Step<M> {
        match seq {
            Some(seq) if seq <= self.last => Step::nothing(),
            // While a page is on its way, that page decides the order.
            Some(seq) if seq == self.last + 1 && !self.fetching => {
                self.last = seq;
                Step { deliver: vec![message], fetch_after: None }
            }
            _ => self.catch_up(),
        }
    }

    /// Messages may have been missed: the connection is new, or somebody says so.
    pub fn catch_up<M>(&mut self) -> Step<M> {
        if self.fetching {
            self.again = true;
            return Step::nothing();
        }
        self.fetching = true;
        Step { deliver: Vec::new(), fetch_after: Some(self.last) }
    }

    /// A page came: what a fetch after [`Timeline::last`] found, in any order. `full` when it was as long as asked for, so
    /// that there may be more.
    pub fn page<M>(&mut self, mut rows: Vec<(u64, M)>, full: bool) -> Step<M> {
        rows.sort_by_key(|(seq, _)| *seq);
        let mut deliver = Vec::new();
        for (seq, message) in rows {
            if seq > self.last {
                self.last = seq;
                deliver.push(message);
            }
        }
        self.fetching = false;
        let more = (full && !deliver.is_empty()) || std::mem::take(&mut self.again);
        let Step { fetch_after, .. } = if more { self.catch_up::<M>() } else { Step::nothing() };
        Step { deliver, fetch_after }
    }

    /// A fetch failed. The caller tries again, by [`Timeline::catch_up`], when there is a reason to hope.
    pub fn failed(&mut self) {
        self.fetching = false;
        self.again = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{collection, prop_assert_eq, proptest};

    use super::*;

    #[test]
    fn a_doubled_message_is_delivered_once_and_a_gap_is_fetched() {
        let mut timeline = Timeline::after(0);
        assert_eq!(timeline.live(Some(1), 'a').deliver, ['a']);
        assert_eq!(timeline.live(Some(1), 'a'), Step::nothing());
        assert_eq!(timeline.live(Some(3), 'c').fetch_after, Some(1));
        // Meanwhile two more: one that would be next, one without a number.
        assert_eq!(timeline.live(Some(2), 'b'), Step::nothing());
        assert_eq!(timeline.live(None, 'd'), Step::nothing());
        let step = timeline.page(vec![(3, 'c'), (2, 'b')], false);
        assert_eq!((step.deliver, step.fetch_after), (vec!['b', 'c'], Some(3)));
        let step = timeline.page(vec![(5, 'e')], false);
        assert_eq!((step.deliver, step.fetch_after), (vec!['e'], None), "number 4 is missing for good");
        assert_eq!(timeline.last(), 5);
    }

    #[test]
    fn a_full_page_asks_on_and_a_page_of_nothing_new_does_not() {
        let mut timeline = Timeline::after(0);
        assert_eq!(timeline.catch_up::<char>().fetch_after, Some(0));
        assert_eq!(timeline.page(vec![(1, 'a'), (2, 'b')], true).fetch_after, Some(2));
        assert_eq!(
            timeline.page(vec![(1, 'a'), (2, 'b')], true),
            Step::nothing(),
            "a server that repeats itself"
        );
        timeline.catch_up::<char>();
        timeline.failed();
        assert_eq!(timeline.catch_up::<char>().fetch_after, Some(2));
    }

    proptest! {
        /// Every message once and in order, however the live ones are doubled, dropped and shuffled, and whatever the size
        /// of a page.
        #[test]
        fn nothing_is_lost_or_doubled(
            live in collection::vec((1_u64..60, any::<bool>()), 0..200),
            page in 1_usize..7,
        ) {
            const STORED: u64 = 60;
            let mut timeline = Timeline::after(0);
            let mut heard: Vec<u64> = Vec::new();
            let mut pending = None;
            let serve = |after: u64| -> (Vec<(u64, u64)>, bool) {
                let rows: Vec<_> = (after + 1..=STORED).take(page).map(|seq| (seq, seq)).collect();
                let full = rows.len() == page;
                (rows, full)
            };
            let take = |step: Step<u64>, heard: &mut Vec<u64>, pending: &mut Option<u64>| {
                heard.extend(step.deliver);
                if step.fetch_after.is_some() {
                    assert!(pending.is_none(), "two fetches at once");
                    *pending = step.fetch_after;
                }
            };
            for (seq, answered) in live {
                let step = timeline.live(Some(seq), seq);
                take(step, &mut heard, &mut pending);
                if answered && let Some(after) = pending.take() {
                    let (rows, full) = serve(after);
                    let step = timeline.page(rows, full);
                    take(step, &mut heard, &mut pending);
                }
            }
            let step = timeline.catch_up();
            take(step, &mut heard, &mut pending);
            while let Some(after) = pending.take() {
                let (rows, full) = serve(after);
                let step = timeline.page(rows, full);
                take(step, &mut heard, &mut pending);
            }
            prop_assert_eq!(heard, (1..=STORED).collect::<Vec<_>>());
        }
    }
}
