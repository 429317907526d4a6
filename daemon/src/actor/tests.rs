use delight_core::actor::{Deadline, Stamped};

use super::*;

/// Adds up what it is told; 13 is its fault.
#[derive(Debug, Default)]
struct Sum(u64);

impl Reducer for Sum {
    type Input = u64;
    type Effect = u64;

    fn reduce(self, input: Stamped<u64>) -> (Self, Effects<u64>) {
        assert_ne!(input.input, 13, "unlucky");
        let sum = self.0 + input.input;
        (Self(sum), Effects::from(vec![sum]))
    }

    /// Once it has a thousand it waits for nothing more.
    fn deadline(&self) -> Option<Deadline> {
        (self.0 >= 100 && self.0 < 1000).then_some(Deadline { at: 0, what: "a thousand is due" })
    }

    fn tick() -> u64 {
        1000
    }
}

/// Gives these inputs and keeps the effects. An effect of 7 asks for 70 more before anything else; 2000 is the end.
struct Script {
    inputs: std::vec::IntoIter<u64>,
    done: Vec<u64>,
}

impl Script {
    fn new(inputs: &[u64]) -> Self {
        Self { inputs: Vec::from(inputs).into_iter(), done: Vec::new() }
    }
}

impl Body for Script {
    type Reducer = Sum;

    async fn next(&mut self, state: &Sum) -> Option<u64> {
        if state.deadline().is_some() {
            return std::future::pending().await;
        }
        self.inputs.next()
    }

    async fn carry_out(&mut self, _state: &Sum, effects: Effects<u64>) -> Flow<u64> {
        self.done.extend(effects);
        match self.done.last() {
            Some(7) => Flow::Next(70),
            Some(2000..) => Flow::End,
            _ => Flow::GoOn,
        }
    }
}

async fn played(inputs: &[u64]) -> (Result<(), Panicked>, Vec<u64>, Option<u64>) {
    let (mut core, mut script) = (Core::new(Sum::default(), Clock::start()), Script::new(inputs));
    let ended = run(&mut core, &mut script).await;
    (ended, script.done, core.state().map(|sum| sum.0))
}

#[tokio::test]
async fn a_panic_ends_one_actor_with_its_reason_and_no_other() {
    let (faulty, healthy) = tokio::join!(
        tokio::spawn(async { played(&[1, 2, 13, 4]).await }),
        tokio::spawn(async { played(&[1, 2, 4]).await })
    );
    let (ended, done, state) = faulty.unwrap();
    let Err(Panicked(reason)) = ended else { panic!("it went on") };
    assert!(reason.contains("unlucky"), "{reason}");
    assert_eq!(
        (done, state),
        (vec![1, 3], None),
        "what came before stands; its state is not trusted any more"
    );
    assert_eq!(healthy.unwrap(), (Ok(()), vec![1, 3, 7, 77], Some(77)));
}

#[tokio::test]
async fn a_step_after_a_panic_is_refused() {
    let mut core = Core::new(Sum::default(), Clock::start());
    let unlucky = core.stamp(13);
    assert!(core.step(unlucky).is_err());
    let lucky = core.stamp(1);
    assert_eq!(core.step(lucky), Err(Panicked("it has ended".to_owned())));
    assert_eq!(core.until_deadline(), None);
}

#[tokio::test]
async fn what_an_effect_brings_comes_before_what_waits() {
    assert_eq!(played(&[7, 1]).await.1, [7, 77, 78]);
}

#[tokio::test]
async fn a_deadline_is_served_while_nothing_comes() {
    assert_eq!(played(&[100, 5]).await.1, [100, 1100, 1105]);
}

#[tokio::test]
async fn the_body_can_end_it() {
    assert_eq!(played(&[2000, 1]).await, (Ok(()), vec![2000], Some(2000)));
}
