//! Tries every decoder with its examples and with mutations of them. `FUZZ_ROUNDS` and `FUZZ_SEED` ask for more or for others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use decoders::{Mutator, TARGETS};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What an input may take: so much for each byte of it, and so much anyway.
const BYTES_PER_BYTE: usize = 512;
const BYTES_ANYWAY: usize = 16 << 20;
/// The mutations of each target.
const ROUNDS: u64 = 300;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// One test for all and nothing beside it, as the memory is counted for the whole process.
#[test]
fn no_input_brings_a_decoder_down() {
    let (rounds, start) = (number("FUZZ_ROUNDS", ROUNDS), number("FUZZ_SEED", 1));
    let mut failures = Vec::new();
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} has no examples", target.name);
        // What is made once and kept is not the input's.
        (target.run)(&seeds[0]);
        let mutations = (start..start + rounds).map(|seed| (seed, Mutator::new(seed).mutated(&seeds)));
        let examples = seeds.iter().map(|seed| (0, seed.clone()));
        for (seed, input) in examples.chain(mutations) {
            MEMORY.reset_peak_usage();
            let before = MEMORY.current_usage();
            let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            let taken = MEMORY.peak_usage().saturating_sub(before);
            let what = format!(
                "{} (FUZZ_SEED={seed} FUZZ_ROUNDS=1): {}",
                target.name,
                input.escape_ascii()
            );
            if outcome.is_err() {
                failures.push(format!("panic in {what}"));
            } else if taken > BYTES_ANYWAY + BYTES_PER_BYTE * input.len() {
                failures.push(format!("{taken} bytes for {} in {what}", input.len()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
