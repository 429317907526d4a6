//! The model test: real reducers in a simulated world, thousands of times, each from one seed.
//!
//! `DELIGHT_SIM_SEEDS=n` runs other than 10,000 seeds, and an eighth of that in which everybody wants control;
//! `DELIGHT_SIM_SEED=n` runs one of each.

// A test may look at its environment and say what it did; the reducers may not.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::print_stdout)]

use delight_core::testing::model;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Two tests of one half each, because two threads halve the time.
fn half(which: u64) -> Result<(), String> {
    if let Some(seed) = number(model::SEED) {
        return if seed % 2 == which { model::run([seed], false).map(drop) } else { Ok(()) };
    }
    let seeds = number(model::SEEDS).unwrap_or(10_000);
    let counts = model::run((0..seeds).filter(|seed| seed % 2 == which), false)?;
    println!("{seeds} seeds, those that are {which} modulo 2: {counts:?}");
    if seeds >= 1_000 {
        // A world in which nothing goes wrong proves nothing.
        for (count, what) in [
            (counts.crashes, "crash"),
            (counts.reboots, "power cut"),
            (counts.holder_deaths, "death of a holder"),
            (counts.disconnects, "broken connection"),
            (counts.full_disks, "full disk"),
            (counts.refusals, "refusal"),
            (counts.prompts, "message to an agent"),
            (counts.decisions, "decision to an agent"),
            (counts.switches, "change of control"),
            (counts.fall_backs, "fall back of control"),
            (counts.withdrawn, "withdrawn permission"),
        ] {
            assert!(count > 0, "no {what} in {seeds} seeds");
        }
        assert!(counts.answers > counts.refusals, "everything was refused");
    }
    Ok(())
}

fn check(which: u64) {
    let broken = half(which).err().unwrap_or_default();
    assert!(broken.is_empty(), "{broken}");
}

/// Ten thousand changes of control, in worlds where daemons, holders and disks fail as in the others: some are cut off, some
/// fail, a quarter comes to its end.
#[test]
fn ten_thousand_switches_break_no_rule() {
    let seeds = match number(model::SEED) {
        Some(seed) => seed..seed + 1,
        None => 0..number(model::SEEDS).unwrap_or(10_000) / 8,
    };
    let many = seeds.end - seeds.start >= 1_000;
    let counts = model::run(seeds, true);
    println!("everybody wants control: {counts:?}");
    let broken = counts.as_ref().err().cloned().unwrap_or_default();
    assert!(broken.is_empty(), "{broken}");
    if let Ok(counts) = counts
        && many
    {
        assert!(counts.switches >= 10_000, "only {} changes of control", counts.switches);
        assert!(counts.handed_over >= 2_500, "only {} came to their end", counts.handed_over);
        assert!(counts.crashes > 1_000 && counts.reboots > 100 && counts.full_disks > 100, "{counts:?}");
    }
}

#[test]
fn even_seeds_break_no_rule() {
    check(0);
}

#[test]
fn odd_seeds_break_no_rule() {
    check(1);
}
