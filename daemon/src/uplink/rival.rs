//! A connect that hangs does not keep the next from beginning.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

/// A try that has not ended by then may hang for as long as a kernel lets it: another begins beside it, and anew as often.
const RIVAL_EVERY: Duration = Duration::from_millis(1_500);

/// Tries, and while that has not ended tries beside it, one at a time, each given up for the next. What ends first counts,
/// a failure too: only silence is worked round. The first try is never given up, so that a way on which everything takes
/// long is a way all the same.
///
/// Cancel safe when the tries are.
pub(super) async fn first_end<F: Future>(attempt: impl Fn() -> F) -> F::Output {
    let mut patient = pin!(attempt());
    if let Ok(end) = tokio::time::timeout(RIVAL_EVERY, &mut patient).await {
        return end;
    }
    loop {
        tokio::select! {
            end = &mut patient => return end,
            end = attempt() => return end,
            () = tokio::time::sleep(RIVAL_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{Instant, sleep};

    use super::*;

    /// How long the tries take, in milliseconds, one after the other; the last one's number and when it ended.
    async fn tries(taking: &[u64]) -> (usize, u128) {
        let (number, began) = (Cell::new(0), Instant::now());
        let number = &number;
        let attempt = || async move {
            let own = number.replace(number.get() + 1);
            sleep(Duration::from_millis(taking[own])).await;
            own
        };
        let end = first_end(attempt).await;
        (end, began.elapsed().as_millis())
    }

    const NEVER: u64 = 1 << 40;

    /// [happy 5.18: a connect that hangs blocks the next for 20 s]
    #[tokio::test(start_paused = true)]
    async fn a_try_that_hangs_is_overtaken_and_one_that_is_slow_is_not_given_up() {
        assert_eq!(tries(&[1_499]).await, (0, 1_499), "nobody hurries what answers");
        assert_eq!(tries(&[NEVER, 20]).await, (1, 1_520));
        assert_eq!(tries(&[NEVER, 5_000, 5_000, 20]).await, (3, 4_520));
        assert_eq!(tries(&[7_000, 5_000, 5_000, 5_000, 5_000, 5_000]).await, (0, 7_000));
    }
}
