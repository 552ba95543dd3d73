//! Script text -> commands. Expansion happens later because `$?` and the environment are not known yet.

/// How a command depends on the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joint {
    Always,
    And,
    Or,
}

/// Where a command's standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Stdout,
    Stderr,
    Nowhere,
}

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    /// `$NAME`; the empty result of an unquoted one vanishes, as in a real shell.
    Variable(String),
}

/// One argument: its parts, and whether any of it was quoted (then it counts even when it is empty).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) parts: Vec<Part>,
    pub(super) quoted: bool,
}

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) joint: Joint,
    pub(super) words: Vec<Word>,
    pub(super) target: Target,
}

/// What the shell does not understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyntaxError(pub(super) String);

pub(super) fn parse(script: &str) -> Result<Vec<Command>, SyntaxError> {
    let mut parser = Parser {
        rest: script.chars().peekable(),
        commands: Vec::new(),
        command: None,
        word: None,
        joint: Joint::Always,
    };
    parser.run()?;
    Ok(parser.commands)
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    commands: Vec<Command>,
    command: Option<Command>,
    word: Option<Word>,
    joint: Joint,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), SyntaxError> {
        while let Some(next) = self.rest.next() {
            match next {
                ' ' | '\t' | '\r' => self.end_word(),
                ';' | '\n' => self.end_command(Joint::Always)?,
                '&' if self.rest.next_if_eq(&'&').is_some() => self.end_command(Joint::And)?,
                '|' if self.rest.next_if_eq(&'|').is_some() => self.end_command(Joint::Or)?,
                '>' => self.redirect()?,
                '#' if self.word.is_none() => while self.rest.next_if(|c| *c != '\n').is_some() {},
                '\'' => self.single_quoted()?,
                '"' => self.double_quoted()?,
                '\\' => match self.rest.next() {
                    Some('\n') | None => {}
                    Some(escaped) => self.push(escaped),
                },
                '$' => self.variable(false)?,
                '&' | '|' | '<' | '(' | ')' | '`' => return Err(SyntaxError(next.to_string())),
                other => self.push(other),
            }
        }
        self.end_command(Joint::Always)
    }

    fn push(&mut self, character: char) {
        let word = self.word.get_or_insert_default();
        match word.parts.last_mut() {
            Some(Part::Text(text)) => text.push(character),
            _ => word.parts.push(Part::Text(character.to_string())),
        }
    }

    fn single_quoted(&mut self) -> Result<(), SyntaxError> {
        self.word.get_or_insert_default().quoted = true;
        loop {
            match self.rest.next() {
                Some('\'') => return Ok(()),
                Some(character) => self.push(character),
                None => return Err(SyntaxError("unterminated quoted string".to_string())),
            }
        }
    }

    fn double_quoted(&mut self) -> Result<(), SyntaxError> {
        self.word.get_or_insert_default().quoted = true;
        loop {
            match self.rest.next() {
                Some('"') => return Ok(()),
                Some('$') => self.variable(true)?,
                Some('`') => return Err(SyntaxError("`".to_string())),
                Some('\\') => match self.rest.next() {
                    Some(escaped @ ('"' | '\\' | '$' | '`')) => self.push(escaped),
                    Some('\n') => {}
                    Some(other) => {
                        self.push('\\');
                        self.push(other);
                    }
                    None => return Err(SyntaxError("unterminated quoted string".to_string())),
                },
                Some(character) => self.push(character),
                None => return Err(SyntaxError("unterminated quoted string".to_string())),
            }
        }
    }

    fn variable(&mut self, quoted: bool) -> Result<(), SyntaxError> {
        let name = match self.rest.peek() {
            Some('?') => {
                self.rest.next();
                "?".to_string()
            }
            Some('{') => {
                self.rest.next();
                let mut name = String::new();
                while let Some(character) = self.rest.next_if(|c| *c != '}') {
                    name.push(character);
                }
                let known = name == "?" || (!name.is_empty() && name.chars().all(is_name));
                if self.rest.next().is_none() || !known {
                    return Err(SyntaxError(format!("${{{name}")));
                }
                name
            }
            Some('(') => return Err(SyntaxError("$(".to_string())),
            _ => {
                let mut name = String::new();
                while let Some(character) = self.rest.next_if(|c| is_name(*c)) {
                    name.push(character);
                }
                name
            }
        };
        if name.is_empty() {
            self.push('$');
            return Ok(());
        }
        let word = self.word.get_or_insert_default();
        word.quoted |= quoted;
        word.parts.push(Part::Variable(name));
        Ok(())
    }

    /// `>&2`, `1>&2`, `>/dev/null` and `2>/dev/null`, `2>&1`: other files cannot be written in a simulated container.
    fn redirect(&mut self) -> Result<(), SyntaxError> {
        let descriptor = match self.word.as_ref() {
            Some(Word { parts, quoted: false }) if *parts == [Part::Text("2".into())] => '2',
            Some(Word { parts, quoted: false }) if *parts == [Part::Text("1".into())] => '1',
            _ => {
                self.end_word();
                '1'
            }
        };
        self.word = None;
        while self.rest.next_if_eq(&' ').is_some() {}
        let mut path = String::new();
        while let Some(character) = self.rest.next_if(|c| !matches!(c, ' ' | ';' | '\n' | '\t' | '|')) {
            path.push(character);
        }
        let target = match (descriptor, path.as_str()) {
            ('1', "&2" | "/dev/stderr") => Some(Target::Stderr),
            ('1', "/dev/null") => Some(Target::Nowhere),
            // Only commands that succeed write here, and those write nothing to stderr.
            ('1', "&1" | "/dev/stdout") | ('2', _) => None,
            _ => return Err(SyntaxError(format!("> {path}"))),
        };
        if let Some(target) = target {
            self.current().target = target;
        }
        Ok(())
    }

    fn current(&mut self) -> &mut Command {
        let joint = self.joint;
        self.command.get_or_insert_with(|| Command {
            joint,
            words: Vec::new(),
            target: Target::Stdout,
        })
    }

    fn end_word(&mut self) {
        if let Some(word) = self.word.take() {
            self.current().words.push(word);
        }
    }

    fn end_command(&mut self, next: Joint) -> Result<(), SyntaxError> {
        self.end_word();
        match self.command.take() {
            Some(command) => {
                self.commands.push(command);
                self.joint = next;
            }
            // `;;` is an error in a real shell, an empty line is not; a joint without a command on its left always is.
            None if next == Joint::Always && self.joint == Joint::Always => {}
            None if next == Joint::Always => {}
            None => return Err(SyntaxError(if next == Joint::And { "&&" } else { "||" }.to_string())),
        }
        Ok(())
    }
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<Vec<String>> {
        let text = |word: &Word| {
            word.parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Variable(name) => format!("${name}"),
                })
                .collect::<String>()
        };
        parse(script)
            .unwrap()
            .iter()
            .map(|command| command.words.iter().map(text).collect())
            .collect()
    }

    #[test]
    fn quotes_escapes_and_joints() {
        assert_eq!(
            words(r#"echo 'a b' "c $D ${E}" f\ g # no"#),
            [["echo", "a b", "c $D $E", "f g"]]
        );
        assert_eq!(words("true;\n false"), [["true"], ["false"]]);
        let joints: Vec<_> = parse("a && b || c\nd")
            .unwrap()
            .iter()
            .map(|command| command.joint)
            .collect();
        assert_eq!(joints, [Joint::Always, Joint::And, Joint::Or, Joint::Always]);
        assert_eq!(words("echo ''"), [["echo", ""]]);
        assert_eq!(words("echo $ 5"), [["echo", "$", "5"]]);
    }

    #[test]
    fn redirects() {
        let targets: Vec<_> = parse("echo a >&2; echo b > /dev/null; echo c 2>&1; echo d 1>&2")
            .unwrap()
            .iter()
            .map(|command| (command.words.len(), command.target))
            .collect();
        let expected = [Target::Stderr, Target::Nowhere, Target::Stdout, Target::Stderr].map(|target| (2, target));
        assert_eq!(targets, expected);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for script in [
            "a | b",
            "a &",
            "$(date)",
            "echo 'x",
            "cat < f",
            "echo x > f",
            "${a:-b}",
            "&& a",
            "`x`",
        ] {
            assert!(parse(script).is_err(), "{script}");
        }
    }
}
