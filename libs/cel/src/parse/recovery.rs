//! What is said about a malformed text: the parser that ANTLR makes from cel-go's grammar goes on after an error, and every
//! further complaint depends on how. This walks the same network with the same rules (ANTLR's `DefaultErrorStrategy`).

use super::grammar::RESERVED;
use super::lexer::{Lexeme, Token, Unread};
use super::network::{Edge, Network, Rule, StateKind};
use super::source::Issue;
use std::collections::BTreeSet;
use std::rc::Rc;

/// As many attempts to go on are made.
const MAX_ATTEMPTS: usize = 30;
/// Deeper nesting is not walked: the complaint found so far is enough.
const MAX_DEPTH: usize = 2_000;
/// No decision looks further ahead.
const MAX_AHEAD: usize = 256;

/// All complaints about the grammar of a text.
pub(super) fn explain(text: &[char], lexemes: &[Lexeme], unread: &[Unread]) -> Vec<Issue> {
    let mut walk = Walk {
        network: Network::new(),
        text,
        lexemes,
        unread,
        next: 0,
        stack: Vec::new(),
        recovering: false,
        last_error: None,
        attempts: 0,
        issues: Vec::new(),
    };
    walk.rule(Rule::Start, 0);
    walk.issues
}

/// The walk cannot go on within its rule.
enum Failed {
    Mismatch,
    NoWay { from: usize, at: usize },
}

type Tokens = BTreeSet<Token>;

struct Walk<'a> {
    network: Network,
    text: &'a [char],
    lexemes: &'a [Lexeme],
    unread: &'a [Unread],
    next: usize,
    /// Where to go on when the rules around are done, with their precedence; the innermost last.
    stack: Vec<(usize, u8)>,
    recovering: bool,
    /// Where the last error was, and in which states.
    last_error: Option<(usize, BTreeSet<usize>)>,
    attempts: usize,
    issues: Vec<Issue>,
}

/// A place in the network while looking ahead.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    state: usize,
    around: Option<Rc<Around>>,
    way: usize,
    /// Whether the rule in which the decision is made is done.
    left: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Around {
    state: usize,
    precedence: u8,
    around: Option<Rc<Around>>,
}

impl Walk<'_> {
    fn ahead(&self, by: usize) -> Token {
        self.lexemes[(self.next + by).min(self.lexemes.len() - 1)].token
    }

    fn here(&self) -> Lexeme {
        self.lexemes[self.next]
    }

    fn consume(&mut self) {
        self.next = (self.next + 1).min(self.lexemes.len() - 1);
    }

    /// The tokens that may come next in the rule of a state, and whether it may be done.
    fn within(&self, state: usize) -> (Tokens, bool) {
        let mut found = Tokens::new();
        let done = self.follow(state, &mut found, &mut BTreeSet::new());
        (found, done)
    }

    fn follow(&self, state: usize, found: &mut Tokens, seen: &mut BTreeSet<usize>) -> bool {
        if !seen.insert(state) {
            return false;
        }
        if self.network.states[state].kind == StateKind::Stop {
            return true;
        }
        let mut done = false;
        for edge in &self.network.states[state].edges {
            match edge {
                Edge::Free(to) | Edge::Binds(_, to) => done |= self.follow(*to, found, seen),
                Edge::Token(tokens, _) => found.extend(tokens.iter()),
                Edge::Call { rule, back, .. } => {
                    let start = self.network.start(*rule);
                    if self.follow(start, found, &mut BTreeSet::new()) {
                        done |= self.follow(*back, found, seen);
                    }
                }
            }
        }
        done
    }

    /// The tokens that may come next, whatever is around.
    fn expected(&self, state: usize) -> Tokens {
        let (mut found, mut done) = self.within(state);
        for (back, _) in self.stack.iter().rev() {
            if !done {
                return found;
            }
            let (more, further) = self.within(*back);
            found.extend(more);
            done = further;
        }
        if done {
            found.insert(Token::Eof);
        }
        found
    }

    /// The tokens at which one of the rules around can go on.
    fn recovery(&self) -> Tokens {
        self.stack.iter().flat_map(|(back, _)| self.within(*back).0).collect()
    }

    fn complain(&mut self, at: Lexeme, message: String) {
        self.recovering = true;
        self.issues
            .push(Issue::new(at.start, format!("Syntax error: {message}")));
    }

    fn shown(&self, lexeme: Lexeme) -> String {
        match lexeme.token {
            Token::Eof => "'<EOF>'".to_owned(),
            _ => self.quoted(lexeme.start, lexeme.end),
        }
    }

    fn quoted(&self, start: usize, end: usize) -> String {
        let is_read = |at: &usize| !self.unread.iter().any(|part| (part.start..part.end).contains(at));
        let text: String = (start..end)
            .filter(is_read)
            .filter_map(|at| self.text.get(at))
            .collect();
        format!(
            "'{}'",
            text.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
        )
    }

    fn unwanted(&mut self, state: usize) {
        if !self.recovering {
            let message = format!(
                "extraneous input {} expecting {}",
                self.shown(self.here()),
                names(&self.expected(state))
            );
            self.complain(self.here(), message);
        }
    }

    /// Leaves out a token if the next one fits.
    fn delete(&mut self, state: usize) -> bool {
        let fits = self.expected(state).contains(&self.ahead(1));
        if fits {
            self.unwanted(state);
            self.consume();
            self.recovering = false;
        }
        fits
    }

    fn skip_until(&mut self, tokens: &Tokens) {
        while self.ahead(0) != Token::Eof && !tokens.contains(&self.ahead(0)) {
            self.consume();
        }
    }

    /// Called where a way is chosen: what fits no way is passed over.
    fn sync(&mut self, state: usize) -> Result<(), Failed> {
        if self.recovering {
            return Ok(());
        }
        let (tokens, done) = self.within(state);
        if done || tokens.contains(&self.ahead(0)) {
            return Ok(());
        }
        let kind = self.network.states[state].kind;
        match kind {
            StateKind::LoopBack => {
                self.unwanted(state);
                let mut until = self.expected(state);
                until.extend(self.recovery());
                self.skip_until(&until);
                Ok(())
            }
            _ if self.delete(state) => Ok(()),
            _ => Err(Failed::Mismatch),
        }
    }

    /// Names that are kept for other uses are complained about where they stand for a value.
    fn reserved(&mut self) {
        let lexeme = self.here();
        let name: String = self.text[lexeme.start..lexeme.end].iter().collect();
        if RESERVED.contains(&name.as_str()) {
            self.issues
                .push(Issue::new(lexeme.start, format!("reserved identifier: {name}")));
        }
    }

    fn expect(&mut self, within: Rule, tokens: &[Token], state: usize, after: usize) -> Result<(), Failed> {
        if tokens.contains(&self.ahead(0)) {
            self.recovering = false;
            if within == Rule::Primary && self.ahead(0) == Token::Ident {
                self.reserved();
            }
            self.consume();
            return Ok(());
        }
        self.attempts += 1;
        if self.delete(state) {
            self.consume();
            return Ok(());
        }
        if self.expected(after).contains(&self.ahead(0)) {
            if !self.recovering {
                let message = format!(
                    "missing {} at {}",
                    names(&self.expected(state)),
                    self.shown(self.here())
                );
                self.complain(self.here(), message);
            }
            return Ok(());
        }
        Err(Failed::Mismatch)
    }

    /// Walks a rule to its end, or to where the rules around can go on.
    fn rule(&mut self, rule: Rule, precedence: u8) {
        let mut state = self.network.start(rule);
        if let Err(failed) = self.steps(rule, &mut state, precedence) {
            self.report(failed, state);
            self.recover(state);
        }
    }

    fn steps(&mut self, within: Rule, state: &mut usize, precedence: u8) -> Result<(), Failed> {
        while self.network.states[*state].kind != StateKind::Stop {
            if self.attempts > MAX_ATTEMPTS || self.stack.len() > MAX_DEPTH {
                return Ok(());
            }
            let edges = self.network.states[*state].edges.clone();
            let way = if edges.len() > 1 {
                self.sync(*state)?;
                self.choose(*state, precedence)?
            } else {
                0
            };
            match edges.get(way) {
                Some(Edge::Free(to) | Edge::Binds(_, to)) => *state = *to,
                Some(Edge::Token(tokens, to)) => {
                    self.expect(within, tokens, *state, *to)?;
                    *state = *to;
                }
                Some(Edge::Call {
                    rule,
                    precedence: level,
                    back,
                }) => {
                    self.stack.push((*back, precedence));
                    self.rule(*rule, *level);
                    self.stack.pop();
                    *state = *back;
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn report(&mut self, failed: Failed, state: usize) {
        if self.recovering {
            return;
        }
        match failed {
            Failed::Mismatch => {
                let message = format!(
                    "mismatched input {} expecting {}",
                    self.shown(self.here()),
                    names(&self.expected(state))
                );
                self.complain(self.here(), message);
            }
            Failed::NoWay { from, at } => {
                let (from, at) = (self.lexemes[from], self.lexemes[at]);
                let shown = match from.token {
                    Token::Eof => "'<EOF>'".to_owned(),
                    _ => self.quoted(from.start, at.end),
                };
                let keyword = matches!(at.token, Token::True | Token::False | Token::Null)
                    && shown.len() == at.end - at.start + 3;
                let message = if keyword {
                    format!(
                        "mismatched input {} expecting IDENTIFIER",
                        self.quoted(at.start, at.end)
                    )
                } else {
                    format!("no viable alternative at input {shown}")
                };
                self.complain(at, message);
            }
        }
    }

    fn recover(&mut self, state: usize) {
        self.attempts += 1;
        let mut states = match self.last_error.take() {
            Some((at, states)) => {
                if at == self.next && states.contains(&state) {
                    self.consume();
                }
                states
            }
            None => BTreeSet::new(),
        };
        states.insert(state);
        self.last_error = Some((self.next, states));
        let until = self.recovery();
        self.skip_until(&until);
    }

    /// The way that fits what comes; the first of several that do.
    fn choose(&self, state: usize, precedence: u8) -> Result<usize, Failed> {
        let ways = &self.network.states[state].edges;
        if !self.network.states[state].looks_ahead {
            let fits = |edge: &Edge| matches!(edge, Edge::Free(to) if self.within(*to).0.contains(&self.ahead(0)));
            return Ok(ways.iter().position(fits).unwrap_or(ways.len() - 1));
        }
        let around = self.stack.iter().fold(None, |around, (state, precedence)| {
            let (state, precedence) = (*state, *precedence);
            Some(Rc::new(Around {
                state,
                precedence,
                around,
            }))
        });
        let depth = self.stack.len();
        let mut places = BTreeSet::new();
        for (way, edge) in ways.iter().enumerate() {
            if let Edge::Free(to) = edge {
                let place = Place {
                    state: *to,
                    around: around.clone(),
                    way,
                    left: false,
                };
                self.close(place, precedence, depth, &mut places);
            }
        }
        if self.network.states[state].kind != StateKind::Block {
            // What goes on here may as well go on further out: here comes first.
            let going_on: BTreeSet<usize> = places.iter().filter(|p| p.way == 0).map(|p| p.state).collect();
            places.retain(|place| place.way == 0 || !going_on.contains(&place.state));
        }
        for step in 0..MAX_AHEAD {
            if let Some(way) = settled(&places) {
                return Ok(way);
            }
            let token = self.ahead(step);
            let mut reached = BTreeSet::new();
            for place in &places {
                for edge in &self.network.states[place.state].edges {
                    if let Edge::Token(tokens, to) = edge
                        && tokens.contains(&token)
                    {
                        let place = Place {
                            state: *to,
                            ..place.clone()
                        };
                        self.close(place, 0, depth, &mut reached);
                    }
                }
            }
            if reached.is_empty() {
                if let Some(place) = places.iter().filter(|place| place.left).min_by_key(|place| place.way) {
                    return Ok(place.way);
                }
                let at = (self.next + step).min(self.lexemes.len() - 1);
                return Err(Failed::NoWay { from: self.next, at });
            }
            if token == Token::Eof {
                return Ok(reached.iter().map(|place| place.way).min().unwrap_or_default());
            }
            places = reached;
        }
        Ok(places.iter().map(|place| place.way).min().unwrap_or_default())
    }

    /// Adds all places that are reached without a token.
    fn close(&self, place: Place, precedence: u8, depth: usize, found: &mut BTreeSet<Place>) {
        let state = &self.network.states[place.state];
        if state.kind == StateKind::Stop {
            if let Some(around) = place.around.clone() {
                let back = Place {
                    state: around.state,
                    left: place.left || deepness(around.around.as_deref()) < depth,
                    around: around.around.clone(),
                    way: place.way,
                };
                self.close(back, around.precedence, depth, found);
            }
            return;
        }
        for edge in &state.edges {
            match edge {
                Edge::Token(..) => {
                    found.insert(place.clone());
                }
                Edge::Binds(strength, _) if *strength < precedence => {}
                Edge::Free(to) | Edge::Binds(_, to) => {
                    let place = Place {
                        state: *to,
                        ..place.clone()
                    };
                    self.close(place, precedence, depth, found);
                }
                Edge::Call {
                    rule,
                    precedence: level,
                    back,
                } => {
                    let around = Around {
                        state: *back,
                        precedence,
                        around: place.around.clone(),
                    };
                    let place = Place {
                        state: self.network.start(*rule),
                        around: Some(Rc::new(around)),
                        ..place.clone()
                    };
                    self.close(place, *level, depth, found);
                }
            }
        }
    }
}

fn deepness(around: Option<&Around>) -> usize {
    around.map_or(0, |around| 1 + deepness(around.around.as_deref()))
}

/// The way, if no other is left or all that are left go on in the same way.
fn settled(places: &BTreeSet<Place>) -> Option<usize> {
    let ways: BTreeSet<usize> = places.iter().map(|place| place.way).collect();
    if ways.len() == 1 {
        return ways.first().copied();
    }
    let mut by_place: std::collections::BTreeMap<(usize, Option<&Rc<Around>>), BTreeSet<usize>> = Default::default();
    for place in places {
        by_place
            .entry((place.state, place.around.as_ref()))
            .or_default()
            .insert(place.way);
    }
    by_place
        .values()
        .all(|those| *those == ways)
        .then(|| ways.first().copied())
        .flatten()
}

/// A set of tokens, as messages show it.
fn names(tokens: &Tokens) -> String {
    let names: Vec<&str> = tokens.iter().map(|token| token.name()).collect();
    match names.as_slice() {
        [name] => (*name).to_owned(),
        _ => format!("{{{}}}", names.join(", ")),
    }
}
