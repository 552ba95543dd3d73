//! Executes trees (text/template/exec.go).

use std::cmp::min;
use std::rc::Rc;

use crate::functions::{self, Function};
use crate::parse::{Branch, Node, Operand, Pipe, Templates};
use crate::value::Value;
use crate::{DEEPEST, Error, format};

/// How many nodes may be walked: no manifest needs as many, and an endless range ends.
const STEPS: u64 = 10_000_000;
/// How many bytes may be printed.
const LONGEST: usize = 16 << 20;

/// How the walk goes on.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct State<'a> {
    templates: &'a Templates,
    output: String,
    variables: Vec<(String, Value)>,
    depth: usize,
    steps: u64,
    line: usize,
}

/// What the templates print of the data.
pub(crate) fn execute(templates: &Templates, data: Value) -> Result<String, Error> {
    let mut state = State {
        templates,
        output: String::new(),
        variables: vec![("$".to_owned(), data.clone())],
        depth: 0,
        steps: 0,
        line: 1,
    };
    state.walk(&data, &templates.main)?;
    Ok(state.output)
}

impl State<'_> {
    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error::new(self.line, message))
    }

    fn step(&mut self) -> Result<(), Error> {
        self.steps += 1;
        match self.steps > STEPS {
            true => self.wrong(format!("the template takes more than {STEPS} steps")),
            false => Ok(()),
        }
    }

    fn print(&mut self, text: &str) -> Result<(), Error> {
        self.output.push_str(text);
        match self.output.len() > LONGEST {
            true => self.wrong(format!("the template prints more than {LONGEST} bytes")),
            false => Ok(()),
        }
    }

    fn walk(&mut self, dot: &Value, nodes: &[Node]) -> Result<Flow, Error> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.wrong(format!("the template nests deeper than {DEEPEST} levels"));
        }
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    self.print(text)?;
                    Flow::On
                }
                Node::Action(pipe) => {
                    let value = self.pipeline(dot, pipe)?;
                    if pipe.variables.is_empty() {
                        self.print(&format::printed(&value))?;
                    }
                    Flow::On
                }
                Node::If(branch) => self.choose(dot, branch, false)?,
                Node::With(branch) => self.choose(dot, branch, true)?,
                Node::Range(branch) => self.range(dot, branch)?,
                Node::Template { line, name, argument } => {
                    self.template(dot, *line, name, argument.as_ref())?;
                    Flow::On
                }
                Node::Break => Flow::Break,
                Node::Continue => Flow::Continue,
            };
            if flow != Flow::On {
                self.depth -= 1;
                return Ok(flow);
            }
        }
        self.depth -= 1;
        Ok(Flow::On)
    }

    fn choose(&mut self, dot: &Value, branch: &Branch, sets_dot: bool) -> Result<Flow, Error> {
        let known = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        let flow = match (value.is_true(), sets_dot) {
            (true, true) => self.walk(&value, &branch.body),
            (true, false) => self.walk(dot, &branch.body),
            (false, _) => self.walk(dot, &branch.otherwise),
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, dot: &Value, branch: &Branch) -> Result<Flow, Error> {
        let known = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        self.line = branch.pipe.line;
        let mut pairs: Box<dyn Iterator<Item = (Value, Value)>> = match value {
            Value::List(items) => {
                let count = items.len();
                Box::new((0..count).map(move |index| (Value::Int(index as i64), items[index].clone())))
            }
            Value::Map(fields) => Box::new(
                Rc::unwrap_or_clone(fields)
                    .into_iter()
                    .map(|(name, value)| (Value::text(&name), value)),
            ),
            Value::Int(_) if branch.pipe.variables.len() > 1 => {
                return self.wrong("a number cannot be ranged over with more than one variable");
            }
            Value::Int(count) => Box::new((0..count).map(|number| (Value::Missing, Value::Int(number)))),
            Value::Missing | Value::Null => Box::new(std::iter::empty()),
            other => return self.wrong(format!("range can't iterate over {}", format::printed(&other))),
        };
        let mut next = pairs.next();
        let flow = if next.is_none() {
            self.walk(dot, &branch.otherwise)?
        } else {
            Flow::On
        };
        while let Some((index, element)) = next {
            self.step()?;
            self.set_loop_variables(&branch.pipe, index, &element)?;
            let mark = self.variables.len();
            let flow = self.walk(&element, &branch.body)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
            next = pairs.next();
        }
        self.variables.truncate(known);
        Ok(flow)
    }

    /// With one variable it is the element, with two the index comes first.
    fn set_loop_variables(&mut self, pipe: &Pipe, index: Value, element: &Value) -> Result<(), Error> {
        let values = match pipe.variables.len() {
            0 => return Ok(()),
            1 => vec![element.clone()],
            _ => vec![index, element.clone()],
        };
        let count = values.len();
        for (place, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
            if pipe.assigns {
                self.assign(name, value)?;
            } else {
                let top = self.variables.len() - min(count - place, self.variables.len());
                if let Some(variable) = self.variables.get_mut(top) {
                    variable.1 = value;
                }
            }
        }
        Ok(())
    }

    fn template(&mut self, dot: &Value, line: usize, name: &str, argument: Option<&Pipe>) -> Result<(), Error> {
        self.line = line;
        let Some(body) = self.templates.named.get(name).cloned() else {
            return self.wrong(format!("template {name:?} not defined"));
        };
        let argument = match argument {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Missing,
        };
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), argument.clone())]);
        self.walk(&argument, &body)?;
        self.variables = variables;
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) -> Result<(), Error> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some(variable) => {
                variable.1 = value;
                Ok(())
            }
            None => self.wrong(format!("undefined variable: {name}")),
        }
    }

    fn pipeline(&mut self, dot: &Value, pipe: &Pipe) -> Result<Value, Error> {
        self.step()?;
        self.line = pipe.line;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.concrete());
        }
        let value = value.unwrap_or(Value::Missing);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    /// A command with what the one before it gives as its last argument.
    fn command(&mut self, dot: &Value, operands: &[Operand], last: Option<Value>) -> Result<Value, Error> {
        let Some((first, arguments)) = operands.split_first() else {
            return self.wrong("empty command");
        };
        match first {
            Operand::Function(function) => self.call(dot, *function, arguments, last),
            _ if !arguments.is_empty() || last.is_some() => self.wrong("can't give argument to what is not a function"),
            Operand::Nil => self.wrong("nil is not a command"),
            other => self.operand(dot, other),
        }
    }

    fn operand(&mut self, dot: &Value, operand: &Operand) -> Result<Value, Error> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Value::Missing),
            Operand::Value(value) => Ok(value.clone()),
            Operand::Function(function) => self.call(dot, *function, &[], None),
            Operand::Field(path) => self.fields(dot.clone(), path),
            Operand::Variable(name, path) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                match found.map(|(_, value)| value.clone()) {
                    Some(value) => self.fields(value, path),
                    None => self.wrong(format!("undefined variable: {name}")),
                }
            }
            Operand::Pipe(pipe) => self.pipeline(dot, pipe),
            Operand::Chain(start, path) => {
                let start = self.operand(dot, start)?;
                self.fields(start, path)
            }
        }
    }

    fn fields(&self, start: Value, path: &[String]) -> Result<Value, Error> {
        let mut value = start;
        for name in path {
            value = match value {
                Value::Missing => Value::Missing,
                Value::Null => return self.wrong(format!("nil pointer evaluating interface {{}}.{name}")),
                Value::Map(fields) => fields.get(name).cloned().unwrap_or(Value::Missing),
                other => {
                    return self.wrong(format!("can't evaluate field {name} in type {}", other.type_name()));
                }
            };
        }
        Ok(value)
    }

    fn call(
        &mut self,
        dot: &Value,
        function: Function,
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let count = arguments.len() + usize::from(last.is_some());
        let (least, most) = function.arity();
        if count < least || count > most {
            let want = if most == least { "" } else { "at least " };
            return self.wrong(format!(
                "wrong number of args for {}: want {want}{least} got {count}",
                function.name()
            ));
        }
        if let Function::And | Function::Or = function {
            return self.decide(dot, function == Function::Or, arguments, last);
        }
        let mut values = Vec::with_capacity(count);
        for argument in arguments {
            let value = self.operand(dot, argument)?;
            values.push(value);
        }
        values.extend(last);
        functions::call(function, &values)
            .or_else(|problem| self.wrong(format!("error calling {}: {problem}", function.name())))
    }

    /// `and` and `or`, which evaluate no more than they must.
    fn decide(
        &mut self,
        dot: &Value,
        wanted: bool,
        arguments: &[Operand],
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let mut value = Value::Missing;
        for argument in arguments {
            value = self.operand(dot, argument)?;
            if value.is_true() == wanted {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}
