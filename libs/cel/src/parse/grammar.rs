//! The grammar of well-formed expressions, by recursive descent. It stops at the first token that does not fit: what is said
//! about a malformed text is found out elsewhere.

use super::lexer::{Lexeme, Token};
use super::source::Issue;
use super::{Syntax, literal, macros};
use crate::ast::{Call, Expr, Kind, List, Literal, MapEntry, Select, Struct, StructField, operators as op};

/// How often one rule of the grammar may be within itself.
const MAX_DEPTH: usize = 250;
/// Names that are kept for other uses of the language.
pub const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// An expression, with what is wrong beyond grammar in all that was read of it.
pub(super) struct Parsed {
    pub(super) expr: Result<Expr, Stop>,
    pub(super) issues: Vec<Issue>,
}

/// Why no expression was found.
pub(super) enum Stop {
    Malformed,
    TooDeep(Issue),
}

pub(super) fn parse(text: &[char], lexemes: &[Lexeme], syntax: Syntax) -> Parsed {
    let mut parser = Parser {
        text,
        lexemes,
        next: 0,
        depth: 0,
        ids: 0,
        syntax,
        issues: Vec::new(),
    };
    let expr = parser.expr().and_then(|expr| match parser.peek() {
        Token::Eof => Ok(expr),
        _ => Err(Stop::Malformed),
    });
    Parsed {
        expr,
        issues: parser.issues,
    }
}

pub(super) struct Parser<'a> {
    text: &'a [char],
    lexemes: &'a [Lexeme],
    next: usize,
    depth: usize,
    ids: u32,
    pub(super) syntax: Syntax,
    pub(super) issues: Vec<Issue>,
}

type Step<T> = Result<T, Stop>;

impl Parser<'_> {
    fn peek(&self) -> Token {
        self.lexemes[self.next].token
    }

    /// Takes the next token; the last one is never passed.
    fn take(&mut self) -> Lexeme {
        let lexeme = self.lexemes[self.next];
        self.next = (self.next + 1).min(self.lexemes.len() - 1);
        lexeme
    }

    fn take_if(&mut self, token: Token) -> Option<Lexeme> {
        (self.peek() == token).then(|| self.take())
    }

    fn expect(&mut self, token: Token) -> Step<Lexeme> {
        self.take_if(token).ok_or(Stop::Malformed)
    }

    fn text_of(&self, lexeme: Lexeme) -> String {
        self.text[lexeme.start..lexeme.end].iter().collect()
    }

    pub(super) fn node(&mut self, at: usize, kind: Kind) -> Expr {
        self.ids += 1;
        Expr { id: self.ids, at, kind }
    }

    pub(super) fn call(&mut self, at: usize, function: &str, args: Vec<Expr>) -> Expr {
        let call = Call {
            target: None,
            function: function.to_owned(),
            args,
        };
        self.node(at, Kind::Call(call))
    }

    fn complain(&mut self, at: usize, message: impl Into<String>) -> Expr {
        self.issues.push(Issue::new(at, message));
        self.node(at, Kind::Broken)
    }

    fn deeper(&mut self, by: usize) -> Step<()> {
        self.depth += by;
        if self.depth > MAX_DEPTH {
            let message = format!("expression recursion limit exceeded: {MAX_DEPTH}");
            return Err(Stop::TooDeep(Issue::general(message)));
        }
        Ok(())
    }

    fn expr(&mut self) -> Step<Expr> {
        self.deeper(1)?;
        let condition = self.logic(op::OR, Token::Or)?;
        let expr = match self.take_if(Token::Question) {
            None => condition,
            Some(mark) => {
                let yes = self.logic(op::OR, Token::Or)?;
                self.expect(Token::Colon)?;
                let no = self.expr()?;
                self.call(mark.start, op::CONDITIONAL, vec![condition, yes, no])
            }
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// A chain of `||` or `&&`, as a balanced tree so that long ones stay shallow.
    fn logic(&mut self, function: &str, token: Token) -> Step<Expr> {
        let mut terms = Vec::new();
        let mut places = Vec::new();
        loop {
            terms.push(match token {
                Token::Or => self.logic(op::AND, Token::And)?,
                _ => self.binary(0)?,
            });
            match self.take_if(token) {
                Some(lexeme) => places.push(lexeme.start),
                None => break,
            }
        }
        Ok(self.balance(function, terms, &places))
    }

    fn balance(&mut self, function: &str, mut terms: Vec<Expr>, places: &[usize]) -> Expr {
        let Some(last) = terms.len().checked_sub(1).filter(|last| *last > 0) else {
            return terms.pop().unwrap_or(Expr {
                id: 0,
                at: 0,
                kind: Kind::Broken,
            });
        };
        let middle = last / 2;
        let right = terms.split_off(middle + 1);
        let left = self.balance(function, terms, &places[..middle]);
        let right = self.balance(function, right, &places[middle + 1..]);
        self.call(places[middle], function, vec![left, right])
    }

    /// Comparisons, sums and products, those that bind tighter first.
    fn binary(&mut self, minimum: u8) -> Step<Expr> {
        let mut left = self.unary()?;
        let mut chained = 0;
        while let Some((function, strength)) = infix(self.peek()).filter(|(_, strength)| *strength >= minimum) {
            self.deeper(1)?;
            chained += 1;
            let place = self.take().start;
            let right = self.binary(strength + 1)?;
            left = self.call(place, function, vec![left, right]);
        }
        self.depth -= chained;
        Ok(left)
    }

    fn unary(&mut self) -> Step<Expr> {
        let start = self.next;
        let (token, function) = match self.peek() {
            Token::Exclamation => (Token::Exclamation, op::NOT),
            Token::Minus => (Token::Minus, op::NEGATE),
            _ => return self.member(),
        };
        while self.take_if(token).is_some() {}
        let count = self.next - start;
        if token == Token::Minus && count == 1 && matches!(self.peek(), Token::Int | Token::Float) {
            // A single sign belongs to the number.
            self.next = start;
            return self.member();
        }
        let target = self.member()?;
        if count.is_multiple_of(2) {
            return Ok(target);
        }
        Ok(self.call(self.lexemes[start].start, function, vec![target]))
    }

    fn member(&mut self) -> Step<Expr> {
        let mut expr = self.primary()?;
        let mut chained = 0;
        loop {
            expr = match self.peek() {
                Token::Dot => self.selection(expr)?,
                Token::LeftBracket => {
                    let open = self.take().start;
                    let function = match self.take_if(Token::Question) {
                        Some(_) => op::OPTIONAL_INDEX,
                        None => op::INDEX,
                    };
                    let index = self.expr()?;
                    self.expect(Token::RightBracket)?;
                    self.call(open, function, vec![expr, index])
                }
                _ => break,
            };
            self.deeper(1)?;
            chained += 1;
        }
        self.depth -= chained;
        Ok(expr)
    }

    fn selection(&mut self, operand: Expr) -> Step<Expr> {
        let dot = self.take().start;
        let optional = self.take_if(Token::Question).is_some();
        let name = self.field_name()?;
        if !optional && self.lexemes[self.next - 1].token == Token::Ident && self.peek() == Token::LeftParen {
            let open = self.take().start;
            let args = self.arguments()?;
            return Ok(self.call_or_macro(open, &name.text, Some(operand), args));
        }
        if name.escaped {
            self.issues.push(Issue::new(name.at, "unsupported syntax: '`'"));
        }
        if optional {
            let field = self.node(name.at, Kind::Literal(Literal::String(name.text)));
            return Ok(self.call(dot, op::OPTIONAL_SELECT, vec![operand, field]));
        }
        let select = Select {
            operand: Box::new(operand),
            field: name.text,
            test: false,
        };
        Ok(self.node(dot, Kind::Select(select)))
    }

    fn field_name(&mut self) -> Step<FieldName> {
        let escaped = self.peek() == Token::EscapedIdent;
        let lexeme = match self.take_if(Token::EscapedIdent) {
            Some(lexeme) => lexeme,
            None => self.expect(Token::Ident)?,
        };
        Ok(FieldName {
            at: lexeme.start,
            text: self.text_of(lexeme),
            escaped,
        })
    }

    fn arguments(&mut self) -> Step<Vec<Expr>> {
        let mut args = Vec::new();
        if self.take_if(Token::RightParen).is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr()?);
            if self.take_if(Token::Comma).is_none() {
                self.expect(Token::RightParen)?;
                return Ok(args);
            }
        }
    }

    fn call_or_macro(&mut self, at: usize, function: &str, target: Option<Expr>, args: Vec<Expr>) -> Expr {
        match macros::expand(self, at, function, target, args) {
            macros::Expansion::Done(expr) => expr,
            macros::Expansion::Wrong(issue) => {
                self.issues.push(issue);
                self.node(at, Kind::Broken)
            }
            macros::Expansion::None(target, args) => {
                let call = Call {
                    target: target.map(Box::new),
                    function: function.to_owned(),
                    args,
                };
                self.node(at, Kind::Call(call))
            }
        }
    }

    fn primary(&mut self) -> Step<Expr> {
        match self.peek() {
            Token::LeftParen => {
                self.take();
                let expr = self.expr()?;
                self.expect(Token::RightParen)?;
                Ok(expr)
            }
            Token::LeftBracket => self.list(),
            Token::LeftBrace => self.map(),
            Token::Dot | Token::Ident => self.name(),
            _ => self.literal(),
        }
    }

    /// A name, a call or a message, perhaps with a leading dot.
    fn name(&mut self) -> Step<Expr> {
        let start = self.lexemes[self.next].start;
        let leading = if self.take_if(Token::Dot).is_some() { "." } else { "" };
        let ident = self.expect(Token::Ident)?;
        if let Some((name, open)) = self.message_name(ident) {
            return self.message(open, format!("{leading}{name}"));
        }
        let name = self.text_of(ident);
        let open = self.take_if(Token::LeftParen);
        let args = match open {
            Some(_) => self.arguments()?,
            None => Vec::new(),
        };
        if RESERVED.contains(&name.as_str()) {
            return Ok(self.complain(start, format!("reserved identifier: {name}")));
        }
        let name = format!("{leading}{name}");
        Ok(match open {
            Some(open) => self.call_or_macro(open.start, &name, None, args),
            None => self.node(ident.start, Kind::Ident(name)),
        })
    }

    /// The whole name if what follows is a message, and where its brace is.
    fn message_name(&mut self, first: Lexeme) -> Option<(String, usize)> {
        let mut next = self.next;
        let mut name = self.text_of(first);
        let token = |i: usize| self.lexemes.get(i).map(|lexeme| lexeme.token);
        while token(next) == Some(Token::Dot) && token(next + 1) == Some(Token::Ident) {
            name.push('.');
            name.push_str(&self.text_of(self.lexemes[next + 1]));
            next += 2;
        }
        (token(next) == Some(Token::LeftBrace)).then(|| {
            self.next = next + 1;
            (name, self.lexemes[next].start)
        })
    }

    fn message(&mut self, at: usize, name: String) -> Step<Expr> {
        let mut fields = Vec::new();
        if self.peek() != Token::Comma {
            while self.peek() != Token::RightBrace {
                let optional = self.take_if(Token::Question).is_some();
                let field = self.field_name()?;
                let colon = self.expect(Token::Colon)?.start;
                if field.escaped {
                    self.issues.push(Issue::new(field.at, "unsupported syntax: '`'"));
                }
                let value = self.expr()?;
                fields.push(StructField {
                    at: colon,
                    name: field.text,
                    value,
                    optional,
                });
                if self.take_if(Token::Comma).is_none() {
                    break;
                }
            }
        } else {
            self.take();
        }
        self.expect(Token::RightBrace)?;
        Ok(self.node(at, Kind::Struct(Struct { name, fields })))
    }

    fn list(&mut self) -> Step<Expr> {
        let open = self.take().start;
        let (mut elements, mut optional) = (Vec::new(), Vec::new());
        if self.take_if(Token::Comma).is_none() {
            while self.peek() != Token::RightBracket {
                if self.take_if(Token::Question).is_some() {
                    optional.push(elements.len());
                }
                elements.push(self.expr()?);
                if self.take_if(Token::Comma).is_none() {
                    break;
                }
            }
        }
        self.expect(Token::RightBracket)?;
        Ok(self.node(open, Kind::List(List { elements, optional })))
    }

    fn map(&mut self) -> Step<Expr> {
        let open = self.take().start;
        let mut entries = Vec::new();
        if self.take_if(Token::Comma).is_none() {
            while self.peek() != Token::RightBrace {
                let optional = self.take_if(Token::Question).is_some();
                let key = self.expr()?;
                self.expect(Token::Colon)?;
                let value = self.expr()?;
                entries.push(MapEntry { key, value, optional });
                if self.take_if(Token::Comma).is_none() {
                    break;
                }
            }
        }
        self.expect(Token::RightBrace)?;
        Ok(self.node(open, Kind::Map(entries)))
    }

    fn literal(&mut self) -> Step<Expr> {
        let start = self.lexemes[self.next].start;
        let sign = self.take_if(Token::Minus);
        let lexeme = self.take();
        let text = self.text_of(lexeme);
        let signed = |digits: &str| {
            if sign.is_some() {
                format!("-{digits}")
            } else {
                digits.to_owned()
            }
        };
        let found = match lexeme.token {
            Token::Int => match text.strip_prefix("0x") {
                Some(digits) => i64::from_str_radix(&signed(digits), 16),
                None => signed(&text).parse(),
            }
            .map(Literal::Int)
            .map_err(|_| "invalid int literal"),
            Token::Float => match signed(&text).parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Literal::Double(number)),
                _ => Err("invalid double literal"),
            },
            _ if sign.is_some() => return Err(Stop::Malformed),
            Token::Uint => {
                let digits = text.trim_end_matches(['u', 'U']);
                match digits.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => digits.parse(),
                }
                .map(Literal::Uint)
                .map_err(|_| "invalid uint literal")
            }
            Token::String => {
                literal::unquote(&text, false).map(|bytes| Literal::String(String::from_utf8_lossy(&bytes).into()))
            }
            Token::Bytes => literal::unquote(&text[1..], true).map(Literal::Bytes),
            Token::True => Ok(Literal::Bool(true)),
            Token::False => Ok(Literal::Bool(false)),
            Token::Null => Ok(Literal::Null),
            _ => return Err(Stop::Malformed),
        };
        Ok(match found {
            Ok(literal) => self.node(start, Kind::Literal(literal)),
            Err(why) => self.complain(start, why),
        })
    }
}

struct FieldName {
    at: usize,
    text: String,
    escaped: bool,
}

/// The function of an operator between two operands, and how tightly it binds.
fn infix(token: Token) -> Option<(&'static str, u8)> {
    Some(match token {
        Token::Less => (op::LESS, 1),
        Token::LessEquals => (op::LESS_EQUALS, 1),
        Token::GreaterEquals => (op::GREATER_EQUALS, 1),
        Token::Greater => (op::GREATER, 1),
        Token::Equals => (op::EQUALS, 1),
        Token::NotEquals => (op::NOT_EQUALS, 1),
        Token::In => (op::IN, 1),
        Token::Plus => (op::ADD, 2),
        Token::Minus => (op::SUBTRACT, 2),
        Token::Star => (op::MULTIPLY, 3),
        Token::Slash => (op::DIVIDE, 3),
        Token::Percent => (op::MODULO, 3),
        _ => return None,
    })
}
