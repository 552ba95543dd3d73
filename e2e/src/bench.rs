//! What the benchmarks in `examples/` share: cases that can be chosen, an exit code that tells missed goals, and numbers in
//! columns.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Runs a benchmark, which says whether all goals were reached: 1 when one was missed, 2 when it could not be measured.
pub fn run(name: &str, measure: impl Future<Output = Result<bool>>) -> ExitCode {
    chassis::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(measure))
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The cases that were asked for by name, in the order of all; all of them when nothing was.
///
/// # Errors
/// When there is no case of a name.
pub fn chosen<C: Copy>(all: &[(&'static str, C)], asked: &[String]) -> Result<Vec<C>> {
    let known: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    for name in asked {
        ensure!(
            known.contains(&name.as_str()),
            "there is no case {name}, only {}",
            known.join(", ")
        );
    }
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    Ok(all
        .iter()
        .filter(|(name, _)| is_asked(name))
        .map(|(_, case)| *case)
        .collect())
}

/// Milliseconds of a share of the times.
pub fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
    times.get(at).map_or(0.0, Duration::as_secs_f64) * 1e3
}

/// A number in a column: three digits, or all before the point.
pub fn shown(number: f64) -> String {
    match number.abs() {
        n if n >= 100.0 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_keep_their_order_and_unknown_ones_are_told() {
        let all = [("a", 1), ("b", 2), ("c", 3)];
        let asked = |names: &[&str]| chosen(&all, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(asked(&[]).expect("all"), [1, 2, 3]);
        assert_eq!(asked(&["c", "a"]).expect("two"), [1, 3]);
        let error = asked(&["d"]).expect_err("unknown").to_string();
        assert_eq!(error, "there is no case d, only a, b, c");
    }

    #[test]
    fn shares_of_times_and_digits() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 0.5), 51.0);
        assert_eq!(percentile(&mut times, 1.0), 100.0);
        assert_eq!(percentile(&mut [], 0.5), 0.0);
        assert_eq!([0.123, 12.34, 1234.5].map(shown), ["0.12", "12.3", "1234"]);
    }
}
