//! Takes a template apart (text/template/parse/lex.go). Spaces within actions are tokens: they separate arguments.

use crate::literal;
use crate::{Error, number};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Text(String),
    Left,
    Right,
    Space,
    Bool(bool),
    Number(number::Number),
    Quoted(String),
    Identifier(String),
    Field(String),
    /// With its `$`.
    Variable(String),
    Dot,
    Nil,
    Assign,
    Declare,
    Pipe,
    Open,
    Close,
    Symbol(char),
    Keyword(Keyword),
    EndOfFile,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    open: usize,
    tokens: Vec<Token>,
}

/// All tokens of a template; the last one is the end.
pub(crate) fn lex(template: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer {
        rest: template,
        line: 1,
        open: 0,
        tokens: Vec::new(),
    };
    while let Some(index) = lexer.rest.find(LEFT) {
        let after = &lexer.rest[index + LEFT.len()..];
        let trims = trims_left(after);
        let text = &lexer.rest[..index];
        let kept = if trims { text.trim_end_matches(SPACES) } else { text };
        if !kept.is_empty() {
            lexer.emit(Kind::Text(kept.to_owned()));
        }
        lexer.advance(index + LEFT.len() + usize::from(trims));
        // A comment may follow the marker and one space.
        let marked = if trims { &lexer.rest[1..] } else { lexer.rest };
        if marked.starts_with("/*") {
            lexer.advance(usize::from(trims));
            lexer.comment()?;
        } else {
            lexer.emit(Kind::Left);
            lexer.action()?;
        }
    }
    if !lexer.rest.is_empty() {
        lexer.emit(Kind::Text(lexer.rest.to_owned()));
        lexer.advance(lexer.rest.len());
    }
    lexer.emit(Kind::EndOfFile);
    Ok(lexer.tokens)
}

fn trims_left(after: &str) -> bool {
    after.strip_prefix('-').is_some_and(|after| after.starts_with(SPACES))
}

/// Letters and digits of any script, and underscores.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn keyword(word: &str) -> Option<Kind> {
    Some(match word {
        "block" => Kind::Keyword(Keyword::Block),
        "break" => Kind::Keyword(Keyword::Break),
        "continue" => Kind::Keyword(Keyword::Continue),
        "define" => Kind::Keyword(Keyword::Define),
        "else" => Kind::Keyword(Keyword::Else),
        "end" => Kind::Keyword(Keyword::End),
        "if" => Kind::Keyword(Keyword::If),
        "range" => Kind::Keyword(Keyword::Range),
        "template" => Kind::Keyword(Keyword::Template),
        "with" => Kind::Keyword(Keyword::With),
        "nil" => Kind::Nil,
        "true" => Kind::Bool(true),
        "false" => Kind::Bool(false),
        _ => return None,
    })
}

impl Lexer<'_> {
    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::new(self.line, message))
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    fn advance(&mut self, bytes: usize) {
        self.line += self.rest[..bytes].matches('\n').count();
        self.rest = &self.rest[bytes..];
    }

    /// The length of the delimiter that ends an action here, and whether it trims what follows.
    fn right(&self) -> Option<(usize, bool)> {
        let marked = self.rest.strip_prefix(SPACES).and_then(|rest| rest.strip_prefix('-'));
        match marked {
            Some(rest) if rest.starts_with(RIGHT) => Some((2 + RIGHT.len(), true)),
            _ => self.rest.starts_with(RIGHT).then_some((RIGHT.len(), false)),
        }
    }

    fn close(&mut self, (length, trims): (usize, bool)) {
        self.advance(length);
        if trims {
            self.advance(self.rest.len() - self.rest.trim_start_matches(SPACES).len());
        }
    }

    fn comment(&mut self) -> Result<(), Error> {
        let Some(end) = self.rest.find("*/") else {
            return self.wrong("unclosed comment");
        };
        self.advance(end + 2);
        match self.right() {
            Some(right) => self.close(right),
            None => return self.wrong("comment ends before closing delimiter"),
        }
        Ok(())
    }

    fn action(&mut self) -> Result<(), Error> {
        self.open = 0;
        loop {
            if let Some(right) = self.right() {
                if self.open > 0 {
                    return self.wrong("unclosed left paren");
                }
                self.emit(Kind::Right);
                self.close(right);
                return Ok(());
            }
            self.inside()?;
        }
    }

    /// One token of an action.
    fn inside(&mut self) -> Result<(), Error> {
        let Some(first) = self.rest.chars().next() else {
            return self.wrong("unclosed action");
        };
        let second = self.rest[first.len_utf8()..].chars().next();
        let simple = match first {
            '=' => Some(Kind::Assign),
            '|' => Some(Kind::Pipe),
            '(' => {
                self.open += 1;
                Some(Kind::Open)
            }
            ')' if self.open == 0 => return self.wrong("unexpected right paren"),
            ')' => {
                self.open -= 1;
                Some(Kind::Close)
            }
            _ => None,
        };
        if let Some(kind) = simple {
            self.emit(kind);
            self.advance(1);
            return Ok(());
        }
        match first {
            c if SPACES.contains(&c) => {
                self.emit(Kind::Space);
                // The space before a trimming delimiter belongs to it.
                while self.rest.starts_with(SPACES) && self.right().is_none() {
                    self.advance(1);
                }
                Ok(())
            }
            ':' if second == Some('=') => {
                self.emit(Kind::Declare);
                self.advance(2);
                Ok(())
            }
            ':' => self.wrong("expected :="),
            '"' | '`' | '\'' => self.quoted(first),
            '$' => self.word(1, |word| Kind::Variable(word.to_owned())),
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => self.word(1, |word| match &word[1..] {
                "" => Kind::Dot,
                field => Kind::Field(field.to_owned()),
            }),
            '.' | '+' | '-' | '0'..='9' => self.number(),
            c if is_word(c) => self.word(0, |word| {
                keyword(word).unwrap_or_else(|| Kind::Identifier(word.to_owned()))
            }),
            c if c.is_ascii_graphic() => {
                self.emit(Kind::Symbol(c));
                self.advance(1);
                Ok(())
            }
            c => self.wrong(format!("unrecognized character in action: {c:?}")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<(), Error> {
        let body = &self.rest[1..];
        let mut escaped = false;
        let end = body.char_indices().find(|(_, c)| {
            let ends = !escaped && *c == quote || (quote != '`' && *c == '\n');
            escaped = quote != '`' && !escaped && *c == '\\';
            ends
        });
        let Some((end, _)) = end.filter(|(_, c)| *c == quote) else {
            return self.wrong("unterminated string or character constant");
        };
        let body = &body[..end];
        let kind = match quote {
            '`' => Ok(Kind::Quoted(body.replace('\r', ""))),
            '"' => literal::text(body).map(Kind::Quoted),
            _ => literal::character(body).map(|c| Kind::Number(number::Number::Int(c.into()))),
        };
        let kind = kind.or_else(|problem| self.wrong(problem))?;
        self.emit(kind);
        self.advance(end + 2);
        Ok(())
    }

    /// A word after so many bytes of prefix.
    fn word(&mut self, prefix: usize, kind: impl Fn(&str) -> Kind) -> Result<(), Error> {
        let length = self.rest[prefix..]
            .find(|c| !is_word(c))
            .map_or(self.rest.len(), |index| prefix + index);
        let (word, after) = self.rest.split_at(length);
        let next = after.chars().next();
        let ends = next.is_none_or(|c| SPACES.contains(&c) || ".,|:)(".contains(c)) || after.starts_with(RIGHT);
        if !ends {
            return self.wrong(format!("bad character {:?}", next.unwrap_or_default()));
        }
        let kind = kind(word);
        self.emit(kind);
        self.advance(length);
        Ok(())
    }

    fn number(&mut self) -> Result<(), Error> {
        let length = number::scan(self.rest);
        let (text, after) = self.rest.split_at(length);
        if after.starts_with(is_word) || after.starts_with(['+', '-']) {
            return self.wrong(format!("bad number syntax: {:?}", text));
        }
        let number = number::parse(text).or_else(|problem| self.wrong(problem))?;
        self.emit(Kind::Number(number));
        self.advance(length);
        Ok(())
    }
}
