//! Differences between texts in the unified form, with three lines around each. Lines are matched the way of Python's
//! `difflib`, which upstream's messages follow (`pmezard/go-difflib`): the longest common block first, then what is left
//! and right of it; lines that are frequent in a long text do not start a block.

use std::collections::HashMap;
use std::fmt::Write;

const CONTEXT: usize = 3;
/// From this number of lines on, frequent lines are ignored.
const LONG: usize = 200;

/// A block of `length` equal lines.
#[derive(Clone, Copy)]
struct Block {
    before: usize,
    after: usize,
    length: usize,
}

/// What changes from `before` to `after`; empty when nothing does.
pub(crate) fn unified(before: &str, after: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut blocks = Vec::new();
    Matcher::new(&a, &b).collect(0..a.len(), 0..b.len(), &mut blocks);
    blocks.push(Block {
        before: a.len(),
        after: b.len(),
        length: 0,
    });

    let mut changes = Vec::new();
    let (mut i, mut j) = (0, 0);
    for block in blocks {
        if i < block.before || j < block.after {
            changes.push((i..block.before, j..block.after));
        }
        (i, j) = (block.before + block.length, block.after + block.length);
    }
    let mut out = String::new();
    let mut rest = changes.as_slice();
    while !rest.is_empty() {
        let near = |w: &[(std::ops::Range<usize>, _)]| w[1].0.start - w[0].0.end <= 2 * CONTEXT;
        let count = 1 + rest.windows(2).take_while(|w| near(w)).count();
        let (hunk, others) = rest.split_at(count);
        print_hunk(&mut out, &a, &b, hunk);
        rest = others;
    }
    out
}

type Change = (std::ops::Range<usize>, std::ops::Range<usize>);

fn print_hunk(out: &mut String, a: &[&str], b: &[&str], changes: &[Change]) {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else {
        return;
    };
    let lead = first.0.start.min(CONTEXT).min(first.1.start);
    let trail = (a.len() - last.0.end).min(CONTEXT);
    let (from, to) = (first.0.start - lead, last.0.end + trail);
    let (from_b, to_b) = (first.1.start - lead, last.1.end + trail);
    // Writing to a String cannot fail.
    let _ = writeln!(out, "@@ -{} +{} @@", range(from, to), range(from_b, to_b));
    let mut at = from;
    let mut line = |sign: char, text: &str| {
        let _ = writeln!(out, "{sign}{text}");
    };
    for (old, new) in changes {
        a[at..old.start].iter().for_each(|text| line(' ', text));
        a[old.clone()].iter().for_each(|text| line('-', text));
        b[new.clone()].iter().for_each(|text| line('+', text));
        at = old.end;
    }
    a[at..to].iter().for_each(|text| line(' ', text));
}

fn range(from: usize, to: usize) -> String {
    match to - from {
        1 => (from + 1).to_string(),
        0 => format!("{from},0"),
        length => format!("{},{length}", from + 1),
    }
}

struct Matcher<'a> {
    a: &'a [&'a str],
    b: &'a [&'a str],
    /// Where the lines of `b` are that may start a block.
    places: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Matcher<'a> {
    fn new(a: &'a [&'a str], b: &'a [&'a str]) -> Self {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (j, line) in b.iter().enumerate() {
            places.entry(line).or_default().push(j);
        }
        if b.len() >= LONG {
            places.retain(|_, at| at.len() <= b.len() / 100 + 1);
        }
        Matcher { a, b, places }
    }

    /// Adds the blocks within two ranges, in order.
    fn collect(&self, a: std::ops::Range<usize>, b: std::ops::Range<usize>, blocks: &mut Vec<Block>) {
        let block = self.longest(&a, &b);
        if block.length == 0 {
            return;
        }
        self.collect(a.start..block.before, b.start..block.after, blocks);
        match blocks.last_mut() {
            Some(last) if last.before + last.length == block.before && last.after + last.length == block.after => {
                last.length += block.length;
            }
            _ => blocks.push(block),
        }
        self.collect(
            block.before + block.length..a.end,
            block.after + block.length..b.end,
            blocks,
        );
    }

    fn longest(&self, a: &std::ops::Range<usize>, b: &std::ops::Range<usize>) -> Block {
        let mut best = Block {
            before: a.start,
            after: b.start,
            length: 0,
        };
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for i in a.clone() {
            let mut next = HashMap::new();
            for &j in self
                .places
                .get(self.a[i])
                .into_iter()
                .flatten()
                .filter(|j| b.contains(j))
            {
                let length = 1 + j
                    .checked_sub(1)
                    .and_then(|j| lengths.get(&j))
                    .copied()
                    .unwrap_or_default();
                next.insert(j, length);
                if length > best.length {
                    best = Block {
                        before: i + 1 - length,
                        after: j + 1 - length,
                        length,
                    };
                }
            }
            lengths = next;
        }
        // Frequent lines may extend a block.
        while best.before > a.start && best.after > b.start && self.a[best.before - 1] == self.b[best.after - 1] {
            best = Block {
                before: best.before - 1,
                after: best.after - 1,
                length: best.length + 1,
            };
        }
        while best.before + best.length < a.end
            && best.after + best.length < b.end
            && self.a[best.before + best.length] == self.b[best.after + best.length]
        {
            best.length += 1;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hunks_have_three_lines_around() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh";
        assert_eq!(unified(before, before), "");
        assert_eq!(
            unified(before, "a\nb\nc\nd\nX\nf\ng\nh"),
            "@@ -2,7 +2,7 @@\n b\n c\n d\n-e\n+X\n f\n g\n h\n"
        );
        assert_eq!(unified("a", "a\nb"), "@@ -1 +1,2 @@\n a\n+b\n");
        assert_eq!(unified("", "b"), "@@ -0,0 +1 @@\n+b\n");
    }

    proptest! {
        /// Applying the hunks to the first text gives the second.
        #[test]
        fn a_difference_leads_from_one_to_the_other(
            a in proptest::collection::vec("[a-d]", 0..40), b in proptest::collection::vec("[a-d]", 0..40),
        ) {
            let text = unified(&a.join("\n"), &b.join("\n"));
            let (mut out, mut at) = (Vec::new(), 0);
            for line in text.lines() {
                let rest = line.get(1..).unwrap_or_default();
                match line.chars().next() {
                    Some('@') => {
                        let from = rest.split(['-', ',', ' ']).find_map(|n| n.parse::<usize>().ok()).unwrap();
                        let empty = rest.split(' ').nth(1).unwrap().ends_with(",0");
                        let start = if empty { from } else { from - 1 };
                        out.extend_from_slice(&a[at..start]);
                        at = start;
                    }
                    Some('+') => out.push(rest.to_owned()),
                    Some('-') => at += 1,
                    _ => { out.push(a[at].clone()); at += 1; }
                }
            }
            out.extend_from_slice(&a[at..]);
            prop_assert_eq!(out, b);
        }
    }
}
