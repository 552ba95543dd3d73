//! What a string allows to be written as (go.yaml.in/yaml/v2 `emitterc.go`, analysis and choice of the style).

use super::resolve::is_string;

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As it is.
    Plain,
    /// `'...'`.
    SingleQuoted,
    /// `"..."` with escapes.
    DoubleQuoted,
    /// `|` and the lines.
    Literal,
}

/// What the characters of a text allow. Nothing but empty collections is ever written in flow style here, so what that
/// would allow is left out.
struct Analysis {
    multiline: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

/// Whether the text can stand before a colon; longer and multi-line keys are written behind a question mark.
pub(super) fn is_simple_key(text: &str) -> bool {
    const LONGEST_BYTES: usize = 128;
    text.len() <= LONGEST_BYTES && !text.chars().any(is_break)
}

/// The style of a string.
pub(super) fn style_of(text: &str, simple_key: bool) -> Style {
    let wanted = if text.contains('\n') {
        Style::Literal
    } else if is_string(text) {
        Style::Plain
    } else {
        Style::DoubleQuoted
    };
    let allowed = Analysis::of(text);
    match wanted {
        _ if simple_key && allowed.multiline => Style::DoubleQuoted,
        Style::Plain if allowed.plain => Style::Plain,
        Style::Plain if allowed.single_quoted => Style::SingleQuoted,
        Style::Literal if allowed.block && !simple_key => Style::Literal,
        _ => Style::DoubleQuoted,
    }
}

impl Analysis {
    fn of(text: &str) -> Self {
        let (mut indicators, mut special) = (text.starts_with("---") || text.starts_with("..."), false);
        let (mut break_space, mut space_break, mut breaks) = (false, false, false);
        let mut previous = None;
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            let blank_follows = characters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            let blank_precedes = previous.is_none_or(|c| matches!(c, ' ' | '\t' | '\0') || is_break(c));
            indicators |= match c {
                '#' => blank_precedes,
                ':' => blank_follows,
                '?' | '-' => previous.is_none() && blank_follows,
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => {
                    previous.is_none()
                }
                _ => false,
            };
            special |= !is_printable(c);
            break_space |= c == ' ' && previous.is_some_and(is_break);
            space_break |= is_break(c) && previous == Some(' ');
            breaks |= is_break(c);
            previous = Some(c);
        }
        let at_the_edge = |c: char| c == ' ' || is_break(c);
        let edges = text.starts_with(at_the_edge) || text.ends_with(at_the_edge);
        let escapes = space_break || special;
        Analysis {
            multiline: breaks,
            plain: !(edges || break_space || escapes || breaks || indicators),
            single_quoted: !(break_space || escapes),
            block: !(text.is_empty() || text.ends_with(' ') || escapes),
        }
    }
}

/// What is written without an escape. Upstream's emitter escapes everything beyond the basic multilingual plane.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

/// What ends a line in YAML 1.1.
pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_follow_the_characters() {
        for (text, expected) in [
            ("plain text", Style::Plain),
            ("", Style::DoubleQuoted),
            ("true", Style::DoubleQuoted),
            ("<<", Style::Plain),
            ("a: b", Style::SingleQuoted),
            ("a:b", Style::Plain),
            ("a #b", Style::SingleQuoted),
            ("*", Style::SingleQuoted),
            ("-", Style::SingleQuoted),
            ("-a", Style::Plain),
            ("---a", Style::SingleQuoted),
            (" a", Style::SingleQuoted),
            ("a\tb", Style::DoubleQuoted),
            ("a\nb", Style::Literal),
            (" a\nb", Style::Literal),
            ("a \nb", Style::DoubleQuoted),
            ("a\nb ", Style::DoubleQuoted),
            ("\u{1f600}", Style::DoubleQuoted),
        ] {
            assert_eq!(style_of(text, false), expected, "{text:?}");
        }
        assert_eq!(style_of("a\nb", true), Style::DoubleQuoted);
    }
}
