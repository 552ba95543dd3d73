//! JavaScript expressions of patches: `value` is what stands at the path, `context` what is known around it.
//!
//! An expression sees nothing else and keeps nothing: every evaluation starts from the text. Time and memory are bounded.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rquickjs::{CatchResultExt, Context, Ctx, Function, Runtime};
use serde_json::Value;

/// Longest time for one evaluation. Expressions of any use take microseconds.
const TIME: Duration = Duration::from_millis(200);
/// Memory for one evaluation, in bytes: the objects of an API server have at most 3 MiB as JSON.
const MEMORY: usize = 64 << 20;

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// The interpreter, made when the first expression is met: who has no patches does not pay for it.
struct Engine {
    context: Context,
    deadline: Rc<Cell<Option<Instant>>>,
}

impl Engine {
    fn new() -> Result<Self, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        runtime.set_memory_limit(MEMORY);
        let deadline: Rc<Cell<Option<Instant>>> = Rc::default();
        let watched = deadline.clone();
        let expired = move || watched.get().is_some_and(|deadline| Instant::now() > deadline);
        runtime.set_interrupt_handler(Some(Box::new(expired)));
        let context = Context::full(&runtime).map_err(|error| error.to_string())?;
        Ok(Self { context, deadline })
    }

    fn within<T>(&self, work: impl FnOnce(Ctx<'_>) -> Result<T, String>) -> Result<T, String> {
        self.deadline.set(Some(Instant::now() + TIME));
        let result = self.context.with(work);
        let late = self.deadline.take().is_some_and(|deadline| Instant::now() > deadline);
        match result {
            Err(_) if late => Err(format!("it takes longer than {TIME:?}")),
            result => result,
        }
    }
}

fn within<T>(work: impl FnOnce(Ctx<'_>) -> Result<T, String>) -> Result<T, String> {
    ENGINE.with_borrow_mut(|slot| {
        let engine = match slot.take() {
            Some(engine) => engine,
            None => Engine::new()?,
        };
        slot.insert(engine).within(work)
    })
}

/// The expression as a function of two JSON texts that returns a third one, or nothing.
fn compile<'js>(context: &Ctx<'js>, expression: &str) -> Result<Function<'js>, String> {
    let source = format!(
        "(valueText, contextText) => {{ \"use strict\"; const value = JSON.parse(valueText), context = JSON.parse(contextText); \
         const result = (\n{expression}\n); return result === undefined ? null : (JSON.stringify(result) ?? null); }}"
    );
    context
        .eval(source)
        .catch(context)
        .map_err(|error| first_line(&error.to_string()))
}

/// Says what is wrong with the syntax of an expression.
pub fn check(expression: &str) -> Result<(), String> {
    within(|context| compile(&context, expression).map(drop))
}

/// The value of an expression; `None` when it is undefined.
pub fn evaluate(expression: &str, value: &Value, context: &Value) -> Result<Option<Value>, String> {
    let (value, known) = (value.to_string(), context.to_string());
    let text = within(|context| {
        let function = compile(&context, expression)?;
        let result: rquickjs::Result<Option<String>> = function.call((value, known));
        result.catch(&context).map_err(|error| first_line(&error.to_string()))
    })?;
    match text {
        None => Ok(None),
        Some(text) => serde_json::from_str(&text).map(Some).map_err(|error| error.to_string()),
    }
}

/// What comes after it is the stack, which names nothing that the author of the expression knows.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_see_the_value_and_its_context() {
        let context = json!({"vcluster": {"name": "vc"}, "virtualObject": {"metadata": {"name": "a"}}});
        let table = [
            ("\"my-\" + value", json!("x"), Some(json!("my-x"))),
            ("value.slice(\"my-\".length)", json!("my-x"), Some(json!("x"))),
            ("value * 2", json!(3), Some(json!(6))),
            ("value ? {a: [value]} : null", json!(true), Some(json!({"a": [true]}))),
            (
                "`${context.vcluster.name}-${context.virtualObject.metadata.name}`",
                json!(null),
                Some(json!("vc-a")),
            ),
            ("undefined", json!(1), None),
            ("null", json!(1), Some(json!(null))),
            ("() => 1", json!(1), None),
        ];
        for (expression, value, expected) in table {
            assert_eq!(evaluate(expression, &value, &context), Ok(expected), "{expression}");
        }
    }

    #[test]
    fn what_goes_wrong_is_said_and_ends() {
        let run = |expression| evaluate(expression, &json!("x"), &json!({})).unwrap_err();
        assert!(
            run("value.nothing.at.all").contains("cannot read property"),
            "{}",
            run("value.nothing.at.all")
        );
        assert!(run("unknown + 1").contains("unknown"));
        assert!(run("(() => { for (;;) {} })()").contains("longer"));
        assert!(!run("'x'.repeat(1 << 29)").is_empty());
        assert!(!run("(function f() { return f(); })()").is_empty());
        assert!(check("value +").is_err());
        assert_eq!(check("value + 1"), Ok(()));
        // Nothing of all that is left behind.
        assert_eq!(evaluate("value", &json!("x"), &json!({})), Ok(Some(json!("x"))));
    }
}
