//! Makes trees of tokens (text/template/parse/parse.go).

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::functions::Function;
use crate::lex::{Keyword, Kind, Token};
use crate::number::Number;
use crate::value::Value;
use crate::{DEEPEST, Error};

/// The templates of a text: the one without a name, and those that it defines.
pub(crate) struct Templates {
    pub(crate) main: Vec<Node>,
    pub(crate) named: BTreeMap<String, Rc<Vec<Node>>>,
}

#[derive(Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template {
        line: usize,
        name: String,
        argument: Option<Pipe>,
    },
    Break,
    Continue,
}

/// What depends on a pipeline.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) line: usize,
    /// The variables that it sets.
    pub(crate) variables: Vec<String>,
    /// They are there already.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Vec<Operand>>,
}

#[derive(Debug)]
pub(crate) enum Operand {
    Dot,
    Nil,
    /// A constant.
    Value(Value),
    Function(Function),
    Field(Vec<String>),
    /// Its name, and fields of it.
    Variable(String, Vec<String>),
    Pipe(Box<Pipe>),
    /// Fields of something else.
    Chain(Box<Operand>, Vec<String>),
}

/// What ended a list of nodes.
#[derive(PartialEq)]
enum Ending {
    End,
    Else,
    File,
}

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    variables: Vec<String>,
    loops: usize,
    depth: usize,
    named: BTreeMap<String, Rc<Vec<Node>>>,
}

/// Reads tokens, the last of which is the end of the file.
pub(crate) fn parse(tokens: Vec<Token>) -> Result<Templates, Error> {
    let mut parser = Parser {
        tokens,
        position: 0,
        variables: vec!["$".to_owned()],
        loops: 0,
        depth: 0,
        named: BTreeMap::new(),
    };
    let (main, ending) = parser.list(true)?;
    match ending {
        Ending::File => Ok(Templates {
            main,
            named: parser.named,
        }),
        Ending::End => parser.wrong("unexpected {{end}}"),
        Ending::Else => parser.wrong("unexpected {{else}}"),
    }
}

impl Parser {
    fn line(&self) -> usize {
        let last = self.tokens.last().map_or(1, |token| token.line);
        self.tokens.get(self.position).map_or(last, |token| token.line)
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::new(self.line(), message))
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, Error> {
        let what = match self.peek() {
            Kind::Text(_) => "text".to_owned(),
            Kind::Left => "{{".to_owned(),
            Kind::Right => "}}".to_owned(),
            Kind::Space => "space".to_owned(),
            Kind::EndOfFile => "end of the template".to_owned(),
            Kind::Symbol(c) => format!("{c:?}"),
            Kind::Field(name) => format!(".{name}"),
            Kind::Variable(name) | Kind::Identifier(name) => name.clone(),
            Kind::Keyword(word) => format!("{word:?}").to_lowercase(),
            other => format!("{other:?}").to_lowercase(),
        };
        self.wrong(format!("unexpected {what} in {context}"))
    }

    fn peek(&self) -> &Kind {
        self.tokens
            .get(self.position)
            .map_or(&Kind::EndOfFile, |token| &token.kind)
    }

    fn take(&mut self) -> Kind {
        let kind = self.peek().clone();
        self.position += 1;
        kind
    }

    fn skip_space(&mut self) {
        while *self.peek() == Kind::Space {
            self.position += 1;
        }
    }

    fn expect_right(&mut self, context: &str) -> Result<(), Error> {
        self.skip_space();
        if *self.peek() != Kind::Right {
            return self.unexpected(context);
        }
        self.position += 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        match self.depth > DEEPEST {
            true => self.wrong(format!("the template nests deeper than {DEEPEST} levels")),
            false => Ok(()),
        }
    }

    /// Nodes until something ends them; templates can be defined only at the top.
    fn list(&mut self, top: bool) -> Result<(Vec<Node>, Ending), Error> {
        let mut nodes = Vec::new();
        loop {
            match self.peek() {
                Kind::EndOfFile if top => return Ok((nodes, Ending::File)),
                Kind::EndOfFile => return self.wrong("unexpected end of the template: an {{end}} is missing"),
                Kind::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    self.position += 1;
                }
                _ => {
                    self.position += 1;
                    self.skip_space();
                    let Kind::Keyword(keyword) = *self.peek() else {
                        nodes.push(Node::Action(self.pipeline("command", &Kind::Right)?));
                        continue;
                    };
                    if let Some(ending) = self.control(keyword, top, &mut nodes)? {
                        return Ok((nodes, ending));
                    }
                }
            }
        }
    }

    fn control(&mut self, keyword: Keyword, top: bool, nodes: &mut Vec<Node>) -> Result<Option<Ending>, Error> {
        let line = self.line();
        if keyword == Keyword::Define && !top {
            return self.unexpected("a template that is being defined or a control structure");
        }
        self.position += 1;
        match keyword {
            Keyword::End => {
                self.expect_right("end")?;
                return Ok(Some(Ending::End));
            }
            Keyword::Else => {
                self.skip_space();
                if !matches!(self.peek(), Kind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect_right("else")?;
                }
                return Ok(Some(Ending::Else));
            }
            Keyword::Break | Keyword::Continue => {
                let word = format!("{{{{{keyword:?}}}}}").to_lowercase();
                self.expect_right(&word)?;
                if self.loops == 0 {
                    return Err(Error::new(line, format!("{word} outside {{{{range}}}}")));
                }
                nodes.push(if keyword == Keyword::Break {
                    Node::Break
                } else {
                    Node::Continue
                });
            }
            Keyword::If => nodes.push(Node::If(self.branch("if")?)),
            Keyword::With => nodes.push(Node::With(self.branch("with")?)),
            Keyword::Range => nodes.push(Node::Range(self.branch("range")?)),
            Keyword::Define => {
                let name = self.name("define clause")?;
                self.expect_right("define clause")?;
                self.definition(line, name)?;
            }
            Keyword::Template => {
                let name = self.name("template clause")?;
                self.skip_space();
                let argument = match self.peek() {
                    Kind::Right => {
                        self.position += 1;
                        None
                    }
                    _ => Some(self.pipeline("template clause", &Kind::Right)?),
                };
                nodes.push(Node::Template { line, name, argument });
            }
            Keyword::Block => {
                let name = self.name("block clause")?;
                let argument = Some(self.pipeline("block clause", &Kind::Right)?);
                self.definition(line, name.clone())?;
                nodes.push(Node::Template { line, name, argument });
            }
        }
        Ok(None)
    }

    fn name(&mut self, context: &str) -> Result<String, Error> {
        self.skip_space();
        let Kind::Quoted(name) = self.peek().clone() else {
            return self.unexpected(context);
        };
        self.position += 1;
        Ok(name)
    }

    /// The body of a template with a name, which knows no variables of others.
    fn definition(&mut self, line: usize, name: String) -> Result<(), Error> {
        self.deeper()?;
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, ending) = self.list(false)?;
        if ending != Ending::End {
            return self.wrong(format!("unexpected {{{{else}}}} in the template {name:?}"));
        }
        (self.variables, self.loops) = (variables, loops);
        self.depth -= 1;
        let known = self.named.get(&name).is_some_and(|known| !is_blank(known));
        if !known {
            self.named.insert(name, Rc::new(body));
        } else if !is_blank(&body) {
            return Err(Error::new(line, format!("multiple definition of template {name:?}")));
        }
        Ok(())
    }

    fn branch(&mut self, context: &str) -> Result<Branch, Error> {
        self.deeper()?;
        let known = self.variables.len();
        let pipe = self.pipeline(context, &Kind::Right)?;
        self.loops += usize::from(context == "range");
        let (body, ending) = self.list(false)?;
        self.loops -= usize::from(context == "range");
        let mut otherwise = Vec::new();
        if ending == Ending::Else {
            // `else if` is an if within the else that shares its end.
            match (self.peek(), context) {
                (Kind::Keyword(Keyword::If), "if") => {
                    self.position += 1;
                    otherwise.push(Node::If(self.branch("if")?));
                }
                (Kind::Keyword(Keyword::With), "with") => {
                    self.position += 1;
                    otherwise.push(Node::With(self.branch("with")?));
                }
                (Kind::Keyword(_), _) => return self.unexpected("else"),
                _ => {
                    let (nodes, ending) = self.list(false)?;
                    if ending != Ending::End {
                        return self.wrong("expected end; found {{else}}");
                    }
                    otherwise = nodes;
                }
            }
        }
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Branch { pipe, body, otherwise })
    }

    fn pipeline(&mut self, context: &str, end: &Kind) -> Result<Pipe, Error> {
        self.skip_space();
        let mut pipe = Pipe {
            line: self.line(),
            variables: Vec::new(),
            assigns: false,
            commands: Vec::new(),
        };
        self.declarations(context, &mut pipe)?;
        loop {
            self.skip_space();
            match self.peek() {
                kind if kind == end => break,
                Kind::Bool(_)
                | Kind::Dot
                | Kind::Field(_)
                | Kind::Identifier(_)
                | Kind::Number(_)
                | Kind::Nil
                | Kind::Quoted(_)
                | Kind::Variable(_)
                | Kind::Open => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(context),
            }
        }
        if pipe.commands.is_empty() {
            return self.wrong(format!("missing value for {context}"));
        }
        let is_constant = |command: &Vec<Operand>| {
            let first = command.first();
            matches!(first, Some(Operand::Value(_) | Operand::Dot | Operand::Nil))
        };
        if let Some(index) = pipe.commands.iter().skip(1).position(is_constant) {
            return self.wrong(format!("non executable command in pipeline stage {}", index + 2));
        }
        self.position += 1;
        Ok(pipe)
    }

    /// The variables that a pipeline sets, if there are any.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Result<(), Error> {
        loop {
            self.skip_space();
            let start = self.position;
            let Kind::Variable(name) = self.peek().clone() else {
                return Ok(());
            };
            self.position += 1;
            self.skip_space();
            match self.peek() {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = *self.peek() == Kind::Assign;
                    self.position += 1;
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                    return Ok(());
                }
                Kind::Symbol(',') => {
                    self.position += 1;
                    self.variables.push(name.clone());
                    pipe.variables.push(name);
                    if context != "range" || pipe.variables.len() > 1 {
                        return self.wrong(format!("too many declarations in {context}"));
                    }
                    self.skip_space();
                    if !matches!(self.peek(), Kind::Variable(_) | Kind::Right | Kind::Close) {
                        return self.wrong("range can only initialize variables");
                    }
                }
                _ => {
                    self.position = start;
                    return Ok(());
                }
            }
        }
    }

    fn command(&mut self) -> Result<Vec<Operand>, Error> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            operands.extend(self.operand()?);
            match self.peek() {
                Kind::Space => continue,
                Kind::Right | Kind::Close => {}
                Kind::Pipe => self.position += 1,
                _ => return self.unexpected("operand"),
            }
            break;
        }
        match operands.is_empty() {
            true => self.wrong("empty command"),
            false => Ok(operands),
        }
    }

    /// A term and fields of it; nothing when there is no term here.
    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(term) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while let Kind::Field(name) = self.peek() {
            fields.push(name.clone());
            self.position += 1;
        }
        if fields.is_empty() {
            return Ok(Some(term));
        }
        Ok(Some(match term {
            Operand::Field(mut path) => {
                path.extend(fields);
                Operand::Field(path)
            }
            Operand::Variable(name, _) => Operand::Variable(name, fields),
            Operand::Value(_) | Operand::Nil | Operand::Dot => {
                return self.wrong("unexpected . after a constant or dot");
            }
            other => Operand::Chain(Box::new(other), fields),
        }))
    }

    fn term(&mut self) -> Result<Option<Operand>, Error> {
        let start = self.position;
        let term = match self.take() {
            Kind::Identifier(name) => match Function::named(&name) {
                Some(function) => Operand::Function(function),
                None => {
                    self.position = start;
                    return self.wrong(format!("function {name:?} not defined"));
                }
            },
            Kind::Dot => Operand::Dot,
            Kind::Nil => Operand::Nil,
            Kind::Bool(value) => Operand::Value(Value::Bool(value)),
            Kind::Number(Number::Int(value)) => Operand::Value(Value::Int(value)),
            Kind::Number(Number::Float(value)) => Operand::Value(Value::Float(value)),
            Kind::Quoted(text) => Operand::Value(Value::text(&text)),
            Kind::Field(name) => Operand::Field(vec![name]),
            Kind::Variable(name) => {
                if !self.variables.contains(&name) {
                    return self.wrong(format!("undefined variable {name:?}"));
                }
                Operand::Variable(name, Vec::new())
            }
            Kind::Open => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", &Kind::Close)?;
                self.depth -= 1;
                Operand::Pipe(Box::new(pipe))
            }
            _ => {
                self.position = start;
                return Ok(None);
            }
        };
        Ok(Some(term))
    }
}

/// Whether there is nothing but space in it.
fn is_blank(nodes: &[Node]) -> bool {
    nodes
        .iter()
        .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
