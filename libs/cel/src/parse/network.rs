//! cel-go's grammar as a network of states, as ANTLR sees it: what may follow where, and how far one must look ahead.

use super::lexer::Token::{self, *};

/// The rules of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    Start,
    Expr,
    ConditionalOr,
    ConditionalAnd,
    Relation,
    Calc,
    Unary,
    Member,
    Primary,
    ExprList,
    ListInit,
    FieldInitializers,
    OptField,
    MapInitializers,
    EscapeIdent,
    OptExpr,
    Literal,
}

/// A piece of a rule.
enum Piece {
    /// One of some tokens.
    One(&'static [Token]),
    /// Another rule, at a level of precedence.
    Rule(Rule, u8),
    All(Vec<Piece>),
    Maybe(Box<Piece>),
    /// Any number of times.
    Many(Box<Piece>),
    /// At least once.
    Some(Box<Piece>),
    Either(Vec<Piece>),
    /// A way to go on that binds this tightly.
    Binds(u8, Box<Piece>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateKind {
    Basic,
    /// Where a way is chosen: [`State::edges`] in their order.
    Block,
    LoopEntry,
    LoopBack,
    Stop,
}

#[derive(Debug, Clone)]
pub(super) enum Edge {
    Free(usize),
    /// Open only where the level of precedence allows it.
    Binds(u8, usize),
    Token(&'static [Token], usize),
    Call {
        rule: Rule,
        precedence: u8,
        back: usize,
    },
}

#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) kind: StateKind,
    /// Whether one token is not enough to choose a way.
    pub(super) looks_ahead: bool,
    pub(super) edges: Vec<Edge>,
}

pub(super) struct Network {
    pub(super) states: Vec<State>,
    starts: Vec<usize>,
    loops_look_ahead: bool,
}

const COMPARISONS: &[Token] = &[Less, LessEquals, GreaterEquals, Greater, Equals, NotEquals, In];
/// All rules, in the order of [`Rule`].
const RULES: [Rule; 17] = [
    Rule::Start,
    Rule::Expr,
    Rule::ConditionalOr,
    Rule::ConditionalAnd,
    Rule::Relation,
    Rule::Calc,
    Rule::Unary,
    Rule::Member,
    Rule::Primary,
    Rule::ExprList,
    Rule::ListInit,
    Rule::FieldInitializers,
    Rule::OptField,
    Rule::MapInitializers,
    Rule::EscapeIdent,
    Rule::OptExpr,
    Rule::Literal,
];

/// The rules in which what goes on and what follows may start with the same token.
const LOOK_AHEAD: [Rule; 7] = [
    Rule::Relation,
    Rule::Calc,
    Rule::Unary,
    Rule::Member,
    Rule::ListInit,
    Rule::FieldInitializers,
    Rule::MapInitializers,
];

fn rule(rule: Rule) -> Piece {
    Piece::Rule(rule, 0)
}

fn maybe(piece: Piece) -> Piece {
    Piece::Maybe(Box::new(piece))
}

fn many(piece: Piece) -> Piece {
    Piece::Many(Box::new(piece))
}

fn binds(strength: u8, pieces: Vec<Piece>) -> Piece {
    Piece::Binds(strength, Box::new(Piece::All(pieces)))
}

fn body(of: Rule) -> Piece {
    use Piece::{All, Either, One, Some};
    let listed = |pieces: fn() -> Vec<Piece>| {
        let mut all = pieces();
        let mut more = vec![One(&[Comma])];
        more.extend(pieces());
        all.push(many(All(more)));
        All(all)
    };
    let chain = |token: &'static [Token], of: Rule| All(vec![rule(of), many(All(vec![One(token), rule(of)]))]);
    match of {
        Rule::Start => All(vec![rule(Rule::Expr), One(&[Eof])]),
        Rule::Expr => All(vec![
            rule(Rule::ConditionalOr),
            maybe(All(vec![
                One(&[Question]),
                rule(Rule::ConditionalOr),
                One(&[Colon]),
                rule(Rule::Expr),
            ])),
        ]),
        Rule::ConditionalOr => chain(&[Or], Rule::ConditionalAnd),
        Rule::ConditionalAnd => chain(&[And], Rule::Relation),
        Rule::Relation => All(vec![
            rule(Rule::Calc),
            many(binds(1, vec![One(COMPARISONS), Piece::Rule(Rule::Relation, 2)])),
        ]),
        Rule::Calc => All(vec![
            rule(Rule::Unary),
            many(Either(vec![
                binds(2, vec![One(&[Star, Slash, Percent]), Piece::Rule(Rule::Calc, 3)]),
                binds(1, vec![One(&[Minus, Plus]), Piece::Rule(Rule::Calc, 2)]),
            ])),
        ]),
        Rule::Unary => Either(vec![
            rule(Rule::Member),
            All(vec![Some(Box::new(One(&[Exclamation]))), rule(Rule::Member)]),
            All(vec![Some(Box::new(One(&[Minus]))), rule(Rule::Member)]),
        ]),
        Rule::Member => All(vec![
            rule(Rule::Primary),
            many(Either(vec![
                binds(3, vec![One(&[Dot]), maybe(One(&[Question])), rule(Rule::EscapeIdent)]),
                binds(
                    2,
                    vec![
                        One(&[Dot]),
                        One(&[Ident]),
                        One(&[LeftParen]),
                        maybe(rule(Rule::ExprList)),
                        One(&[RightParen]),
                    ],
                ),
                binds(
                    1,
                    vec![
                        One(&[LeftBracket]),
                        maybe(One(&[Question])),
                        rule(Rule::Expr),
                        One(&[RightBracket]),
                    ],
                ),
            ])),
        ]),
        Rule::Primary => Either(vec![
            All(vec![maybe(One(&[Dot])), One(&[Ident])]),
            All(vec![
                maybe(One(&[Dot])),
                One(&[Ident]),
                One(&[LeftParen]),
                maybe(rule(Rule::ExprList)),
                One(&[RightParen]),
            ]),
            All(vec![One(&[LeftParen]), rule(Rule::Expr), One(&[RightParen])]),
            All(vec![
                One(&[LeftBracket]),
                maybe(rule(Rule::ListInit)),
                maybe(One(&[Comma])),
                One(&[RightBracket]),
            ]),
            All(vec![
                One(&[LeftBrace]),
                maybe(rule(Rule::MapInitializers)),
                maybe(One(&[Comma])),
                One(&[RightBrace]),
            ]),
            All(vec![
                maybe(One(&[Dot])),
                One(&[Ident]),
                many(All(vec![One(&[Dot]), One(&[Ident])])),
                One(&[LeftBrace]),
                maybe(rule(Rule::FieldInitializers)),
                maybe(One(&[Comma])),
                One(&[RightBrace]),
            ]),
            rule(Rule::Literal),
        ]),
        Rule::ExprList => listed(|| vec![rule(Rule::Expr)]),
        Rule::ListInit => listed(|| vec![rule(Rule::OptExpr)]),
        Rule::FieldInitializers => listed(|| vec![rule(Rule::OptField), One(&[Colon]), rule(Rule::Expr)]),
        Rule::OptField => All(vec![maybe(One(&[Question])), rule(Rule::EscapeIdent)]),
        Rule::MapInitializers => listed(|| vec![rule(Rule::OptExpr), One(&[Colon]), rule(Rule::Expr)]),
        Rule::EscapeIdent => Either(vec![One(&[Ident]), One(&[EscapedIdent])]),
        Rule::OptExpr => All(vec![maybe(One(&[Question])), rule(Rule::Expr)]),
        Rule::Literal => Either(vec![
            All(vec![maybe(One(&[Minus])), One(&[Int])]),
            One(&[Uint]),
            All(vec![maybe(One(&[Minus])), One(&[Float])]),
            One(&[Token::String]),
            One(&[Bytes]),
            One(&[True]),
            One(&[False]),
            One(&[Null]),
        ]),
    }
}

impl Network {
    pub(super) fn new() -> Network {
        let mut network = Network {
            states: Vec::new(),
            starts: Vec::new(),
            loops_look_ahead: false,
        };
        for rule in RULES {
            let start = network.state(StateKind::Basic);
            network.starts.push(start);
            network.loops_look_ahead = LOOK_AHEAD.contains(&rule);
            let end = network.lay(&body(rule), start);
            let stop = network.state(StateKind::Stop);
            network.join(end, stop);
        }
        network
    }

    pub(super) fn start(&self, rule: Rule) -> usize {
        self.starts[rule as usize]
    }

    fn state(&mut self, kind: StateKind) -> usize {
        self.states.push(State {
            kind,
            looks_ahead: false,
            edges: Vec::new(),
        });
        self.states.len() - 1
    }

    fn join(&mut self, from: usize, to: usize) {
        self.states[from].edges.push(Edge::Free(to));
    }

    /// A new state of a kind, reached from another.
    fn then(&mut self, from: usize, kind: StateKind) -> usize {
        let state = self.state(kind);
        self.join(from, state);
        state
    }

    /// Adds a piece behind a state, whose end it returns.
    fn lay(&mut self, piece: &Piece, from: usize) -> usize {
        match piece {
            Piece::One(tokens) => {
                let from = self.then(from, StateKind::Basic);
                let to = self.state(StateKind::Basic);
                self.states[from].edges.push(Edge::Token(tokens, to));
                to
            }
            Piece::Rule(rule, precedence) => {
                let from = self.then(from, StateKind::Basic);
                let back = self.state(StateKind::Basic);
                self.states[from].edges.push(Edge::Call {
                    rule: *rule,
                    precedence: *precedence,
                    back,
                });
                back
            }
            Piece::All(pieces) => pieces.iter().fold(from, |from, piece| self.lay(piece, from)),
            Piece::Binds(strength, piece) => {
                let from = self.then(from, StateKind::Basic);
                let to = self.state(StateKind::Basic);
                self.states[from].edges.push(Edge::Binds(*strength, to));
                self.lay(piece, to)
            }
            Piece::Maybe(piece) => {
                let block = self.then(from, StateKind::Block);
                let way = self.then(block, StateKind::Basic);
                let end = self.lay(piece, way);
                let after = self.then(end, StateKind::Basic);
                self.join(block, after);
                after
            }
            Piece::Either(pieces) => {
                let block = self.then(from, StateKind::Block);
                self.states[block].looks_ahead = true;
                let after = self.state(StateKind::Basic);
                for piece in pieces {
                    let way = self.then(block, StateKind::Basic);
                    let end = self.lay(piece, way);
                    self.join(end, after);
                }
                after
            }
            Piece::Many(piece) => {
                let entry = self.then(from, StateKind::LoopEntry);
                let way = self.then(entry, StateKind::Basic);
                let end = self.lay(piece, way);
                let back = self.then(end, StateKind::LoopBack);
                let after = self.then(entry, StateKind::Basic);
                self.states[entry].looks_ahead = self.loops_look_ahead;
                self.states[back].looks_ahead = self.loops_look_ahead;
                // The same ways as at the entry.
                self.join(back, way);
                self.join(back, after);
                after
            }
            Piece::Some(piece) => {
                let block = self.then(from, StateKind::Block);
                let way = self.then(block, StateKind::Basic);
                let end = self.lay(piece, way);
                let back = self.then(end, StateKind::LoopBack);
                self.states[back].looks_ahead = self.loops_look_ahead;
                self.join(back, way);
                self.then(back, StateKind::Basic)
            }
        }
    }
}
