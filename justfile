# Shorthands; everything here is plain cargo, and .ci/run is what decides.

export RUSTDOCFLAGS := "-D warnings"

# What CI runs.
ci:
    .ci/run

# The quick checks.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Everything, as the README says.
test:
    cargo test --workspace

# The table of "How fast": all rows, or the named ones.
bench *rows:
    cargo run --release -p delight-tests --bin delight-bench -- {{rows}}

# Writes proto/api.schema.json anew from the types.
schema:
    cargo run -q -p delight-tests --bin delight-schema > proto/api.schema.json

# A minute of each fuzz target (needs nightly and cargo-fuzz).
fuzz seconds="60":
    tests/fuzz/run {{seconds}}
