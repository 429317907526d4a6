//! The loop around any reducer: one input at a time, effects carried out before the next.

mod clock;
mod step;
mod tickets;

pub(crate) use clock::{Clock, wall_ms};
pub(crate) use step::{Core, Panicked};
pub(crate) use tickets::{Tickets, Told};

use std::future::Future;

use delight_core::actor::{Effects, Reducer, Stamped};

/// What carries out the effects of one reducer and hears what happens to it.
pub(crate) trait Body {
    /// The reducer.
    type Reducer: Reducer;

    /// The next input; `None` when there will never be another. `state` is the one after the last step. Must be cancel
    /// safe: it is dropped when the deadline comes first.
    fn next(
        &mut self,
        state: &Self::Reducer,
    ) -> impl Future<Output = Option<<Self::Reducer as Reducer>::Input>> + Send;

    /// Sees every input, just before it is reduced.
    fn begins(&mut self, _state: &Self::Reducer, _input: &Stamped<<Self::Reducer as Reducer>::Input>) {}

    /// Sees what came of it, before anything is carried out.
    fn came(&mut self, _state: &Self::Reducer, _effects: &Effects<<Self::Reducer as Reducer>::Effect>) {}

    /// Carries out the effects of a step. `state` is the one after the step.
    fn carry_out(
        &mut self,
        state: &Self::Reducer,
        effects: Effects<<Self::Reducer as Reducer>::Effect>,
    ) -> impl Future<Output = Flow<<Self::Reducer as Reducer>::Input>> + Send;
}

/// How the loop goes on after a step.
#[derive(Debug)]
pub(crate) enum Flow<I> {
    /// With whatever comes.
    GoOn,
    /// With this input, before any other.
    Next(I),
    /// Not at all.
    End,
}

/// Runs a reducer until its body ends or it panics.
///
/// A panic in the reducer ends this loop and nothing else; what it was asked and had not answered is the caller's to
/// refuse.
pub(crate) async fn run<B: Body>(core: &mut Core<B::Reducer>, body: &mut B) -> Result<(), Panicked> {
    loop {
        let Some(state) = core.state() else { return Ok(()) };
        let input = match core.until_deadline() {
            None => body.next(state).await,
            Some(at) => tokio::select! {
                biased;
                input = body.next(state) => input,
                () = tokio::time::sleep_until(at) => Some(B::Reducer::tick()),
            },
        };
        let Some(mut input) = input else { return Ok(()) };
        loop {
            let Some(state) = core.state() else { return Ok(()) };
            let stamped = core.stamp(input);
            body.begins(state, &stamped);
            let effects = core.step(stamped)?;
            let Some(state) = core.state() else { return Ok(()) };
            body.came(state, &effects);
            if effects.is_empty() {
                break;
            }
            match body.carry_out(state, effects).await {
                Flow::GoOn => break,
                Flow::Next(next) => input = next,
                Flow::End => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
