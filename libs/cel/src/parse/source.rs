//! The text of an expression and the complaints about it, shown as cel-go shows them: place, line and a caret.

use std::fmt;

/// Complaints beyond this number are only counted.
const MAX_SHOWN: usize = 100;
/// Longer lines are not repeated in a complaint, in bytes.
const MAX_SNIPPET: usize = 16_384;

/// A complaint about an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issue {
    /// Where it is, in characters from the start; none if it is about the whole.
    pub at: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Issue {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Issue {
        Issue {
            at: Some(at),
            message: message.into(),
        }
    }

    pub(crate) fn general(message: impl Into<String>) -> Issue {
        Issue {
            at: None,
            message: message.into(),
        }
    }
}

/// All that is wrong with an expression; shown sorted by place, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issues {
    shown: String,
}

impl Issues {
    /// Orders the complaints about a text and renders them.
    pub(crate) fn render(text: &str, mut issues: Vec<Issue>) -> Issues {
        let truncated = issues.len().saturating_sub(MAX_SHOWN);
        issues.truncate(MAX_SHOWN);
        issues.sort_by_key(|issue| issue.at.map_or(0, |at| at + 1));
        let mut lines: Vec<String> = issues.iter().map(|issue| show(text, issue)).collect();
        if truncated > 0 {
            lines.push(format!("{truncated} more errors were truncated"));
        }
        Issues {
            shown: lines.join("\n"),
        }
    }
}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn show(text: &str, issue: &Issue) -> String {
    let Some(at) = issue.at else {
        return format!("ERROR: <input>:-1:0: {}", issue.message);
    };
    if text.is_empty() {
        return format!("ERROR: <input>:1:0: {}", issue.message);
    }
    let before: Vec<char> = text.chars().take(at).collect();
    let line = before.iter().filter(|c| **c == '\n').count();
    let column = before.iter().rev().take_while(|c| **c != '\n').count();
    let mut shown = format!("ERROR: <input>:{}:{}: {}", line + 1, column + 1, issue.message);
    let snippet = text.split('\n').nth(line).unwrap_or_default();
    if snippet.len() <= MAX_SNIPPET {
        let snippet = snippet.replace('\t', " ");
        let mut chars = snippet.chars();
        let dots: String = chars
            .by_ref()
            .take(column)
            .map(|c| if c.len_utf8() > 1 { '\u{ff0e}' } else { '.' })
            .collect();
        let caret = if chars.next().is_some_and(|c| c.len_utf8() > 1) {
            '\u{ff3e}'
        } else {
            '^'
        };
        shown.push_str(&format!("\n | {snippet}\n | {dots}{caret}"));
    }
    shown
}
