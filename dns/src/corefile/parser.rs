//! Server blocks, directives, snippets and imports, as caddyfile's `parse.go` reads them.

use super::sources::{Sources, glob};
use super::{Error, Position, Token, lexer};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Imports may import, up to here; deeper ones import themselves.
const DEEPEST_IMPORT: u8 = 16;
/// More words than any Corefile has. Snippets that import each other several times would grow without end.
const MOST_TOKENS: usize = 200_000;
/// Blocks in blocks; no plugin has more than two.
const DEEPEST_BLOCK: usize = 16;

/// Addresses with the plugins that serve them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerBlock {
    pub(crate) keys: Vec<Token>,
    pub(crate) directives: Vec<Directive>,
}

/// A line: its first word, the other ones, and the lines in braces after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) name: Token,
    pub(crate) args: Vec<Token>,
    pub(crate) block: Vec<Directive>,
}

/// Parses the Corefile `file` with the content `text`.
pub(crate) fn parse(file: &str, text: &str, sources: &dyn Sources) -> Result<Vec<ServerBlock>, Error> {
    let file: Arc<str> = file.into();
    let tokens = lexer::tokens(&file, text)?;
    let mut parser = Parser {
        tokens,
        cursor: 0,
        snippets: HashMap::new(),
        sources,
        file,
        imports: 0,
    };
    parser.expand_variables(0..parser.tokens.len());
    let mut blocks = Vec::new();
    while parser.cursor < parser.tokens.len() {
        if let Some(block) = parser.server_block()? {
            blocks.push(block);
        }
    }
    Ok(blocks)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    cursor: usize,
    snippets: HashMap<String, Vec<Token>>,
    sources: &'a dyn Sources,
    file: Arc<str>,
    imports: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.cursor)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.cursor).cloned();
        self.cursor += 1;
        token
    }

    fn end_of_file(&self, open: &Position) -> Error {
        let last = self.tokens.last().map_or(
            Position {
                file: self.file.clone(),
                line: 1,
            },
            |token| token.at.clone(),
        );
        Error {
            at: last,
            message: format!("the file ends before the {{ of {open} is closed"),
        }
    }

    /// The next server block; nothing when it was a snippet.
    fn server_block(&mut self) -> Result<Option<ServerBlock>, Error> {
        let mut keys: Vec<Token> = Vec::new();
        let mut open = None;
        while let Some(token) = self.next() {
            if token.is("import") && keys.is_empty() {
                self.import(&token)?;
                continue;
            }
            if token.is("{") {
                if keys.is_empty() {
                    return Err(token.error("an address, such as .:53, must stand before {"));
                }
                open = Some(token.at);
                break;
            }
            if token.is("}") {
                return Err(token.error("this } closes nothing"));
            }
            let comma = token.text.ends_with(',');
            let ends_line = self.peek().is_some_and(|next| !next.same_line(&token));
            let text = token.text.trim_end_matches(',').to_owned();
            if !text.is_empty() {
                keys.push(Token { text, ..token });
            }
            if ends_line && !comma {
                break;
            }
        }
        let Some(first) = keys.first() else { return Ok(None) };
        if let Some(name) = first.text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            let (name, first) = (name.to_owned(), first.clone());
            let Some(open) = open.filter(|_| keys.len() == 1) else {
                return Err(first.error(format!("the snippet {name} must be followed by {{ on its line")));
            };
            let body = self.raw_block(&open)?;
            if self.snippets.insert(name.clone(), body).is_some() {
                return Err(first.error(format!("the snippet {name} is defined twice")));
            }
            return Ok(None);
        }
        let directives = self.directives(open.as_ref(), 0)?;
        Ok(Some(ServerBlock { keys, directives }))
    }

    /// The words up to the brace that closes `open`.
    fn raw_block(&mut self, open: &Position) -> Result<Vec<Token>, Error> {
        let start = self.cursor;
        let mut nesting = 0usize;
        while let Some(token) = self.next() {
            if token.is("{") {
                nesting += 1;
            } else if token.is("}") {
                match nesting {
                    0 => return Ok(self.tokens[start..self.cursor - 1].to_vec()),
                    _ => nesting -= 1,
                }
            }
        }
        Err(self.end_of_file(open))
    }

    /// The lines up to the brace that closes `open`, or to the end of the file when there is none.
    fn directives(&mut self, open: Option<&Position>, nesting: usize) -> Result<Vec<Directive>, Error> {
        let mut directives = Vec::new();
        while let Some(name) = self.next() {
            if name.is("}") {
                return if open.is_some() {
                    Ok(directives)
                } else {
                    Err(name.error("this } closes nothing"))
                };
            }
            if name.is("{") {
                return Err(name.error("a name must stand before {, on the same line"));
            }
            if name.is("import") {
                self.import(&name)?;
                continue;
            }
            directives.push(self.directive(name, nesting)?);
        }
        match open {
            None => Ok(directives),
            Some(open) => Err(self.end_of_file(open)),
        }
    }

    fn directive(&mut self, name: Token, nesting: usize) -> Result<Directive, Error> {
        let mut directive = Directive {
            name,
            args: Vec::new(),
            block: Vec::new(),
        };
        while let Some(next) = self.peek() {
            if !next.same_line(&directive.name) || next.is("}") {
                break;
            }
            let Some(token) = self.next() else { break };
            if token.is("{") {
                if nesting >= DEEPEST_BLOCK {
                    return Err(token.error("blocks are nested too deeply"));
                }
                directive.block = self.directives(Some(&token.at), nesting + 1)?;
                break;
            }
            directive.args.push(token);
        }
        Ok(directive)
    }

    /// Replaces an import by the words of the snippet or of the files it names.
    fn import(&mut self, import: &Token) -> Result<(), Error> {
        let Some(pattern) = self.next().filter(|token| token.same_line(import)) else {
            return Err(import.error("import needs the name of a snippet or of a file"));
        };
        if self.peek().is_some_and(|next| next.same_line(import) && !next.is("}")) {
            return Err(import.error("import takes one name"));
        }
        let depth = import.depth + 1;
        if depth > DEEPEST_IMPORT {
            return Err(import.error(format!("{} imports itself", pattern.text)));
        }
        let mut imported: Vec<Token> = match self.snippets.get(&pattern.text) {
            Some(body) => body.clone(),
            None => self.import_files(&pattern)?,
        };
        self.imports += 1;
        for token in &mut imported {
            token.depth = depth;
            token.import = self.imports;
        }
        if self.tokens.len() + imported.len() > MOST_TOKENS {
            return Err(import.error("the imports grow too large"));
        }
        let from_files = !self.snippets.contains_key(&pattern.text);
        let length = imported.len();
        let tail = self.tokens.split_off(self.cursor);
        self.tokens.append(&mut imported);
        self.tokens.extend(tail);
        if from_files {
            self.expand_variables(self.cursor..self.cursor + length);
        }
        Ok(())
    }

    fn import_files(&self, pattern: &Token) -> Result<Vec<Token>, Error> {
        let importing = Path::new(&*pattern.at.file);
        let path = importing.parent().unwrap_or(Path::new("")).join(&pattern.text);
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let wildcard = |text: &str| text.contains(['*', '?', '[']);
        let unreadable =
            |path: &Path, error: std::io::Error| pattern.error(format!("cannot import {}: {error}", path.display()));
        let files = if wildcard(&name) {
            let directory = path.parent().unwrap_or(Path::new("."));
            match self.sources.list(directory) {
                Ok(files) => files
                    .into_iter()
                    .filter(|file| {
                        file.file_name()
                            .is_some_and(|found| glob(&name, &found.to_string_lossy()))
                    })
                    .collect(),
                // Like a pattern that matches nothing.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Err(unreadable(directory, error)),
            }
        } else {
            vec![path]
        };
        if files.is_empty() {
            tracing::info!(at = %pattern.at, pattern = pattern.text, "no file matches the import");
        }
        let mut tokens = Vec::new();
        for file in files {
            let text = self.sources.read(&file).map_err(|error| unreadable(&file, error))?;
            tokens.extend(lexer::tokens(&file.to_string_lossy().into(), &text)?);
        }
        Ok(tokens)
    }

    /// Puts the environment's values in place of `{$NAME}` and `{%NAME%}`; an unset variable is empty.
    fn expand_variables(&mut self, range: std::ops::Range<usize>) {
        for token in &mut self.tokens[range] {
            for (begin, end) in [("{$", "}"), ("{%", "%}")] {
                token.text = expand(&token.text, begin, end, self.sources);
            }
        }
    }
}

fn expand(text: &str, begin: &str, end: &str, sources: &dyn Sources) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(begin) {
        let Some((name, tail)) = after.split_once(end) else {
            break;
        };
        expanded.push_str(before);
        expanded.push_str(&sources.variable(name).unwrap_or_default());
        rest = tail;
    }
    expanded.push_str(rest);
    expanded
}
