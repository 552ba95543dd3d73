//! The tables that are printed, and whether the goals were reached.

use crate::peer::{Peer, Program};

/// Which of two numbers is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// What was measured so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    goals: Vec<(String, f64, &'static str, f64, Better)>,
}

/// One line of a table: a peer with its numbers, the first of which is compared.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) peer: Peer,
    pub(crate) numbers: Vec<f64>,
}

impl Report {
    /// Prints the heading of a table.
    pub(crate) fn table(&self, title: &str, columns: &[&str]) {
        print!("\n{title}\n  {:<20} {:>7}", "", "ratio");
        for column in columns {
            print!(" {column:>12}");
        }
        println!();
    }

    /// Prints the lines of one measurement. The ratio says how many times better our store is than the peer, on the same
    /// kind of database.
    pub(crate) fn lines(&self, name: &str, better: Better, lines: &[Line]) {
        println!(" {name}");
        for line in lines {
            let ratio = ratio(better, lines, line).map_or(String::new(), |ratio| format!("{ratio:.2}"));
            print!("  {:<20} {ratio:>7}", line.peer.name);
            for number in &line.numbers {
                print!(" {:>12}", shown(*number));
            }
            println!();
        }
    }

    /// Notes a number we promise, with the bound it has to keep.
    pub(crate) fn goal(&mut self, name: &str, number: f64, unit: &'static str, bound: f64, better: Better) {
        self.goals.push((name.to_owned(), number, unit, bound, better));
    }

    /// Notes the ratio to a peer that we promise, if both were measured.
    pub(crate) fn goal_ratio(&mut self, name: &str, program: Program, better: Better, lines: &[Line], bound: f64) {
        for line in lines.iter().filter(|line| line.peer.program == program) {
            if let Some(ratio) = ratio(better, lines, line) {
                let name = format!("{name}, beside {}", line.peer.name);
                self.goal(&name, ratio, "times", bound, Better::More);
            }
        }
    }

    /// Prints which goals were reached.
    pub(crate) fn goals(&self) {
        println!("\nGoals");
        for (name, number, unit, bound, better) in &self.goals {
            let (reached, relation) = match better {
                Better::More => (number >= bound, "at least"),
                Better::Less => (number <= bound, "at most"),
            };
            let verdict = if reached { "reached" } else { "MISSED" };
            println!(
                "  {verdict:<8} {name}: {} ({relation} {} {unit})",
                shown(*number),
                shown(*bound)
            );
        }
    }
}

fn ratio(better: Better, lines: &[Line], line: &Line) -> Option<f64> {
    let ours = |other: &&Line| other.peer.program == Program::Shim && other.peer.database == line.peer.database;
    let ours = lines.iter().find(ours)?.numbers.first()?;
    let theirs = line.numbers.first()?;
    Some(match better {
        Better::More => ours / theirs,
        Better::Less => theirs / ours,
    })
}

fn shown(number: f64) -> String {
    if number.is_nan() {
        "-".to_owned()
    } else if number == 0.0 || number >= 1000.0 {
        format!("{number:.0}")
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.3}")
    }
}
