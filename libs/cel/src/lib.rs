//! The Common Expression Language as Kubernetes 1.36 speaks it: cel-go's grammar, macros, types, costs and words, with the
//! functions that Kubernetes adds. A text is compiled once against an [`Environment`]; the [`Program`] that comes out can be
//! kept, shared and evaluated.

mod ast;
mod check;
mod eval;
pub mod kubernetes;
mod parse;
pub mod regex;
mod text;
mod time;

pub use check::{Cost, Environment, Fields, Sizes, Type};
pub use eval::{
    Authorize, Authorizer, Decision, Evaluation, Failure, Identity, Key, List, Question, Semver, Url, Value, Variables,
};
pub use parse::{Issues, RESERVED, Syntax};

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    expr: ast::Expr,
    result: Type,
    cost: Option<Cost>,
}

impl Program {
    /// The type of the result.
    #[must_use]
    pub fn result_type(&self) -> &Type {
        &self.result
    }

    /// Finds the value, unless that costs more than `limit`.
    #[must_use]
    pub fn evaluate(&self, variables: &dyn Variables, limit: u64) -> Evaluation {
        eval::evaluate(&self.expr, variables, limit)
    }

    /// Why no evaluation is needed to know that it fails: a conversion takes a literal that it cannot convert. cel-go
    /// evaluates these when it plans a program.
    #[must_use]
    pub fn failing_literal(&self) -> Option<Failure> {
        struct Nothing;
        impl Variables for Nothing {
            fn get(&self, _: &str) -> Option<Value> {
                None
            }
        }
        let mut found = None;
        check::each_conversion(&self.expr, &mut |conversion| {
            if found.is_none() {
                found = eval::evaluate(conversion, &Nothing, u64::MAX).result.err();
            }
        });
        found
    }

    /// Whether the expression names a variable.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        check::mentions(&self.expr, name)
    }

    /// What evaluating may cost, if it was asked for.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        self.cost
    }
}

/// Reads and checks an expression; with `sizes`, its cost is estimated too.
///
/// # Errors
/// All that is wrong with it, in cel-go's words.
pub fn compile(text: &str, environment: &Environment, sizes: Option<&dyn Sizes>) -> Result<Program, Issues> {
    let mut expr = parse::parse(text, environment.syntax)?;
    let types = check::check(&mut expr, environment).map_err(|issues| Issues::render(text, issues))?;
    let issues = check::validate(&expr, &types);
    if !issues.is_empty() {
        return Err(Issues::render(text, issues));
    }
    Ok(Program {
        result: types.of(&expr).clone(),
        cost: sizes.map(|sizes| check::estimate(&expr, &types, sizes)),
        expr,
    })
}

/// Whether a text is a length of time as Go writes it, such as `1h30m`.
#[must_use]
pub fn is_duration(text: &str) -> bool {
    time::parse_duration(text).is_some()
}

/// Whether a text is an absolute URL or a path (Go's `url.ParseRequestURI`).
#[must_use]
pub fn is_url(text: &str) -> bool {
    eval::url::parse(text).is_ok()
}

#[cfg(test)]
mod tests;
