use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[test]
fn what_go_prints_is_printed() {
    let file: Value = serde_json::from_str(include_str!("cases.json")).unwrap();
    let mut wrong = Vec::new();
    let cases = file["cases"].as_array().unwrap();
    for case in cases {
        let template = case["template"].as_str().unwrap();
        let printed = render(template, &file["data"]);
        match (case["output"].as_str(), printed) {
            (None, Err(_)) => {}
            (Some(expected), Ok(printed)) if expected == printed => {}
            (expected, printed) => wrong.push(format!("{template}\n  {expected:?}\n  {printed:?}")),
        }
    }
    assert!(cases.len() > 200);
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn errors_name_the_line() {
    for (template, expected) in [
        ("a\n{{ nope }}", "line 2: function \"nope\" not defined"),
        (
            "{{ .a }}\n\n{{ .a.b }}",
            "line 3: can't evaluate field b in type string",
        ),
        (
            "{{ if true }}\n",
            "line 2: unexpected end of the template: an {{end}} is missing",
        ),
        ("{{ 2i }}", "line 1: complex numbers such as 2i are not supported"),
        (
            "{{ slice \"é\" 1 }}",
            "line 1: error calling slice: the slice cuts a character in two",
        ),
        (
            "{{/*\n*/}}{{ len 1 2 }}",
            "line 2: wrong number of args for len: want 1 got 2",
        ),
    ] {
        let error = render(template, &json!({"a": "x"})).unwrap_err();
        assert_eq!(error.to_string(), expected, "{template}");
    }
}

#[test]
fn nothing_is_endless() {
    let endless = "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}";
    let deep = format!("{}1{}", "{{if true}}".repeat(1000), "{{end}}".repeat(1000));
    let parens = format!("{{{{{}1{}}}}}", "(".repeat(100_000), ")".repeat(100_000));
    for (template, expected) in [
        (endless, "nests deeper than"),
        (deep.as_str(), "nests deeper than"),
        (parens.as_str(), "nests deeper than"),
        ("{{range 9223372036854775807}}{{end}}", "takes more than"),
        ("{{range 10000000}}{{printf \"%1000d\" .}}{{end}}", "prints more than"),
    ] {
        let error = render(template, &Value::Null).unwrap_err();
        assert!(error.message.contains(expected), "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_is_a_panic(pieces in proptest::collection::vec(prop_oneof![
        Just("{{"), Just("}}"), Just("{{- "), Just(" -}}"), Just("if "), Just("range "), Just("end"), Just("else "),
        Just("$x"), Just(" := "), Just(", "), Just(".a"), Just(" ."), Just("("), Just(")"), Just(" | "), Just("print "),
        Just("printf \"%*[2]d %q %-08.3f\" "), Just("index "), Just("slice "), Just("eq "), Just(" 1 "), Just("-2.5e3 "),
        Just("\"s\\x41\" "), Just("'é' "), Just("nil "), Just("with "), Just("template \"t\" "), Just("define \"t\" "),
        Just("break"), Just("/* c */"), Just("é\n"),
    ], 0..30)) {
        let _ = render(&pieces.concat(), &json!({"a": [1, "é", null, {"b": 2.5}]}));
    }

    #[test]
    fn no_format_is_a_panic(pattern in "[%\\[\\]0-9*.+# -]{0,6}[a-zA-Z%]{0,2}.{0,3}", number in any::<i64>(), float in any::<f64>()) {
        let template = format!("{{{{printf .p {number} .f .s .l}}}}");
        let _ = render(&template, &json!({"p": pattern, "f": float, "s": "é\n", "l": [1, {"a": null}]}));
    }
}
