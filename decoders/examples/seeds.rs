//! Writes the examples of a target into a directory: `seeds TARGET DIRECTORY`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, directory] = arguments.as_slice() else {
        eprintln!("usage: seeds TARGET DIRECTORY");
        return ExitCode::from(2);
    };
    let Some(target) = decoders::TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = decoders::TARGETS.iter().map(|target| target.name).collect();
        eprintln!("there is no target {name:?}, but {}", names.join(", "));
        return ExitCode::from(2);
    };
    for (number, seed) in (target.seeds)().iter().enumerate() {
        if let Err(error) = std::fs::write(format!("{directory}/seed-{number}"), seed) {
            eprintln!("{directory}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
