use cel::{Cost, Environment, Sizes, Type, compile};
use std::io::BufRead;
struct V;
impl cel::Variables for V {
    fn get(&self, n: &str) -> Option<cel::Value> {
        use cel::Value as X;
        let j = |v| X::from_json(&v);
        Some(match n {
            "object" | "oldObject" | "params" => X::Null,
            "s" => X::text("abc"),
            "i" => X::Int(3),
            "u" => X::Uint(3),
            "d" => X::Double(1.5),
            "b" => X::Bool(true),
            "l" => j(serde_json::json!(["a", "b"])),
            "li" => j(serde_json::json!([1, 2, 3])),
            "m" => j(serde_json::json!({"a":1})),
            _ => return None,
        })
    }
}
struct None_;
impl Sizes for None_ {
    fn size(&self, _: &[String]) -> Option<Cost> {
        None
    }
}
fn main() {
    let env = Environment::new()
        .variable("object", Type::Dyn)
        .variable("oldObject", Type::Dyn)
        .variable("params", Type::Dyn)
        .variable("s", Type::String)
        .variable("i", Type::Int)
        .variable("u", Type::Uint)
        .variable("d", Type::Double)
        .variable("b", Type::Bool)
        .variable("l", Type::list(Type::String))
        .variable("li", Type::list(Type::Int))
        .variable("m", Type::map(Type::String, Type::Int))
        .variable("authorizer", Type::object("kubernetes.authorization.Authorizer"));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let v: serde_json::Value = serde_json::from_str(&line).unwrap();
        let text = v["expr"].as_str().unwrap();
        let mut out = serde_json::json!({"expr": text, "env": v["env"].as_str().unwrap_or("")});
        match compile(text, &env, Some(&None_)) {
            Err(e) => out["error"] = e.to_string().into(),
            Ok(p) => {
                out["type"] = p.result_type().to_string().into();
                let c = p.cost().unwrap();
                let e = p.evaluate(&V, 1_000_000);
                out["eval"] = match e.result {
                    Ok(v) => v.to_json().map_or("?".into(), |j| j.to_string().into()),
                    Err(f) => format!("ERR {f}").into(),
                };
                out["cost"] = format!("{}..{}", c.min, c.max).into();
            }
        }
        println!("{out}");
    }
}
