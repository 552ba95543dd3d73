//! A serial order, found by trying (Wing and Gong 1993; Lowe 2017), from calls, answers and times alone.
//!
//! Whichever call comes next in the order must have begun before every call that is not in it yet has returned. Each such
//! call is tried: if it answers what the client was told, the rest follows from the state it leaves. What has been tried, as
//! calls in the order and state after them, leads nowhere a second time. A call without an answer may come at any time after
//! it began, or never.

use std::collections::HashSet;

use super::history::{Call, History, State, apply};

/// Finds an order, or the most calls that one could be found for.
pub(super) fn check(history: &History) -> Result<(), String> {
    let mut calls: Vec<&Call> = history.calls.iter().collect();
    calls.sort_by_key(|call| call.called);
    let answered = calls.iter().filter(|call| call.returned.is_some()).count();
    let mut tried: HashSet<(Vec<u64>, State)> = HashSet::new();
    let mut stack = vec![(vec![0_u64; calls.len().div_ceil(64)], history.before.clone(), 0)];
    let mut best = 0;
    while let Some((taken, state, count)) = stack.pop() {
        best = best.max(count);
        if count == answered {
            return Ok(());
        }
        let is_taken = |at: usize| taken[at / 64] & (1 << (at % 64)) != 0;
        let waiting = || (0..calls.len()).filter(|at| !is_taken(*at));
        let first_return = waiting()
            .filter_map(|at| calls[at].returned.as_ref().map(|(returned, ..)| *returned))
            .min();
        for at in waiting() {
            let call = calls[at];
            if first_return.is_some_and(|returned| call.called > returned) {
                break;
            }
            let mut state = state.clone();
            let told = apply(call.ask, &mut state);
            let mut count = count;
            if let Some((_, expected, _)) = &call.returned {
                if told != *expected {
                    continue;
                }
                count += 1;
            }
            let mut taken = taken.clone();
            taken[at / 64] |= 1 << (at % 64);
            if tried.insert((taken.clone(), state.clone())) {
                stack.push((taken, state, count));
            }
        }
    }
    Err(format!("at most {best} of {answered} answers fit together"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{
        super::history::{Ask, Told},
        *,
    };

    /// Calls as client, question, answer, and times.
    fn history(calls: &[(usize, Ask, Option<Told>, u64, u64)]) -> History {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let calls = calls.iter().map(|(client, ask, told, called, returned)| Call {
            client: *client,
            ask: *ask,
            called: at(*called),
            returned: told.clone().map(|told| (at(*returned), told, 0)),
        });
        History {
            before: State::new(),
            calls: calls.collect(),
        }
    }

    #[test]
    fn what_overlaps_may_come_in_any_order() {
        let reads = |value| {
            history(&[
                (0, Ask::Put(0, 1), Some(Told::Done), 0, 10),
                (1, Ask::Put(0, 2), Some(Told::Done), 0, 10),
                (2, Ask::Get(0), Some(Told::Value(Some(value))), 20, 30),
            ])
        };
        assert_eq!(check(&reads(1)), Ok(()));
        assert_eq!(check(&reads(2)), Ok(()));
        assert!(check(&reads(3)).is_err());
    }

    #[test]
    fn a_stale_read_is_found() {
        let stale = history(&[
            (0, Ask::Put(0, 1), Some(Told::Done), 0, 10),
            (0, Ask::Put(0, 2), Some(Told::Done), 20, 30),
            (1, Ask::Get(0), Some(Told::Value(Some(1))), 40, 50),
        ]);
        assert!(check(&stale).is_err());
    }

    #[test]
    fn two_readers_agree_on_the_order() {
        let disagree = history(&[
            (0, Ask::Put(0, 1), Some(Told::Done), 0, 100),
            (1, Ask::Get(0), Some(Told::Value(Some(1))), 10, 20),
            (2, Ask::Get(0), Some(Told::Value(None)), 30, 40),
        ]);
        assert!(check(&disagree).is_err());
    }

    #[test]
    fn a_call_without_an_answer_may_have_happened_late_or_never() {
        let seen = |first: Option<usize>, second: Option<usize>| {
            history(&[
                (0, Ask::Put(0, 1), None, 0, 0),
                (1, Ask::Get(0), Some(Told::Value(first)), 10, 20),
                (1, Ask::Get(0), Some(Told::Value(second)), 30, 40),
            ])
        };
        assert_eq!(check(&seen(None, None)), Ok(()));
        assert_eq!(check(&seen(None, Some(1))), Ok(()));
        assert_eq!(check(&seen(Some(1), Some(1))), Ok(()));
        assert!(check(&seen(Some(1), None)).is_err());
    }

    #[test]
    fn only_one_swap_of_a_value_wins() {
        let both = history(&[
            (0, Ask::Put(0, 1), Some(Told::Done), 0, 10),
            (1, Ask::Swap(0, 1, 2), Some(Told::Swapped(true)), 20, 40),
            (2, Ask::Swap(0, 1, 3), Some(Told::Swapped(true)), 20, 40),
        ]);
        assert!(check(&both).is_err());
    }
}
