//! What a real cel-go with Kubernetes' libraries says about expressions, find by find.

use crate::{Cost, Environment, Sizes, Type, Value, Variables, compile};
use serde_json::json;

mod complaints;

struct Given;

impl Variables for Given {
    fn get(&self, name: &str) -> Option<Value> {
        Some(match name {
            "object" => Value::Null,
            "s" => Value::text("abc"),
            "i" => Value::Int(3),
            "u" => Value::Uint(3),
            "d" => Value::Double(1.5),
            "b" => Value::Bool(true),
            "l" => Value::from_json(&json!(["a", "b"])),
            "li" => Value::from_json(&json!([1, 2, 3])),
            "m" => Value::from_json(&json!({"a": 1})),
            _ => return None,
        })
    }
}

impl Sizes for Given {
    fn size(&self, _path: &[String]) -> Option<Cost> {
        None
    }
}

fn environment() -> Environment {
    Environment::new()
        .variable("object", Type::Dyn)
        .variable("s", Type::String)
        .variable("i", Type::Int)
        .variable("u", Type::Uint)
        .variable("d", Type::Double)
        .variable("b", Type::Bool)
        .variable("l", Type::list(Type::String))
        .variable("li", Type::list(Type::Int))
        .variable("m", Type::map(Type::String, Type::Int))
        .variable("authorizer", Type::object("kubernetes.authorization.Authorizer"))
}

/// The complaints without the lines they repeat.
fn complaints(text: &str) -> String {
    let issues = compile(text, &environment(), None)
        .err()
        .map(|issues| issues.to_string());
    let issues = issues.unwrap_or_default();
    let lines = issues.lines().filter_map(|line| line.strip_prefix("ERROR: <input>:"));
    lines.collect::<Vec<_>>().join("; ")
}

#[test]
fn costs_are_estimated_as_cel_go_does() {
    for (text, expected) in [
        ("type(1) == int", "3..1844674407370955266"),
        ("object.?foo.orValue(1)", "3..3"),
        ("l[?0].orValue('x')", "3..3"),
        ("optional.none() == optional.of(1)", "3..3"),
        ("type(optional.of(1))", "2..2"),
        ("[optional.of(1)].unwrapOpt()", "12..12"),
        ("string(ip('1.2.3.4'))", "2..2"),
        ("object == null", "2..2"),
        ("{}.a", "31..31"),
        (
            "object.metadata.name.startsWith('x') && object.spec.replicas <= 5",
            "2..4",
        ),
        ("l.all(x, x.matches('^[a-z]+$'))", "2..18446744073709551615"),
        ("l.map(x, x + 'a').join(',').size() > 3", "14..18446744073709551615"),
        ("m.all(k, m[k] > 1)", "2..18446744073709551615"),
        ("m['a'] + li[0]", "5..5"),
        ("li.sum() > 3 && li.max() == 2", "2..18446744073709551615"),
        ("quantity('1').isGreaterThan(quantity('2'))", "3..3"),
        (
            "s.split(',').map(x, x.trim()).exists(x, x == 'a')",
            "13..18446744073709551615",
        ),
        ("s.replace('a', 'bb')", "1..3689348814741910529"),
        ("url('http://x').getHost() == 'x'", "3..3"),
        (
            "timestamp('2020-01-01T00:00:00Z') + duration('1h') > timestamp('2020-01-01T00:00:00Z')",
            "5..5",
        ),
        (
            "authorizer.group('apps').resource('deployments').check('create').allowed()",
            "350004..350004",
        ),
        ("l.exists(x, l.exists(y, x == y))", "2..18446744073709551615"),
        ("l + l == l", "5..1844674407370955268"),
        ("'a' in l", "1..18446744073709551615"),
        ("1 in li", "1..18446744073709551615"),
        ("s in m", "3..3"),
        ("{'a': [1], 'b': [2]}['a'][0]", "52..52"),
        ("[1,2,3].filter(x, x > 1).map(y, y * 2)", "83..119"),
        ("s.contains('ab') || s.endsWith('cd')", "1..1844674407370955267"),
        ("string(1) + string(2u) + string(1.5)", "3..3689348814741910531"),
        ("cidr('10.0.0.0/8').containsIP('10.0.0.1')", "3..6"),
        ("cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/16'))", "6..10"),
        ("semver('1.2.3').isLessThan(semver('1.3.0'))", "3..3"),
        ("format.dns1123Label().validate('a').hasValue()", "34..34"),
        ("s.find('a.*').size()", "3..1844674407370955266"),
        ("s.findAll('a', 3)", "2..1844674407370955265"),
        ("strings.quote(s)", "1..1844674407370955265"),
        ("'%s %d'.format([s, i])", "13..13"),
        ("b'abc' + bytes(s)", "2..3689348814741910529"),
        ("dyn(s) == dyn(i)", "5..5"),
        ("-i", "2..2"),
        ("!b", "2..2"),
        ("i - -1", "2..2"),
        ("1u + u", "2..2"),
        ("s.matches('(?P<a>x)')", "3..3689348814741910529"),
        ("[,]", "10..10"),
        ("{,}", "30..30"),
        ("{1:2,}", "30..30"),
        ("[1,]", "10..10"),
        ("l[?0]", "2..2"),
        ("has(object.a.b) && object.a.b > 1", "1..3"),
        ("object.exists(x, x.y)", "2..18446744073709551615"),
        ("object.all(k, v, v == k)", "2..18446744073709551615"),
        ("object.map(x, x.y).filter(z, z)", "23..18446744073709551615"),
        ("type(object) == map", "4..1844674407370955267"),
        (
            "s.lowerAscii().upperAscii().charAt(0).indexOf('a')",
            "2..5534023222112865794",
        ),
        ("matches(s, s)", "3..3"),
        ("size(object)", "2..2"),
        ("object.size() > 1", "3..3"),
    ] {
        let cost = compile(text, &environment(), Some(&Given)).unwrap().cost().unwrap();
        assert_eq!(format!("{}..{}", cost.min, cost.max), expected, "{text}");
    }
}

#[test]
fn values_are_those_of_cel_go() {
    for (text, expected) in [
        ("[1,2,3].map(x, x * 2)", "[2,4,6]"),
        ("[1,2,3].filter(x, x > 1)", "[2,3]"),
        ("[1,2,3].all(x, x > 0)", "true"),
        ("[1,2,3].exists_one(x, x > 2)", "true"),
        ("{'a':1}.map(k, k)", "[\"a\"]"),
        ("{'a':1,'b':2}.exists(k, v, v == 2)", "true"),
        ("[1,2].transformList(i, v, i + v)", "[1,3]"),
        ("1 / 0", "ERR division by zero"),
        ("1 % 0", "ERR modulus by zero"),
        ("1u / 0u", "ERR division by zero"),
        ("9223372036854775807 + 1", "ERR integer overflow"),
        ("-9223372036854775807 - 2", "ERR integer overflow"),
        ("li[5]", "ERR index out of bounds: 5"),
        ("li[-1]", "ERR index out of bounds: -1"),
        ("m['x']", "ERR no such key: x"),
        ("m.x", "ERR no such key: x"),
        ("object.x", "ERR no such key: x"),
        ("object.x.y", "ERR no such key: x"),
        ("1u < 2.5", "true"),
        ("dyn(1) == 'a'", "false"),
        ("dyn(1) < dyn('a')", "ERR no such overload"),
        ("'a' < 'b'", "true"),
        ("timestamp('2020-01-01T00:00:00Z')", "\"2020-01-01T00:00:00Z\""),
        (
            "timestamp('2020-01-01T00:00:00.5Z') + duration('1h30m')",
            "\"2020-01-01T01:30:00.5Z\"",
        ),
        ("string(duration('1h30m'))", "\"5400s\""),
        (
            "string(timestamp('2020-01-01T00:00:00.123Z'))",
            "\"2020-01-01T00:00:00.123Z\"",
        ),
        ("timestamp('2020-01-01T00:00:00Z').getDayOfWeek()", "3"),
        ("timestamp('2020-01-01T00:00:00Z').getHours('America/New_York')", "19"),
        ("timestamp('2020-01-01T00:00:00Z').getHours('02:00')", "2"),
        (
            "timestamp('2020-01-01T00:00:00Z').getHours('Nope/Zone')",
            "ERR unknown time zone Nope/Zone",
        ),
        ("duration('1h').getMinutes()", "60"),
        ("int('12')", "12"),
        ("double('1.5')", "1.5"),
        ("string(1.0)", "\"1\""),
        ("string(1e30)", "\"1e+30\""),
        ("string(1.5e-7)", "\"1.5e-07\""),
        ("string(100000.0)", "\"100000\""),
        ("bytes('abc')", "\"YWJj\""),
        ("string(b'abc')", "\"abc\""),
        ("type('a') == string", "true"),
        ("size('héllo')", "5"),
        ("'abc'.charAt(3)", "\"\""),
        ("'abc'.charAt(4)", "ERR index out of range: 4"),
        ("'abc'.substring(1)", "\"bc\""),
        ("'abc'.substring(1,2)", "\"b\""),
        ("'abc'.substring(2,1)", "ERR invalid substring range. start: 2, end: 1"),
        ("'abc'.substring(0,9)", "ERR index out of range: 9"),
        ("'hello'.indexOf('l')", "2"),
        ("'hello'.indexOf('l', 3)", "3"),
        ("'hello'.lastIndexOf('l')", "3"),
        ("'hello'.lastIndexOf('l', 2)", "2"),
        ("'hello'.indexOf('')", "0"),
        ("'hello'.lastIndexOf('')", "5"),
        ("'hello'.indexOf('x', 10)", "-1"),
        ("'a,b,c'.split(',')", "[\"a\",\"b\",\"c\"]"),
        ("'a,b,c'.split(',', 2)", "[\"a\",\"b,c\"]"),
        ("'abc'.split('')", "[\"a\",\"b\",\"c\"]"),
        ("'abc'.split('', 2)", "[\"a\",\"bc\"]"),
        ("'aaa'.replace('a', 'b', 2)", "\"bba\""),
        ("'aaa'.replace('', '-')", "\"-a-a-a-\""),
        ("['a','b'].join('-')", "\"a-b\""),
        ("' a '.trim()", "\"a\""),
        ("strings.quote('a\"b\\n')", "\"\\\"a\\\\\\\"b\\\\n\\\"\""),
        ("'%s'.format([[1,2]])", "\"[1, 2]\""),
        ("'%s'.format([null])", "\"null\""),
        ("'%s'.format([duration('1h')])", "\"3600s\""),
        ("'abc'.matches('b')", "true"),
        ("'abc'.find('[b-c]+')", "\"bc\""),
        ("'abcabc'.findAll('b', 1)", "[\"b\"]"),
        ("[3,1,2].sort()", "[1,2,3]"),
        ("[3,1,2].max()", "3"),
        ("[].max()", "ERR max called on empty list"),
        ("[1,2].sum()", "3"),
        ("[1,1,2].distinct()", "[1,2]"),
        ("[1,2,3].slice(1,2)", "[2]"),
        (
            "[1,2,3].slice(2,1)",
            "ERR cannot slice(2, 1), start index must be less than or equal to end index",
        ),
        ("[1,2,3].slice(0,9)", "ERR cannot slice(0, 9), list is length 3"),
        ("[1,2,3].reverse()", "[3,2,1]"),
        ("lists.range(3)", "[0,1,2]"),
        ("[1,2].indexOf(2)", "1"),
        ("[1,2,1].lastIndexOf(1)", "2"),
        ("[1,2].isSorted()", "true"),
        ("sets.contains([1,2],[1])", "true"),
        ("sets.equivalent([1,2],[2,1,1])", "true"),
        ("sets.intersects([1],[2])", "false"),
        ("quantity('1Gi').asInteger()", "1073741824"),
        ("quantity('1.5').asInteger()", "ERR cannot convert value to integer"),
        ("quantity('100m').asApproximateFloat()", "0.1"),
        (
            "quantity('x')",
            "ERR quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("quantity('1').add(quantity('1')).compareTo(quantity('2'))", "0"),
        ("quantity('50M').sub(20) == quantity('49999980')", "true"),
        ("isQuantity('1x')", "false"),
        ("sign(quantity('-1'))", "-1"),
        ("ip('1.2.3.4').family()", "4"),
        ("ip('::1').isLoopback()", "true"),
        (
            "ip('x')",
            "ERR IP Address \"x\" parse error during conversion from string: ParseAddr(\"x\"): unable to parse IP",
        ),
        ("isIP('fe80::1%eth0')", "false"),
        ("ip.isCanonical('0:0:0::1')", "false"),
        ("cidr('10.0.0.0/8').containsIP('10.1.1.1')", "true"),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"),
        ("cidr('10.1.0.0/8').masked() == cidr('10.0.0.0/8')", "true"),
        ("string(cidr('10.1.0.0/8'))", "\"10.1.0.0/8\""),
        ("url('https://a.b:80/p?q=1').getHost()", "\"a.b:80\""),
        ("url('https://a.b:80/p?q=1').getPort()", "\"80\""),
        ("url('https://[::1]:80/p').getHostname()", "\"::1\""),
        ("url('/p/x').getEscapedPath()", "\"/p/x\""),
        (
            "url('x')",
            "ERR URL parse error during conversion from string: parse \"x\": invalid URI for request",
        ),
        ("isURL('http://')", "true"),
        ("isURL('../x')", "false"),
        ("semver('1.2.3-a.1').isLessThan(semver('1.2.3'))", "true"),
        ("semver('v1.2', true).minor()", "2"),
        ("semver('1.2')", "ERR No Major.Minor.Patch elements found"),
        ("isSemver('01.2.3')", "false"),
        (
            "format.dns1123Label().validate('A')",
            "[\"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')\"]",
        ),
        ("format.named('dns1123Label').hasValue()", "true"),
        ("format.named('x').hasValue()", "false"),
        ("format.uuid().validate('x')", "[\"does not match the UUID format\"]"),
        ("format.date().validate('x')", "[\"invalid date\"]"),
        (
            "format.uri().validate('x')",
            "[\"parse \\\"x\\\": invalid URI for request\"]",
        ),
        ("format.byte().validate('x')", "[\"invalid base64\"]"),
        ("format.datetime().validate('x')", "[\"invalid datetime\"]"),
        ("optional.of(1).value()", "1"),
        ("optional.none().value()", "ERR optional.none() dereference"),
        ("optional.none().orValue(3)", "3"),
        ("optional.of(1).or(optional.of(2)).value()", "1"),
        ("optional.of(2).optMap(x, x * 2).value()", "4"),
        ("optional.of(2).optFlatMap(x, optional.none()).hasValue()", "false"),
        ("{'a': {'b': 1}}.?a.?b.value()", "1"),
        ("{'a': {'b': 1}}.?x.?b.hasValue()", "false"),
        ("[?optional.none(), 1]", "[1]"),
        ("[1,2][?5].hasValue()", "false"),
        ("has({'a':1}.a)", "true"),
        ("has({'a':1}.b)", "false"),
        ("has(object.a)", "false"),
        ("optional.ofNonZeroValue('').hasValue()", "false"),
        ("[optional.of(1), optional.none()].unwrapOpt()", "[1]"),
        ("true || (1/0 == 1)", "true"),
        ("(1/0 == 1) || true", "true"),
        ("(1/0 == 1) || false", "ERR division by zero"),
        ("false && (1/0 == 1)", "false"),
        ("(1/0 == 1) && false", "false"),
        ("(1/0 == 1) && (m.x == 1)", "ERR division by zero"),
        ("[1,0].all(x, 1/x == 1)", "ERR division by zero"),
        ("[0,1].exists(x, 1/x == 1)", "true"),
        ("[0,2].exists(x, 1/x == 1)", "ERR division by zero"),
        ("[1,2].map(x, 1/(x-1))", "ERR division by zero"),
        ("'a' in {'a':1}", "true"),
        ("2 in [1,2]", "true"),
        ("dyn('a') in [dyn(1)]", "false"),
        ("b ? 1 : 2", "1"),
        ("dyn(1) ? 1 : 2", "ERR no such overload"),
        ("dyn(1) && true", "ERR no such overload"),
        ("dyn('a') + dyn(1)", "ERR no such overload"),
        ("dyn('a').size()", "1"),
        ("-dyn('a')", "ERR no such overload"),
        ("!dyn(1)", "ERR no such overload"),
        ("dyn('a').startsWith('a')", "true"),
        ("dyn(1).startsWith('a')", "ERR no such overload"),
        ("dyn([1])['a']", "ERR unsupported index type 'string' in list"),
        ("dyn(1)[0]", "ERR no such key: 0"),
        ("dyn(1).foo", "ERR no such key: foo"),
        ("null == null", "true"),
        ("google.protobuf.Timestamp{}", "\"1970-01-01T00:00:00Z\""),
        ("double('NaN') == double('NaN')", "false"),
        ("double('NaN') < 1.0", "ERR NaN values cannot be ordered"),
    ] {
        let evaluation = compile(text, &environment(), None).unwrap().evaluate(&Given, 1_000_000);
        let shown = match evaluation.result {
            Ok(value) => value.to_json().map(|json| json.to_string()).unwrap_or_default(),
            Err(failure) => format!("ERR {failure}"),
        };
        assert_eq!(shown, expected, "{text}");
    }
}

#[test]
fn conversions_of_literals_fail_before_they_are_evaluated() {
    for (text, expected) in [
        ("int('x') == 1", Some("type conversion error from 'string' to 'int'")),
        ("bool('x')", Some("type conversion error from 'string' to 'bool'")),
        (
            "double('x') > 1.0",
            Some("type conversion error from 'string' to 'double'"),
        ),
        ("uint('-1') == u", Some("type conversion error from 'string' to 'uint'")),
        ("uint(-1) == u", Some("unsigned integer overflow")),
        ("int(1e30) == 1", Some("integer overflow")),
        (
            "string(b'\\xff') == ''",
            Some("invalid UTF-8 in bytes, cannot convert to string"),
        ),
        (
            "false && int('x') == 1",
            Some("type conversion error from 'string' to 'int'"),
        ),
        (
            "int(int('x')) == 1",
            Some("type conversion error from 'string' to 'int'"),
        ),
        (
            "int(dyn('x')) == 1",
            Some("type conversion error from 'string' to 'int'"),
        ),
        (
            "[1].map(x, int('y')) == [1]",
            Some("type conversion error from 'string' to 'int'"),
        ),
        ("int('1') == 1 && type(1) == int && int(s) == 1", None),
    ] {
        let program = compile(text, &environment(), None).unwrap();
        let found = program.failing_literal().map(|failure| failure.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
    }
}

#[test]
fn evaluation_stops_at_its_limit() {
    let program = compile("li.all(x, li.all(y, li.all(z, x + y + z > 0)))", &environment(), None).unwrap();
    let evaluation = program.evaluate(&Given, 20);
    assert_eq!(
        evaluation.result.unwrap_err().to_string(),
        "operation cancelled: actual cost limit exceeded"
    );
    assert!(program.evaluate(&Given, 1_000_000).cost < 1_000);
}

proptest::proptest! {
    /// No text may panic, whatever it is.
    #[test]
    fn any_text_is_read_or_refused(text in "[-a-z0-9 .?:()\\[\\]{}!<>=&|+*/%'\"\\\\,@]{0,40}") {
        if let Ok(program) = compile(&text, &environment(), Some(&Given)) {
            let _ = program.evaluate(&Given, 10_000).result.map(|value| value.to_json());
        }
    }
}
