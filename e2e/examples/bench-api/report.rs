//! The tables that are printed, and whether the goals were reached.

use e2e::bench::shown;

use crate::peer::Peer;

/// Numbers of a peer, by column.
pub(crate) struct Line {
    name: &'static str,
    ours: bool,
    numbers: Vec<f64>,
}

impl Line {
    pub(crate) fn of(peer: &Peer, numbers: Vec<f64>) -> Self {
        Self {
            name: peer.name,
            ours: peer.ours,
            numbers,
        }
    }
}

/// What we promise.
struct Goal {
    what: String,
    number: f64,
    most: f64,
}

/// What was measured so far.
#[derive(Default)]
pub(crate) struct Report {
    goals: Vec<Goal>,
}

impl Report {
    pub(crate) fn title(&self, title: &str) {
        println!("\n{title}");
    }

    /// Prints the lines of one measurement and below each peer how many times ours is better: for columns that begin with
    /// `+` more is better, for others less.
    pub(crate) fn table(&self, name: &str, columns: &[&str], lines: &[Line]) {
        print!("  {name:<28}");
        for column in columns {
            print!(" {:>12}", column.trim_start_matches('+'));
        }
        println!();
        let ours = lines.iter().find(|line| line.ours);
        for line in lines {
            row(line.name, line.numbers.iter().map(|number| shown(*number)));
            if let Some(ours) = ours.filter(|_| !line.ours) {
                let pairs = columns.iter().zip(ours.numbers.iter().zip(&line.numbers));
                let ratios = pairs.map(|(column, (ours, other))| match column.starts_with('+') {
                    true => ours / other,
                    false => other / ours,
                });
                // Nothing beside nothing, or beside something, is no ratio.
                let shown = |ratio: f64| {
                    if ratio.is_finite() {
                        format!("x {ratio:.2}")
                    } else {
                        "-".to_string()
                    }
                };
                row("  ours is better by", ratios.map(shown));
            }
        }
    }

    /// Notes a number that must not be more than `most`.
    pub(crate) fn goal(&mut self, what: impl Into<String>, number: f64, most: f64) {
        let what = what.into();
        self.goals.push(Goal { what, number, most });
    }

    /// Prints the goals; whether all were reached.
    pub(crate) fn goals(&self) -> bool {
        println!("\nGoals");
        for Goal { what, number, most } in &self.goals {
            let verdict = if number <= most { "ok" } else { "MISSED" };
            println!("  {what:<60} {:>10} of {:>6}  {verdict}", shown(*number), shown(*most));
        }
        self.goals.iter().all(|goal| goal.number <= goal.most)
    }
}

fn row(name: &str, cells: impl Iterator<Item = String>) {
    print!("    {name:<26}");
    cells.for_each(|cell| print!(" {cell:>12}"));
    println!();
}
