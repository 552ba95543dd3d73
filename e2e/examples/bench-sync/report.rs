//! What was measured, and whether the goals were reached.

use std::collections::HashMap;

use e2e::bench::shown;

/// What was measured so far.
#[derive(Default)]
pub(crate) struct Report {
    goals: Vec<(String, f64, f64)>,
    kept: HashMap<&'static str, f64>,
}

impl Report {
    pub(crate) fn title(&self, title: &str) {
        println!("\n{title}");
    }

    /// Prints a number for which there is no goal.
    pub(crate) fn number(&self, what: &str, number: f64) {
        println!("  {what:<60} {:>10}", shown(number));
    }

    /// Prints a number that must not be more than `most`.
    pub(crate) fn goal(&mut self, what: &str, number: f64, most: f64) {
        println!("  {what:<60} {:>10} of {:>6}", shown(number), shown(most));
        self.goals.push((what.to_string(), number, most));
    }

    /// Keeps a number for a later case.
    pub(crate) fn keep(&mut self, name: &'static str, number: f64) {
        self.kept.insert(name, number);
    }

    /// What an earlier case kept, if it was chosen.
    pub(crate) fn kept(&self, name: &str) -> Option<f64> {
        self.kept.get(name).copied()
    }

    /// Prints what was missed; whether that is nothing.
    pub(crate) fn goals(&self) -> bool {
        let missed: Vec<_> = self.goals.iter().filter(|(_, number, most)| number > most).collect();
        println!(
            "\n{} of {} goals reached",
            self.goals.len() - missed.len(),
            self.goals.len()
        );
        for (what, number, most) in &missed {
            println!("  MISSED {what:<60} {:>10} of {:>6}", shown(*number), shown(*most));
        }
        missed.is_empty()
    }
}
