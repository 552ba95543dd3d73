//! What the scanner does not survive: a comma right behind a tag (`[!a,b]`), and texts that end within an escape (`"\`) or
//! within a block scalar, without a line break. The first two are refused, as upstream does, before the text is parsed.

use libyaml_safer::{ScalarStyle, Scanner, TokenData};

use super::YamlError;
use super::nodes::complaint;

const NO_ESCAPE: &str = "found unknown escape character";
const COMMA: &str = "did not find expected whitespace or line break";

/// Refuses texts with a pitfall. Whether the text ends within a block scalar, so that it has to be parsed with one more line
/// break.
///
/// What starts a tag, an escape or a block scalar only a scanner knows. So it is given a text that differs from the one in
/// question where there may be a pitfall: this changes what is said, but not where anything starts and ends.
pub(super) fn check(text: &str) -> Result<bool, YamlError> {
    let Some((harmless, blanks)) = harmless(text) else {
        return Ok(false);
    };
    let end = harmless.len() as u64;
    let mut bytes = harmless.as_bytes();
    let mut scanner = Scanner::new();
    scanner.set_input_string(&mut bytes);
    let mut inside = false;
    for token in scanner {
        let token = match token {
            Ok(token) => token,
            Err(error) if !blanks.is_empty() || error.problem() == NO_ESCAPE => return Err(complaint(&error)),
            // The parser says it better.
            Err(_) => break,
        };
        match token.data {
            TokenData::Tag { .. } if blanks.binary_search(&token.end_mark.index).is_ok() => {
                let line = token.start_mark.line;
                return Err(YamlError::at(if line == 0 { 0 } else { line + 1 }, COMMA));
            }
            TokenData::Scalar {
                style: ScalarStyle::Literal | ScalarStyle::Folded,
                ..
            } if token.end_mark.index == end && !ends_line(text) => return Ok(true),
            // What follows the first document is not read.
            TokenData::StreamEnd | TokenData::DocumentEnd => break,
            TokenData::DocumentStart if inside => break,
            TokenData::StreamStart { .. } | TokenData::VersionDirective { .. } | TokenData::TagDirective { .. } => {}
            _ => inside = true,
        }
    }
    Ok(false)
}

/// The text without what may be a pitfall, and where there are blanks for this, in order. `None` when there is nothing.
fn harmless(text: &str) -> Option<(String, Vec<u64>)> {
    let mut harmless = String::new();
    let mut blanks = Vec::new();
    let mut copied = 0;
    let mut tag = false;
    for (at, character) in text.char_indices() {
        match character {
            '!' => tag = true,
            ',' if tag => {
                harmless.push_str(&text[copied..at]);
                blanks.push(harmless.len() as u64);
                harmless.push(' ');
                copied = at;
                tag = false;
            }
            _ => tag &= of_tag(character),
        }
    }
    let escape = text.ends_with('\\');
    let block = !ends_line(text) && text.contains(['|', '>']);
    if blanks.is_empty() && !escape && !block {
        return None;
    }
    harmless.push_str(&text[copied..]);
    if escape {
        // No escape goes on like this.
        harmless.push('%');
    }
    if block {
        harmless.push('\n');
    }
    Some((harmless, blanks))
}

/// Whether a character can be in a tag.
fn of_tag(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-;/?:@&=+$.%!~*'()<>[]".contains(character)
}

/// What ends a line in YAML 1.1.
const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

fn ends_line(text: &str) -> bool {
    text.ends_with(BREAKS)
}

/// What the block scalar says that a text ends with, given what it says when one more line break follows.
pub(super) fn without_last_break(text: &str, mut value: String) -> String {
    let last = text.rsplit(BREAKS).next().unwrap_or_default();
    // A last line that is mere indentation is none of the scalar.
    if value.ends_with("\n\n") || value.ends_with('\n') && !last.trim_matches(' ').is_empty() {
        value.pop();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::COMMA;
    use serde_json::json;

    #[test]
    fn a_comma_right_behind_a_tag_is_refused() {
        for (text, line) in [
            ("{!,", ""),
            ("[!a,b]", ""),
            ("a: [x,\n  !!str,y]", "line 2: "),
            ("a: 'see !x, y'\nb: [!<tag:x>, !!, 1]\n", "line 2: "),
            ("---\na: !x, y\n", "line 2: "),
        ] {
            assert_eq!(
                parse(text.as_bytes()).unwrap_err().to_string(),
                format!("yaml: {line}{COMMA}"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_comma_behind_an_exclamation_mark_elsewhere_is_none_of_a_tag() {
        for (text, expected) in [
            ("a: Hello!, you !there, too", json!({"a": "Hello!, you !there, too"})),
            (
                "a: ['!x, y', \"!!,\", z !b, c] # !c,",
                json!({"a": ["!x, y", "!!,", "z !b", "c"]}),
            ),
            ("a: |\n  [!x,\n  !y, z]\n", json!({"a": "[!x,\n!y, z]\n"})),
            ("a: [!x , !!str 5, 1]", json!({"a": ["", "5", 1]})),
            ("a: '!x,'\n...\n[!,", json!({"a": "!x,"})),
            ("a: '!x,'\n---\n[!,", json!({"a": "!x,"})),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().value, expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_ends_within_an_escape_is_refused() {
        for (text, expected) in [
            ("\"\\", "yaml: found unknown escape character"),
            ("a: b\nc: [\"d\\", "yaml: line 2: found unknown escape character"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
        }
        for (text, expected) in [
            ("a\\", json!("a\\")),
            ("|\n  \"\\", json!("\"\\")),
            ("1 # \"\\", json!(1)),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().value, expected, "{text}");
        }
    }

    #[test]
    fn a_block_scalar_may_end_without_a_line_break() {
        for (text, expected) in [
            ("a: |\n  b", json!({"a": "b"})),
            ("a: |\n  b\n  c", json!({"a": "b\nc"})),
            ("a: >\n  b\n  c", json!({"a": "b c"})),
            ("a: |+\n  b", json!({"a": "b"})),
            ("a: |-\n  b", json!({"a": "b"})),
            ("a: |\n  b\n  ", json!({"a": "b\n"})),
            ("a: |+\n  b\n  ", json!({"a": "b\n"})),
            ("a: |\n  b\n# c", json!({"a": "b\n"})),
            ("- |\n  b\n- c", json!(["b\n", "c"])),
            ("a: |", json!({"a": ""})),
            ("|\u{85} é", json!("é")),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().value, expected, "{text:?}");
        }
    }
}
