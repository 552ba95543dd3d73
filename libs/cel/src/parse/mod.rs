//! From text to tree: tokens, grammar, macros. What is wrong with a text is said in the words of cel-go and its ANTLR grammar.

mod grammar;
mod lexer;
mod literal;
mod macros;
mod network;
mod recovery;
mod source;

pub use grammar::RESERVED;
pub(crate) use source::Issue;
pub use source::Issues;

use crate::ast::Expr;

/// Longer texts are not read, in characters.
const MAX_LENGTH: usize = 100_000;

/// Which macros and syntax an expression may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Syntax {
    /// Whether `cel.bind(name, value, expression)` is known.
    pub bindings: bool,
}

/// Reads a text.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Expr, Issues> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > MAX_LENGTH {
        let message = format!(
            "expression code point size exceeds limit: size: {}, limit {MAX_LENGTH}",
            chars.len()
        );
        return Err(Issues::render(text, vec![Issue::general(message)]));
    }
    let (lexemes, unread) = lexer::tokens(&chars);
    let mut issues: Vec<Issue> = unread.iter().map(|unread| unread.issue(&chars)).collect();
    let parsed = grammar::parse(&chars, &lexemes, syntax);
    issues.extend(match &parsed.expr {
        Ok(_) => parsed.issues,
        Err(grammar::Stop::TooDeep(issue)) => vec![issue.clone()],
        Err(grammar::Stop::Malformed) => {
            // Macros that are whole are expanded although something behind them is malformed.
            let mut all = recovery::explain(&chars, &lexemes, &unread);
            let more = parsed.issues.into_iter().filter(|issue| !all.contains(issue));
            let more: Vec<Issue> = more.collect();
            all.extend(more);
            all
        }
    });
    match parsed.expr {
        Ok(expr) if issues.is_empty() => Ok(expr),
        _ => Err(Issues::render(text, issues)),
    }
}
