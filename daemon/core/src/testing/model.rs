//! Runs seeds, and says how to run a failing one again.

use super::sim::{Counts, Sim};

/// Environment variable that names the one seed to run.
pub const SEED: &str = "DELIGHT_SIM_SEED";
/// Environment variable that says how many seeds to run.
pub const SEEDS: &str = "DELIGHT_SIM_SEEDS";

/// Runs every seed of a range, `switchy` or not: whether clients mostly want control. Adds up what happened.
///
/// # Errors
/// The first seed that breaks a rule: the command that runs it again, the last of what happened, and the rule.
pub fn run(seeds: impl IntoIterator<Item = u64>, switchy: bool) -> Result<Counts, String> {
    let mut total = Counts::default();
    for seed in seeds {
        let counts = Sim::run(seed, switchy).map_err(|why| {
            format!(
                "{why}\n\nseed {seed} breaks this rule; run it again with\n  \
                 {SEED}={seed} cargo test -p delight-core --test model\n"
            )
        })?;
        total += counts;
    }
    Ok(total)
}
