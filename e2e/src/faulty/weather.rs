//! What goes wrong, and how often.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Asked, Dice};

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with this status code, and with `Retry-After` in seconds, and never reaches the server.
    Refused(u16, Option<u32>),
    /// It reaches the server this much later.
    Late(Duration),
    /// The server does what it was asked, and nobody hears of it: the stream breaks instead of the answer.
    AnswerLost,
    /// The answer ends after so many bytes.
    BrokenOff(usize),
    /// A watch shows so many frames and nothing ever after, while it stays open.
    Frozen(usize),
}

impl Fault {
    /// Whether it can happen to a request of this sort.
    fn suits(self, is_watch: bool) -> bool {
        match self {
            Fault::Refused(..) | Fault::Late(_) | Fault::BrokenOff(_) => true,
            Fault::AnswerLost => !is_watch,
            Fault::Frozen(_) => is_watch,
        }
    }
}

/// Everything that can go wrong: refusals as API servers and load balancers write them, waits that are shorter and longer than
/// any client's patience, answers that get lost, whole or in part.
const EVERY_FAULT: &[Fault] = &[
    Fault::Refused(409, None),
    Fault::Refused(429, Some(1)),
    Fault::Refused(429, None),
    Fault::Refused(500, None),
    Fault::Refused(503, None),
    Fault::Refused(503, Some(1)),
    Fault::Refused(504, None),
    Fault::Late(Duration::from_millis(300)),
    Fault::Late(Duration::from_secs(2)),
    Fault::Late(Duration::from_secs(45)),
    Fault::AnswerLost,
    Fault::AnswerLost,
    Fault::BrokenOff(0),
    Fault::BrokenOff(300),
    Fault::Frozen(0),
    Fault::Frozen(3),
];

/// How often something goes wrong.
#[derive(Debug, Clone)]
pub struct Weather {
    dice: Dice,
    /// One request in so many suffers; none when 0.
    one_in: usize,
    /// The collections of which an object was created, where the answer to the first creation gets lost; `None` where none does.
    created: Option<BTreeSet<String>>,
}

impl Weather {
    /// Nothing goes wrong.
    pub fn calm() -> Self {
        Self {
            dice: Dice::new(0),
            one_in: 0,
            created: None,
        }
    }

    /// The answer to the first creation in every collection gets lost, and watches show nothing of its resource until somebody
    /// asks for one object of it; nothing else goes wrong.
    pub fn forgetful() -> Self {
        Self {
            created: Some(BTreeSet::new()),
            ..Self::calm()
        }
    }

    /// Whether watches are held back.
    pub(super) fn holds(&self) -> bool {
        self.created.is_some()
    }

    /// One request in `one_in` suffers, in any way that it can; which and how follows from the seed.
    pub fn stormy(seed: u64, one_in: usize) -> Self {
        Self {
            dice: Dice::new(seed),
            one_in,
            created: None,
        }
    }

    /// What happens to the next request.
    pub fn next(&mut self, asked: &Asked) -> Option<Fault> {
        if let Some(created) = &mut self.created {
            let is_first = asked.verb == "create" && created.insert(asked.collection());
            return is_first.then_some(Fault::AnswerLost);
        }
        let is_watch = asked.verb == "watch";
        if self.one_in == 0 || !self.dice.once_in(self.one_in) {
            return None;
        }
        let possible: Vec<Fault> = EVERY_FAULT
            .iter()
            .copied()
            .filter(|fault| fault.suits(is_watch))
            .collect();
        self.dice.one_of(&possible).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_happens_to_what_it_suits() {
        let (watched, created) = (
            Asked::new("GET", "/api/v1/pods?watch=1"),
            Asked::new("POST", "/api/v1/pods"),
        );
        let mut weather = Weather::stormy(3, 2);
        let mut seen = Vec::new();
        let mut spared = 0;
        for round in 0..2_000 {
            let is_watch = round % 2 == 0;
            match weather.next(if is_watch { &watched } else { &created }) {
                Some(fault) => {
                    assert!(fault.suits(is_watch), "{fault:?}");
                    seen.push(fault);
                }
                None => spared += 1,
            }
        }
        assert!(EVERY_FAULT.iter().all(|fault| seen.contains(fault)));
        assert!((800..1_200).contains(&spared), "{spared}");
        assert_eq!(Weather::calm().next(&watched), None);
        let mut weather = Weather::forgetful();
        assert_eq!(weather.next(&watched), None);
        assert_eq!(weather.next(&created), Some(Fault::AnswerLost));
        assert_eq!(weather.next(&created), None);
    }
}
