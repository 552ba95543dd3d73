//! Splits a Corefile into words, as caddyfile's `lexer.go` does.

use super::{Error, Position, Token};
use std::sync::Arc;

/// The words of `text`. White space separates them, `#` starts a comment, double quotes hold a word together, and a
/// backslash before a quote keeps the quote.
pub(super) fn tokens(file: &Arc<str>, text: &str) -> Result<Vec<Token>, Error> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut characters = text.chars().peekable();
    let at = |line| Position {
        file: file.clone(),
        line,
    };
    while let Some(&first) = characters.peek() {
        match first {
            '\n' => {
                line += 1;
                characters.next();
            }
            '#' => while characters.next_if(|character| *character != '\n').is_some() {},
            '"' => {
                characters.next();
                let start = at(line);
                let Some(text) = quoted(&mut characters, &mut line) else {
                    return Err(Error {
                        at: start,
                        message: "the quote that begins here has no end".to_owned(),
                    });
                };
                tokens.push(Token {
                    text,
                    at: start,
                    quoted: true,
                    depth: 0,
                    import: 0,
                });
            }
            space if space.is_whitespace() || space == '\u{feff}' => {
                characters.next();
            }
            _ => {
                let mut word = String::new();
                while let Some(character) =
                    characters.next_if(|character| !character.is_whitespace() && *character != '#')
                {
                    word.push(character);
                }
                tokens.push(Token {
                    text: word,
                    at: at(line),
                    quoted: false,
                    depth: 0,
                    import: 0,
                });
            }
        }
    }
    Ok(tokens)
}

/// The rest of a quoted word, or nothing when it does not end.
fn quoted(characters: &mut impl Iterator<Item = char>, line: &mut u32) -> Option<String> {
    let mut word = String::new();
    let mut escaped = false;
    for character in characters {
        match character {
            '"' if !escaped => return Some(word),
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '\n' => *line += 1,
            _ => {}
        }
        if escaped && character != '"' {
            word.push('\\');
        }
        escaped = false;
        word.push(character);
    }
    None
}
