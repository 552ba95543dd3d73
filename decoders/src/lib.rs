//! Everything that reads what others send, as a table of functions that take arbitrary bytes. None of them may panic or take
//! memory out of proportion to its input: the tests of this crate try each with some thousand mutated examples, and `fuzz/`
//! has a libFuzzer target for each.
#![warn(missing_docs)]

mod expressions;
mod files;
mod mutate;
mod objects;
mod patches;
mod requests;
mod sample;
mod schemas;
mod stores;
mod values;

pub use mutate::Mutator;

/// A decoder, or several that read the same bytes.
pub struct Target {
    /// The name, which is also that of the libFuzzer target.
    pub name: &'static str,
    /// Reads the bytes, whatever they are.
    pub run: fn(&[u8]),
    /// Well-formed inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    objects::JSON,
    objects::YAML,
    objects::PROTOBUF,
    objects::STORED,
    objects::CREATION,
    objects::UPDATE,
    patches::JSON_PATCH,
    patches::MERGE_PATCH,
    patches::STRATEGIC_PATCH,
    patches::APPLY,
    patches::MANAGED_FIELDS,
    values::LABEL_SELECTOR,
    values::FIELD_SELECTOR,
    values::QUANTITY,
    values::TIME,
    requests::PATH,
    requests::OPTIONS,
    requests::HEADERS,
    requests::CONTINUE_TOKEN,
    requests::BEARER_TOKEN,
    requests::WEBSOCKET,
    requests::PROXIED_PAGE,
    expressions::CEL,
    expressions::REGEX,
    schemas::STRUCTURAL,
    files::VCLUSTER_YAML,
    files::COREFILE,
    stores::ETCD_REQUEST,
    stores::STORED_NAME,
    stores::DNS_PACKET,
];

/// Runs a target. A name that there is none of does nothing.
pub fn run(name: &str, input: &[u8]) {
    if let Some(target) = TARGETS.iter().find(|target| target.name == name) {
        (target.run)(input);
    }
}

/// Two inputs in one, divided by the first zero byte, which no text that is read here may have.
fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

/// Texts as seeds.
fn texts(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}
