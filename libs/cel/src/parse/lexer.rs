//! Tokens, by the lexical rules of cel-go's grammar: the longest match wins, and what cannot be read is skipped as ANTLR does.

use super::source::Issue;

/// The kinds of tokens; the order and the names are the grammar's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Token {
    Eof,
    Equals,
    NotEquals,
    In,
    Less,
    LessEquals,
    GreaterEquals,
    Greater,
    And,
    Or,
    LeftBracket,
    RightBracket,
    LeftBrace,
    RightBrace,
    LeftParen,
    RightParen,
    Dot,
    Comma,
    Minus,
    Exclamation,
    Question,
    Colon,
    Plus,
    Star,
    Slash,
    Percent,
    True,
    False,
    Null,
    Float,
    Int,
    Uint,
    String,
    Bytes,
    Ident,
    EscapedIdent,
}

impl Token {
    /// How messages name the kind.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Token::Eof => "<EOF>",
            Token::Equals => "'=='",
            Token::NotEquals => "'!='",
            Token::In => "'in'",
            Token::Less => "'<'",
            Token::LessEquals => "'<='",
            Token::GreaterEquals => "'>='",
            Token::Greater => "'>'",
            Token::And => "'&&'",
            Token::Or => "'||'",
            Token::LeftBracket => "'['",
            Token::RightBracket => "']'",
            Token::LeftBrace => "'{'",
            Token::RightBrace => "'}'",
            Token::LeftParen => "'('",
            Token::RightParen => "')'",
            Token::Dot => "'.'",
            Token::Comma => "','",
            Token::Minus => "'-'",
            Token::Exclamation => "'!'",
            Token::Question => "'?'",
            Token::Colon => "':'",
            Token::Plus => "'+'",
            Token::Star => "'*'",
            Token::Slash => "'/'",
            Token::Percent => "'%'",
            Token::True => "'true'",
            Token::False => "'false'",
            Token::Null => "'null'",
            Token::Float => "NUM_FLOAT",
            Token::Int => "NUM_INT",
            Token::Uint => "NUM_UINT",
            Token::String => "STRING",
            Token::Bytes => "BYTES",
            Token::Ident => "IDENTIFIER",
            Token::EscapedIdent => "ESC_IDENTIFIER",
        }
    }
}

/// A token and where it stands, in characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A part of a text that is no token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unread {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Unread {
    /// The complaint about it.
    pub(crate) fn issue(&self, text: &[char]) -> Issue {
        let part: String = text[self.start..self.end].iter().collect();
        let part = part.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
        Issue::new(
            self.start,
            format!("Syntax error: token recognition error at: '{part}'"),
        )
    }
}

/// The tokens of a text, closed by [`Token::Eof`], and what could not be read.
pub(crate) fn tokens(text: &[char]) -> (Vec<Lexeme>, Vec<Unread>) {
    let (mut found, mut unread) = (Vec::new(), Vec::new());
    let mut start = 0;
    while start < text.len() {
        match scan(text, start) {
            Ok((Some(token), end)) => {
                found.push(Lexeme { token, start, end });
                start = end;
            }
            Ok((None, end)) => start = end,
            Err(stop) => {
                let end = (stop + 1).min(text.len());
                unread.push(Unread { start, end });
                start = end;
            }
        }
    }
    found.push(Lexeme {
        token: Token::Eof,
        start,
        end: start,
    });
    (found, unread)
}

/// The token at a place (none for what is passed over) and its end, or where reading came to nothing.
fn scan(text: &[char], start: usize) -> Result<(Option<Token>, usize), usize> {
    let at = |i: usize| text.get(i).copied();
    let first = text[start];
    let token = |token, length| Ok((Some(token), start + length));
    match first {
        '\t' | ' ' | '\r' | '\n' | '\u{c}' => {
            let end = run(text, start, |c| matches!(c, '\t' | ' ' | '\r' | '\n' | '\u{c}'));
            Ok((None, end))
        }
        '/' if at(start + 1) == Some('/') => Ok((None, run(text, start, |c| c != '\n'))),
        '=' | '&' | '|' => {
            let (second, kind) = match first {
                '=' => ('=', Token::Equals),
                '&' => ('&', Token::And),
                _ => ('|', Token::Or),
            };
            if at(start + 1) == Some(second) {
                token(kind, 2)
            } else {
                Err(start + 1)
            }
        }
        '!' | '<' | '>' => {
            let (alone, with) = match first {
                '!' => (Token::Exclamation, Token::NotEquals),
                '<' => (Token::Less, Token::LessEquals),
                _ => (Token::Greater, Token::GreaterEquals),
            };
            if at(start + 1) == Some('=') {
                token(with, 2)
            } else {
                token(alone, 1)
            }
        }
        '[' => token(Token::LeftBracket, 1),
        ']' => token(Token::RightBracket, 1),
        '{' => token(Token::LeftBrace, 1),
        '}' => token(Token::RightBrace, 1),
        '(' => token(Token::LeftParen, 1),
        ')' => token(Token::RightParen, 1),
        ',' => token(Token::Comma, 1),
        '-' => token(Token::Minus, 1),
        '?' => token(Token::Question, 1),
        ':' => token(Token::Colon, 1),
        '+' => token(Token::Plus, 1),
        '*' => token(Token::Star, 1),
        '/' => token(Token::Slash, 1),
        '%' => token(Token::Percent, 1),
        '.' if !at(start + 1).is_some_and(|c| c.is_ascii_digit()) => token(Token::Dot, 1),
        '.' | '0'..='9' => Ok(number(text, start)),
        '"' | '\'' => quoted(text, start, false).map(|end| (Some(Token::String), end)),
        '`' => {
            let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' ');
            let end = run(text, start + 1, inner);
            if end > start + 1 && at(end) == Some('`') {
                Ok((Some(Token::EscapedIdent), end + 1))
            } else {
                Err(end)
            }
        }
        c if c.is_ascii_alphabetic() || c == '_' => Ok(word(text, start)),
        _ => Err(start),
    }
}

fn run(text: &[char], start: usize, part: impl Fn(char) -> bool) -> usize {
    start + text[start.min(text.len())..].iter().take_while(|c| part(**c)).count()
}

fn digits(text: &[char], start: usize) -> usize {
    run(text, start, |c| c.is_ascii_digit())
}

fn number(text: &[char], start: usize) -> (Option<Token>, usize) {
    let at = |i: usize| text.get(i).copied();
    if text[start] == '0' && at(start + 1) == Some('x') {
        let end = run(text, start + 2, |c| c.is_ascii_hexdigit());
        if end > start + 2 {
            return match at(end) {
                Some('u' | 'U') => (Some(Token::Uint), end + 1),
                _ => (Some(Token::Int), end),
            };
        }
    }
    let mut end = digits(text, start);
    let mut token = Token::Int;
    if at(end) == Some('.') && at(end + 1).is_some_and(|c| c.is_ascii_digit()) {
        end = digits(text, end + 1);
        token = Token::Float;
    }
    if matches!(at(end), Some('e' | 'E')) {
        let sign = usize::from(matches!(at(end + 1), Some('+' | '-')));
        let exponent = digits(text, end + 1 + sign);
        if exponent > end + 1 + sign {
            return (Some(Token::Float), exponent);
        }
    }
    match at(end) {
        Some('u' | 'U') if token == Token::Int => (Some(Token::Uint), end + 1),
        _ => (Some(token), end),
    }
}

fn word(text: &[char], start: usize) -> (Option<Token>, usize) {
    let at = |i: usize| text.get(i).copied();
    let quote = |i: usize| matches!(at(i), Some('"' | '\''));
    let raw = |i: usize| matches!(at(i), Some('r' | 'R'));
    let bytes = matches!(text[start], 'b' | 'B');
    let prefix = usize::from(bytes);
    let raw_prefix = usize::from(raw(start + prefix));
    let open = start + prefix + raw_prefix;
    if open > start
        && quote(open)
        && let Ok(end) = quoted(text, open, raw_prefix > 0)
    {
        return (Some(if bytes { Token::Bytes } else { Token::String }), end);
    }
    let end = run(text, start, |c| c.is_ascii_alphanumeric() || c == '_');
    let word: String = text[start..end].iter().collect();
    let token = match word.as_str() {
        "in" => Token::In,
        "true" => Token::True,
        "false" => Token::False,
        "null" => Token::Null,
        _ => Token::Ident,
    };
    (Some(token), end)
}

/// The end of a text in quotes, or where it broke off.
fn quoted(text: &[char], open: usize, raw: bool) -> Result<usize, usize> {
    let quote = text[open];
    let at = |i: usize| text.get(i).copied();
    let closes = |i: usize| (0..3).all(|n| at(i + n) == Some(quote));
    if closes(open) {
        let mut i = open + 3;
        while i < text.len() {
            if closes(i) {
                return Ok(i + 3);
            }
            match escape(text, i, raw) {
                Ok(length) => i += length,
                Err(_) => break,
            }
        }
        return Ok(open + 2);
    }
    let mut i = open + 1;
    loop {
        match at(i) {
            None | Some('\n' | '\r') => return Err(i),
            Some(c) if c == quote => return Ok(i + 1),
            Some(_) => i += escape(text, i, raw)?,
        }
    }
}

/// The length of the character or escape sequence at a place, or where the sequence broke off.
fn escape(text: &[char], start: usize, raw: bool) -> Result<usize, usize> {
    if raw || text[start] != '\\' {
        return Ok(1);
    }
    let all = |from: usize, count: usize, of: fn(char) -> bool| {
        for i in from..from + count {
            if !text.get(i).copied().is_some_and(of) {
                return Err(i);
            }
        }
        Ok(from + count - start)
    };
    match text.get(start + 1).copied() {
        Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => Ok(2),
        Some('0'..='3') => all(start + 2, 2, |c| ('0'..='7').contains(&c)),
        Some('x' | 'X') => all(start + 2, 2, |c| c.is_ascii_hexdigit()),
        Some('u') => all(start + 2, 4, |c| c.is_ascii_hexdigit()),
        Some('U') => all(start + 2, 8, |c| c.is_ascii_hexdigit()),
        _ => Err(start + 1),
    }
}
