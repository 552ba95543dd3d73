//! The nodes of a document, as the parser's events describe them (go.yaml.in/yaml/v2 `decode.go`, the parser).

use std::borrow::Cow;
use std::collections::HashMap;

use libyaml_safer::{Error, ErrorKind, Event, EventData, Parser, ScalarStyle};

use super::{MAX_DEPTH, YamlError, pitfalls};

/// Where a node is among those of its document.
pub(super) type Index = usize;

/// A node.
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The line on which it starts, counted from 1.
    pub(super) line: u64,
}

/// What a node is.
pub(super) enum Kind {
    Scalar {
        tag: Option<String>,
        text: String,
        /// Whether it is written without quotes and without a tag.
        plain: bool,
    },
    Sequence(Vec<Index>),
    Mapping(Vec<(Index, Index)>),
    /// Another node, by its name.
    Alias {
        name: String,
        target: Index,
    },
}

/// The first document of a text.
pub(super) struct Document {
    nodes: Vec<Node>,
    /// The outermost node; `None` when there is nothing at all.
    pub(super) root: Option<Index>,
}

impl Document {
    /// Reads a text, of which must be known whether it ends within a block scalar.
    pub(super) fn read(text: &str, in_block: bool) -> Result<Self, YamlError> {
        let given = if in_block {
            Cow::Owned(format!("{text}\n"))
        } else {
            Cow::Borrowed(text)
        };
        let mut bytes = given.as_bytes();
        let mut parser = Parser::new();
        parser.set_input_string(&mut bytes);
        let mut composer = Composer {
            parser,
            in_block: in_block.then_some(text),
            nodes: Vec::new(),
            anchors: HashMap::new(),
        };
        let mut root = None;
        // Streams start with an event of their own, and so do documents.
        composer.event()?;
        if matches!(composer.event()?.data, EventData::DocumentStart { .. }) {
            let event = composer.event()?;
            root = Some(composer.node(event, 0)?);
            // What follows the document is not read, but what ends it has to be there.
            composer.event()?;
        }
        Ok(Document {
            nodes: composer.nodes,
            root,
        })
    }

    pub(super) fn node(&self, index: Index) -> &Node {
        &self.nodes[index]
    }
}

struct Composer<'t, R> {
    parser: Parser<R>,
    /// The text, when it ends within a block scalar.
    in_block: Option<&'t str>,
    nodes: Vec<Node>,
    anchors: HashMap<String, Index>,
}

impl<R: std::io::BufRead> Composer<'_, R> {
    fn event(&mut self) -> Result<Event, YamlError> {
        self.parser.parse().map_err(|error| complaint(&error))
    }

    /// Makes a node of what starts with an event.
    fn node(&mut self, event: Event, depth: usize) -> Result<Index, YamlError> {
        if depth > MAX_DEPTH {
            return Err(YamlError::too_deep(MAX_DEPTH));
        }
        let line = event.start_mark.line + 1;
        let index = self.nodes.len();
        let (kind, anchor) = match event.data {
            EventData::Alias { anchor: name } => {
                let known = self.anchors.get(&name).copied();
                let target = known.ok_or_else(|| YamlError::new(format_args!("unknown anchor '{name}' referenced")))?;
                (Kind::Alias { name, target }, None)
            }
            EventData::Scalar {
                anchor,
                tag,
                value: text,
                plain_implicit: plain,
                style,
                ..
            } => {
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let text = match self.in_block {
                    Some(all) if block && event.end_mark.index > all.len() as u64 => {
                        pitfalls::without_last_break(all, text)
                    }
                    _ => text,
                };
                (Kind::Scalar { tag, text, plain }, anchor)
            }
            EventData::SequenceStart { anchor, .. } => (Kind::Sequence(Vec::new()), anchor),
            EventData::MappingStart { anchor, .. } => (Kind::Mapping(Vec::new()), anchor),
            _ => return Err(YamlError::new("unknown problem parsing YAML content")),
        };
        // Names are known within what they name.
        if let Some(name) = anchor {
            self.anchors.insert(name, index);
        }
        self.nodes.push(Node { kind, line });
        match self.nodes[index].kind {
            Kind::Sequence(_) => {
                let mut items = Vec::new();
                loop {
                    match self.event()? {
                        Event {
                            data: EventData::SequenceEnd,
                            ..
                        } => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                self.nodes[index].kind = Kind::Sequence(items);
            }
            Kind::Mapping(_) => {
                let mut fields = Vec::new();
                loop {
                    match self.event()? {
                        Event {
                            data: EventData::MappingEnd,
                            ..
                        } => break,
                        event => {
                            let key = self.node(event, depth + 1)?;
                            let event = self.event()?;
                            fields.push((key, self.node(event, depth + 1)?));
                        }
                    }
                }
                self.nodes[index].kind = Kind::Mapping(fields);
            }
            Kind::Scalar { .. } | Kind::Alias { .. } => {}
        }
        Ok(index)
    }
}

/// The message of upstream's YAML parser: a line only where it is not the first, and only the scanner counts from 1.
pub(super) fn complaint(error: &Error) -> YamlError {
    let problem = error.problem();
    let at = error.problem_mark().map_or(0, |mark| mark.line);
    let line = match (at, error.kind()) {
        (0, _) => error.context_mark().map_or(0, |mark| mark.line),
        (line, ErrorKind::Scanner) => line + 1,
        (line, _) => line,
    };
    YamlError::at(line, problem)
}
