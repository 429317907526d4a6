//! The link's reducer: by hand, and in a simulated world.

// A test may look at its environment and say what it did; the reducers may not.
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, clippy::print_stdout)]
#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)] // Helpers of tests, which clippy does not take for tests.

mod by_hand;
mod facts;
mod projected;
mod server;
mod table;
mod world;

use world::{Counts, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `DELIGHT_SIM_SEEDS=n` runs other than 1,000 seeds; `DELIGHT_SIM_SEED=n` runs one.
#[test]
fn in_no_world_is_anything_lost_doubled_or_out_of_order() {
    let seeds = match number("DELIGHT_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DELIGHT_SIM_SEEDS").unwrap_or(1_000),
    };
    let many = seeds.end - seeds.start >= 1_000;
    let mut counts = Counts::default();
    for seed in seeds {
        let mut world = World::new(seed);
        if let Err(broken) = world.run() {
            panic!(
                "seed {seed}: {broken}\nagain: DELIGHT_SIM_SEED={seed} cargo test -p delight-core --test uplink"
            );
        }
        counts.add(&world.counts);
    }
    println!("{counts:?}");
    if many {
        // A world in which nothing goes wrong proves nothing.
        let Counts {
            cuts,
            half_open,
            restarts,
            crashes,
            lost,
            doubled,
            conflicts,
            logins,
            refusals,
            messages,
            posts,
            folded,
        } = counts;
        for (count, what) in [
            (cuts, "cut connection"),
            (half_open, "half-open connection"),
            (restarts, "restart of the server"),
            (crashes, "restart of the daemon"),
            (lost, "lost answer"),
            (doubled, "doubled request or push"),
            (conflicts, "version conflict"),
            (logins, "refused token"),
            (refusals, "refused message"),
            (folded, "day offline"),
        ] {
            assert!(count > 0, "no {what}");
        }
        assert!(messages > 1_000 && posts > 1_000, "too quiet a world");
    }
}
