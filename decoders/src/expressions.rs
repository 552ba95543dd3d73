//! Expressions and patterns in policies and schemas.

use cel::kubernetes::admission::{Compiler, Options, Purpose};
use cel::kubernetes::device::compile_selector;
use cel::{Value, Variables, regex};
use serde_json::json;

use crate::{Target, halves, texts};

/// What evaluating one expression may cost, as for policies.
const LIMIT: u64 = 1_000_000;

/// CEL: compiling, estimating and evaluating.
pub(crate) const CEL: Target = Target {
    name: "cel",
    run: |input| {
        let text = String::from_utf8_lossy(input);
        let _ = compile_selector(&text);
        let options = Options {
            params: true,
            authorizer: true,
            patches: true,
        };
        if let Ok(program) = Compiler::with_variables().compile(&text, Purpose::Variable, options) {
            let _ = program.evaluate(&Known, LIMIT).result;
        }
    },
    seeds: || {
        texts(&[
            "object.spec.replicas <= params.max && !has(oldObject.spec)",
            "object.list.all(i, i > 0) ? object.list.map(x, x * 2).sum() : size('é') + int('7')",
            "[1, 2u, 3.5, b'\\x00', r'a\\b', null, true, {'a': [1]}].exists_one(e, type(e) == int)",
            "object.name.matches('^a+$') || 'a,b'.split(',')[0].replace('a', 'b').substring(0, 1).upperAscii() == \"\"\"x\"\"\"",
            "quantity('1.5Gi').isGreaterThan(quantity('1k')) && ip('10.0.0.1').isGlobalUnicast() && cidr('10.0.0.0/8').containsIP('10.1.1.1')",
            "timestamp('2026-01-02T03:04:05Z') + duration('1h') > timestamp(0) && url('https://a:1/b?c=d').getHost() == 'a'",
            "Object{spec: Object.spec{replicas: 1}} == dyn(JSONPatch{op: 'add', path: '/a', value: [1]})",
            "cel.bind(x, object.list, x.filter(y, y % 2 == 0).sort().indexOf(2) - 9223372036854775807)",
            "format.dns1123Label().validate('a').hasValue() && 'x%sy%d'.format(['a', 1]) != semver('1.2.3-a').major()",
        ])
    },
};

/// Patterns of RE2 and the texts that they are tried on.
pub(crate) const REGEX: Target = Target {
    name: "regex",
    run: |input| {
        let (pattern, text) = halves(input);
        let (pattern, text) = (String::from_utf8_lossy(pattern), String::from_utf8_lossy(text));
        if regex::complaint(&pattern).is_none() {
            let _ = regex::matches(&pattern, &text);
        }
    },
    seeds: || {
        texts(&[
            "^(a|b)*c{2,5}[^\\d\\pL]+?$\0aabcc",
            "(?i:x)(?P<name>\\x{41}|[[:alpha:]])\\b\0XA",
            "((((a{10}){10}){10}){10})\0aaaa",
        ])
    },
};

/// The variables of an expression.
struct Known;

impl Variables for Known {
    fn get(&self, name: &str) -> Option<Value> {
        let object = json!({"metadata": {"name": "web"}, "spec": {"replicas": 3}, "list": [1, 2, 3], "name": "aaa"});
        match name {
            "object" => Some(Value::from_json(&object)),
            "params" => Some(Value::from_json(&json!({"max": 5}))),
            "oldObject" => Some(Value::from_json(&serde_json::Value::Null)),
            _ => None,
        }
    }
}
