//! The order of revisions, as the answers tell it and as a watcher sees it, explains every answer.

use super::history::{Ask, Events, History, State, Told, apply};

/// Holds the answers against what changed at each revision after `first`.
pub(super) fn check(history: &History, first: i64, events: &Events) -> Result<(), String> {
    let newest = states(history, first, events)?;
    placed(history, &newest, first)?;
    in_time(history)?;
    explained(history, events)
}

/// The state at `first` and after each revision that follows; there are no gaps.
fn states(history: &History, first: i64, events: &Events) -> Result<Vec<State>, String> {
    let mut states = vec![history.before.clone()];
    for (revision, changes) in events {
        if *revision != first + states.len() as i64 {
            return Err(format!(
                "revision {revision} comes after {}",
                first + states.len() as i64 - 1
            ));
        }
        let mut state = states.last().cloned().unwrap_or_default();
        for (key, value) in changes {
            match value {
                Some(value) => state.insert(*key, *value),
                None => state.remove(key),
            };
        }
        states.push(state);
    }
    Ok(states)
}

/// Whether a call that was answered so has a revision of its own.
fn writes(told: &Told) -> bool {
    matches!(told, Told::Done | Told::Deleted(true) | Told::Swapped(true))
}

/// Every answer is right at its revision: a write changes the state before into the one after.
fn placed(history: &History, states: &[State], first: i64) -> Result<(), String> {
    for call in &history.calls {
        let Some((_, told, revision)) = &call.returned else {
            continue;
        };
        let at = usize::try_from(revision - first).map_err(|_| format!("{call:?} has a revision from before"))?;
        let after = states
            .get(at)
            .ok_or_else(|| format!("{call:?} has a revision that never was"))?;
        if !writes(told) {
            if apply(call.ask, &mut after.clone()) != *told {
                return Err(format!("{call:?} is not what revision {revision} says: {after:?}"));
            }
            continue;
        }
        let before = at.checked_sub(1).and_then(|before| states.get(before));
        let mut state = before
            .ok_or_else(|| format!("{call:?} has a revision from before"))?
            .clone();
        if apply(call.ask, &mut state) != *told || state != *after {
            return Err(format!("{call:?} does not lead to revision {revision}: {after:?}"));
        }
    }
    Ok(())
}

/// What began after an answer came is not earlier in the order, and a write is later.
fn in_time(history: &History) -> Result<(), String> {
    let mut begun: Vec<_> = history
        .calls
        .iter()
        .filter_map(|call| {
            call.returned
                .as_ref()
                .map(|(_, told, revision)| (call, told, *revision))
        })
        .collect();
    begun.sort_by_key(|(call, ..)| call.called);
    let mut ended: Vec<_> = history
        .calls
        .iter()
        .filter_map(|call| {
            call.returned
                .as_ref()
                .map(|(returned, _, revision)| (*returned, *revision))
        })
        .collect();
    ended.sort_unstable();
    let (mut at, mut newest) = (0, 0);
    for (call, told, revision) in begun {
        while at < ended.len() && ended[at].0 < call.called {
            newest = newest.max(ended[at].1);
            at += 1;
        }
        if revision < newest || writes(told) && revision == newest {
            return Err(format!("{call:?} came after revision {newest} was known"));
        }
    }
    Ok(())
}

/// Every change was asked for, and no call happened twice.
fn explained(history: &History, events: &Events) -> Result<(), String> {
    let mut owners: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
    for call in &history.calls {
        if let Some((_, told, revision)) = call.returned.as_ref().filter(|(_, told, _)| writes(told))
            && owners.insert(*revision, call.client).is_some()
        {
            return Err(format!("two calls have revision {revision}, one is told {told:?}"));
        }
    }
    let mut unanswered: Vec<_> = history.calls.iter().filter(|call| call.returned.is_none()).collect();
    for (revision, changes) in events.iter().filter(|(revision, _)| !owners.contains_key(revision)) {
        let made = |ask: Ask| {
            let changed = |key: usize, value: Option<usize>| changes.get(&key) == Some(&value);
            match ask {
                Ask::Get(_) | Ask::List => false,
                Ask::Put(key, value) | Ask::Swap(key, _, value) => changes.len() == 1 && changed(key, Some(value)),
                Ask::Delete(key) => changes.len() == 1 && changed(key, None),
                Ask::PutTwo(key, one, two) => {
                    changes.len() == 2
                        && changed(key, Some(one))
                        && changed((key + 1) % super::history::KEYS, Some(two))
                }
            }
        };
        let Some(at) = unanswered.iter().position(|call| made(call.ask)) else {
            return Err(format!(
                "nobody asked for what revision {revision} changes: {changes:?}"
            ));
        };
        unanswered.swap_remove(at);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    use super::{super::history::Call, *};

    fn history(calls: &[(Ask, Told, i64)]) -> History {
        let start = Instant::now();
        let at = |millis: usize| start + Duration::from_millis(millis as u64);
        let calls = calls.iter().enumerate().map(|(number, (ask, told, revision))| Call {
            client: 0,
            ask: *ask,
            called: at(10 * number),
            returned: Some((at(10 * number + 5), told.clone(), *revision)),
        });
        History {
            before: State::new(),
            calls: calls.collect(),
        }
    }

    fn events(changes: &[(i64, usize, Option<usize>)]) -> Events {
        changes
            .iter()
            .map(|(revision, key, value)| (*revision, BTreeMap::from([(*key, *value)])))
            .collect()
    }

    #[test]
    fn a_serial_history_is_right_and_its_faults_are_found() {
        let told = events(&[(2, 0, Some(5)), (3, 0, None)]);
        let put = (Ask::Put(0, 5), Told::Done, 2);
        let get = (Ask::Get(0), Told::Value(Some(5)), 2);
        let delete = (Ask::Delete(0), Told::Deleted(true), 3);
        let right = [put.clone(), get.clone(), delete.clone()];
        assert_eq!(check(&history(&right), 1, &told), Ok(()));
        // A read from the past, although its value is that of its revision.
        let stale = [put.clone(), delete.clone(), get.clone()];
        assert!(check(&history(&stale), 1, &told).is_err());
        let twice = [put.clone(), put.clone(), delete.clone()];
        assert!(check(&history(&twice), 1, &told).is_err());
        let unasked = [put.clone(), get];
        assert!(check(&history(&unasked), 1, &told).is_err());
        let gap = events(&[(2, 0, Some(5)), (4, 0, None)]);
        assert!(check(&history(std::slice::from_ref(&put)), 1, &gap).is_err());
        let lost = (Ask::Put(0, 6), Told::Done, 3);
        assert!(check(&history(&[put, lost]), 1, &told).is_err());
    }
}
