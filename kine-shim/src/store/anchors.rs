//! Where in the table a revision's rows are.
//!
//! A row has an identifier of its own. As long as every revision wrote one row, identifier and revision are the same
//! number; each transaction that wrote several rows moves the two apart. The anchors remember where that happened.

/// The places where the distance between row identifiers and revisions changes.
#[derive(Debug, Default)]
pub struct Anchors {
    /// Pairs of a revision and the identifier of its first row, ascending.
    steps: Vec<(i64, i64)>,
    /// The last row seen, as revision and identifier.
    last: (i64, i64),
}

impl Anchors {
    /// Notes a row. Rows must come in the order of their identifiers.
    pub fn push(&mut self, revision: i64, id: i64) {
        let (last_revision, _) = self.last;
        if revision > last_revision && self.stepped(revision) != id {
            self.steps.push((revision, id));
        }
        self.last = (revision, id);
    }

    /// An identifier such that every row of `revision` and later ones is at or after it, and every earlier row before it.
    pub fn first_row(&self, revision: i64) -> i64 {
        if revision > self.last.0 && self.last.0 > 0 {
            // Past the end: the next row comes right after the last one, whichever revision that was.
            return self.last.1.saturating_add(revision.saturating_sub(self.last.0));
        }
        self.stepped(revision)
    }

    fn stepped(&self, revision: i64) -> i64 {
        match self
            .steps
            .partition_point(|(start, _)| *start <= revision)
            .checked_sub(1)
        {
            Some(at) => {
                let (start, id) = self.steps[at];
                id.saturating_add(revision.saturating_sub(start))
            }
            None => revision,
        }
    }

    /// Forgets what only matters for rows before `revision`.
    pub fn prune(&mut self, revision: i64) {
        let keep_from = self
            .steps
            .partition_point(|(start, _)| *start <= revision)
            .saturating_sub(1);
        self.steps.drain(..keep_from);
    }
}

#[cfg(test)]
mod tests {
    use super::Anchors;

    fn anchors(rows: &[(i64, i64)]) -> Anchors {
        let mut anchors = Anchors::default();
        for (revision, id) in rows {
            anchors.push(*revision, *id);
        }
        anchors
    }

    #[test]
    fn one_row_per_revision_needs_no_anchor() {
        let anchors = anchors(&[(1, 1), (2, 2), (3, 3)]);
        assert!(anchors.steps.is_empty());
        assert_eq!(anchors.first_row(2), 2);
        assert_eq!(anchors.first_row(4), 4);
    }

    #[test]
    fn several_rows_at_one_revision_shift_what_follows() {
        let anchors = anchors(&[(1, 1), (2, 2), (2, 3), (2, 4), (3, 5), (4, 6), (4, 7), (5, 8)]);
        for (revision, id) in [(1, 1), (2, 2), (3, 5), (4, 6), (5, 8), (6, 9)] {
            assert_eq!(anchors.first_row(revision), id, "revision {revision}");
        }
    }

    #[test]
    fn rows_removed_by_compaction_leave_a_valid_lower_bound() {
        // Revisions 2 to 4 wrote rows 2 to 6, of which only row 6 is left.
        let anchors = anchors(&[(1, 1), (4, 6), (5, 7)]);
        let first = anchors.first_row(3);
        assert!(first > 1 && first <= 6);
        assert_eq!(anchors.first_row(5), 7);
    }

    #[test]
    fn pruning_keeps_what_later_revisions_need() {
        let mut anchors = anchors(&[(1, 1), (2, 2), (2, 3), (3, 4), (4, 5), (4, 6), (5, 7)]);
        anchors.prune(4);
        assert_eq!(anchors.first_row(4), 5);
        assert_eq!(anchors.first_row(5), 7);
    }
}
