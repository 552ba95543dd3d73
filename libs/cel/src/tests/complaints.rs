//! Complaints about expressions.

use super::{complaints, environment};
use crate::compile;

#[test]
fn complaints_show_the_place() {
    let issues = compile("foo.bar ==\n  \t'é' + oops", &environment(), None).unwrap_err();
    assert_eq!(
        issues.to_string(),
        "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo.bar ==\n | ^\n\
         ERROR: <input>:2:10: undeclared reference to 'oops' (in container '')\n |    'é' + oops\n | ....．....^"
    );
}

#[test]
fn what_is_wrong_is_said_in_cel_gos_words() {
    for (text, expected) in [
        ("a b", "1:3: Syntax error: extraneous input 'b' expecting <EOF>"),
        (
            "a = 1",
            "1:3: Syntax error: token recognition error at: '= '; 1:5: Syntax error: extraneous input '1' expecting <EOF>",
        ),
        (
            "1 +",
            "1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "foo(",
            "1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("(1", "1:3: Syntax error: missing ')' at '<EOF>'"),
        (
            "s.x.y(",
            "1:7: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "'abc",
            "1:1: Syntax error: token recognition error at: ''abc'; 1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "[1,2",
            "1:5: Syntax error: mismatched input '<EOF>' expecting {']', ','}",
        ),
        (
            "{'a':1",
            "1:7: Syntax error: mismatched input '<EOF>' expecting {'}', ','}",
        ),
        ("{'a'}", "1:5: Syntax error: mismatched input '}' expecting ':'"),
        ("a.1", "1:2: Syntax error: extraneous input '.1' expecting <EOF>"),
        ("a..b", "1:3: Syntax error: no viable alternative at input '..'"),
        (
            ")",
            "1:1: Syntax error: mismatched input ')' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "(has(a) && ",
            "1:6: invalid argument to has() macro; 1:12: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "[1].all(1, true) +",
            "1:9: argument must be a simple name; 1:19: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "[1].map(x.y, x) == [1] && as +",
            "1:10: argument is not an identifier; 1:27: reserved identifier: as; 1:31: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("a ? b", "1:6: Syntax error: mismatched input '<EOF>' expecting ':'"),
        (
            "a.true",
            "1:3: Syntax error: mismatched input 'true' expecting IDENTIFIER",
        ),
        ("1 2 3", "1:3: Syntax error: mismatched input '2' expecting <EOF>"),
        (
            "!",
            "1:2: Syntax error: extraneous input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "- - ",
            "1:5: Syntax error: no viable alternative at input '- '; 1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "a && && b",
            "1:6: Syntax error: extraneous input '&&' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("x.", "1:3: Syntax error: no viable alternative at input '.'"),
        (
            "x.y == 'a' ||",
            "1:14: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("[1, 'a']", "1:5: expected type 'int' but found 'string'"),
        ("s.exists(a.b, true)", "1:11: argument must be a simple name"),
        ("has(s)", "1:5: invalid argument to has() macro"),
        ("Foo{a: 1}", "1:4: undeclared reference to 'Foo' (in container '')"),
        (
            "s + 1",
            "1:3: found no matching overload for '_+_' applied to '(string, int)'",
        ),
        ("duration('x')", "1:10: invalid duration argument"),
        ("object.foo(1)", "1:11: undeclared reference to 'foo' (in container '')"),
        ("li.map(x, x.foo)", "1:12: type 'int' does not support field selection"),
        (
            "l.all(x, x == 1)",
            "1:12: found no matching overload for '_==_' applied to '(string, int)'",
        ),
        (
            "s.all(x, x == 1)",
            "1:1: expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        (
            "size(1)",
            "1:5: found no matching overload for 'size' applied to '(int)'",
        ),
        ("b && 1", "1:6: expected type 'bool' but found 'int'"),
        (
            "b ? 1 : 's'",
            "1:3: found no matching overload for '_?_:_' applied to '(bool, int, string)'",
        ),
        ("[[1],['a']]", "1:6: expected type 'list(int)' but found 'list(string)'"),
        (
            "optional.of(1).value() + 's'",
            "1:24: found no matching overload for '_+_' applied to '(int, string)'",
        ),
        (
            "in",
            "1:1: Syntax error: mismatched input 'in' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}; 1:3: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("as", "1:1: reserved identifier: as"),
        ("a.as", "1:1: undeclared reference to 'a' (in container '')"),
        (
            "@",
            "1:1: Syntax error: token recognition error at: '@'; 1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "Object{spec: Object.spec{}}",
            "1:7: undeclared reference to 'Object' (in container '')",
        ),
        (
            "cel.bind(x, 1, x)",
            "1:1: undeclared reference to 'cel' (in container ''); 1:9: undeclared reference to 'bind' (in container ''); 1:10: undeclared reference to 'x' (in container ''); 1:16: undeclared reference to 'x' (in container '')",
        ),
        (
            "kubernetes.Quantity",
            "1:1: undeclared reference to 'kubernetes' (in container '')",
        ),
        ("dyn", "1:1: undeclared reference to 'dyn' (in container '')"),
        ("ip", "1:1: undeclared reference to 'ip' (in container '')"),
        ("a.b.c.d", "1:1: undeclared reference to 'a' (in container '')"),
        (
            "s == null",
            "1:3: found no matching overload for '_==_' applied to '(string, null)'",
        ),
        (
            "l == null",
            "1:3: found no matching overload for '_==_' applied to '(list(string), null)'",
        ),
        (
            "l.join(1)",
            "1:7: found no matching overload for 'join' applied to 'list(string).(int)'",
        ),
        (
            "[] + [1] + ['a']",
            "1:10: found no matching overload for '_+_' applied to '(list(int), list(string))'",
        ),
        ("{'a':1,'b':'c'}", "1:12: expected type 'int' but found 'string'"),
        (
            "[?optional.of(1), ?2]",
            "1:20: expected type 'optional_type(int)' but found 'int'",
        ),
        (
            "l.max() + 1",
            "1:9: found no matching overload for '_+_' applied to '(string, int)'",
        ),
        (
            "object.a.b.c(1).d",
            "1:13: undeclared reference to 'c' (in container '')",
        ),
        (
            "s.substring()",
            "1:12: found no matching overload for 'substring' applied to 'string.()'",
        ),
        (
            "l.filter(x, x)",
            "1:9: found no matching overload for '_?_:_' applied to '(string, list(string), list(string))'",
        ),
        (
            "l.map(x, 1).exists_one(y, y == '')",
            "1:29: found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "l.exists(i, v, i == v)",
            "1:18: found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "m.transformMap(k, v, v + 's')",
            "1:24: found no matching overload for '_+_' applied to '(int, string)'",
        ),
        (
            "s.optMap(x, x)",
            "1:9: found no matching overload for 'hasValue' applied to 'string.()'; 1:9: found no matching overload for 'value' applied to 'string.()'",
        ),
        (
            "optional.of(s).optMap(x, x + 1)",
            "1:28: found no matching overload for '_+_' applied to '(string, int)'",
        ),
        (
            "`a`",
            "1:1: Syntax error: mismatched input '`a`' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("object.`a-b`", "1:8: unsupported syntax: '`'"),
        (
            "1 == 1 && 2 == 2 && 3 == 'a' && b",
            "1:23: found no matching overload for '_==_' applied to '(int, string)'",
        ),
        ("1.", "1:3: Syntax error: no viable alternative at input '.'"),
        ("a.5", "1:2: Syntax error: extraneous input '.5' expecting <EOF>"),
        ("'a' 'b'", "1:5: Syntax error: extraneous input ''b'' expecting <EOF>"),
        ("'''multi", "1:3: Syntax error: token recognition error at: ''multi'"),
        (
            "line'''",
            "1:5: Syntax error: extraneous input '''' expecting <EOF>; 1:7: Syntax error: token recognition error at: '''",
        ),
        ("s.matches('[')", "1:11: invalid matches argument"),
        (
            "true && ",
            "1:9: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "|| b",
            "1:1: Syntax error: extraneous input '||' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("b ||| b", "1:5: Syntax error: token recognition error at: '| '"),
        (
            "b | b",
            "1:3: Syntax error: token recognition error at: '| '; 1:5: Syntax error: extraneous input 'b' expecting <EOF>",
        ),
        (
            "b & b",
            "1:3: Syntax error: token recognition error at: '& '; 1:5: Syntax error: extraneous input 'b' expecting <EOF>",
        ),
        (
            "i = 2",
            "1:3: Syntax error: token recognition error at: '= '; 1:5: Syntax error: extraneous input '2' expecting <EOF>",
        ),
        (
            "i == ",
            "1:6: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("i == 2)", "1:7: Syntax error: extraneous input ')' expecting <EOF>"),
        ("((i)", "1:5: Syntax error: missing ')' at '<EOF>'"),
        ("[1,,2]", "1:4: Syntax error: mismatched input ',' expecting ']'"),
        (
            "foo(1,)",
            "1:7: Syntax error: mismatched input ')' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "f(,)",
            "1:3: Syntax error: extraneous input ',' expecting {'[', '{', '(', ')', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("s.foo.(1)", "1:7: Syntax error: no viable alternative at input '.('"),
        ("s.?foo", "1:2: type 'string' does not support field selection"),
        ("s?.foo", "1:7: Syntax error: mismatched input '<EOF>' expecting ':'"),
        ("l[0", "1:4: Syntax error: missing ']' at '<EOF>'"),
        (
            "l[]",
            "1:3: Syntax error: mismatched input ']' expecting {'[', '{', '(', '.', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "{:}",
            "1:2: Syntax error: extraneous input ':' expecting {'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "{1:}",
            "1:4: Syntax error: mismatched input '}' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("{1 2}", "1:4: Syntax error: missing ':' at '2'"),
        ("Foo{}", "1:4: undeclared reference to 'Foo' (in container '')"),
        ("Foo{a}", "1:6: Syntax error: mismatched input '}' expecting ':'"),
        (
            "Foo{a:}",
            "1:7: Syntax error: mismatched input '}' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("Foo{a:1,,b:2}", "1:9: Syntax error: mismatched input ',' expecting '}'"),
        (
            "a.b.Foo{a:1}",
            "1:8: undeclared reference to 'a.b.Foo' (in container '')",
        ),
        (
            "x ? y : ",
            "1:9: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "x ? : z",
            "1:5: Syntax error: extraneous input ':' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}; 1:8: Syntax error: mismatched input '<EOF>' expecting ':'",
        ),
        (
            "? ",
            "1:1: Syntax error: mismatched input '?' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}; 1:3: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            ":",
            "1:1: Syntax error: mismatched input ':' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("a:b", "1:2: Syntax error: mismatched input ':' expecting <EOF>"),
        ("a,b", "1:2: Syntax error: mismatched input ',' expecting <EOF>"),
        (
            ";",
            "1:1: Syntax error: token recognition error at: ';'; 1:2: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "a; b",
            "1:2: Syntax error: token recognition error at: ';'; 1:4: Syntax error: extraneous input 'b' expecting <EOF>",
        ),
        ("$x", "1:1: Syntax error: token recognition error at: '$'"),
        ("#x", "1:1: Syntax error: token recognition error at: '#'"),
        (
            "i + ",
            "1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "i + * 2",
            "1:5: Syntax error: extraneous input '*' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "i ** 2",
            "1:4: Syntax error: extraneous input '*' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "i % % 2",
            "1:5: Syntax error: extraneous input '%' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "i in",
            "1:5: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "in i",
            "1:1: Syntax error: extraneous input 'in' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "i in in",
            "1:6: Syntax error: mismatched input 'in' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}; 1:8: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "!!",
            "1:3: Syntax error: extraneous input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("not b", "1:5: Syntax error: extraneous input 'b' expecting <EOF>"),
        ("b and b", "1:3: Syntax error: mismatched input 'and' expecting <EOF>"),
        ("b AND b", "1:3: Syntax error: mismatched input 'AND' expecting <EOF>"),
        (
            "i > 1 and i < 2",
            "1:7: Syntax error: mismatched input 'and' expecting <EOF>",
        ),
        ("if", "1:1: reserved identifier: if"),
        ("for", "1:1: reserved identifier: for"),
        (
            "true.false",
            "1:6: Syntax error: mismatched input 'false' expecting IDENTIFIER",
        ),
        ("1.foo", "1:2: type 'int' does not support field selection"),
        ("'a'.size", "1:4: type 'string' does not support field selection"),
        (
            "\"unterminated",
            "1:1: Syntax error: token recognition error at: '\"unterminated'; 1:14: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "'esc \\q'",
            "1:1: Syntax error: token recognition error at: ''esc \\q'; 1:8: Syntax error: token recognition error at: '''; 1:9: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "b'abc' == 'abc'",
            "1:8: found no matching overload for '_==_' applied to '(bytes, string)'",
        ),
        ("function", "1:1: reserved identifier: function"),
        ("has()", "1:4: undeclared reference to 'has' (in container '')"),
        ("has(a)", "1:5: invalid argument to has() macro"),
        ("has(a.b.c)", "1:5: undeclared reference to 'a' (in container '')"),
        ("has(object['a'])", "1:11: invalid argument to has() macro"),
        ("l.all()", "1:6: undeclared reference to 'all' (in container '')"),
        (
            "l.all(x)",
            "1:6: undeclared reference to 'all' (in container ''); 1:7: undeclared reference to 'x' (in container '')",
        ),
        ("l.all(x, y)", "1:10: undeclared reference to 'y' (in container '')"),
        ("l.all(1, true)", "1:7: argument must be a simple name"),
        ("l.all(x.y, true)", "1:8: argument must be a simple name"),
        (
            "l.map(x)",
            "1:6: undeclared reference to 'map' (in container ''); 1:7: undeclared reference to 'x' (in container '')",
        ),
        ("l.map(1, 2)", "1:7: argument is not an identifier"),
        ("l.exists_one(x, true, 1)", "1:17: argument must be a simple name"),
        ("l.all(x, x, true)", "1:10: duplicate variable name: x"),
        ("[1, 2u]", "1:5: expected type 'int' but found 'uint'"),
        ("[1, 2.0]", "1:5: expected type 'int' but found 'double'"),
        ("[1, dyn(2)]", "1:8: expected type 'int' but found 'dyn'"),
        ("[dyn(1), 'a']", "1:10: expected type 'dyn' but found 'string'"),
        ("{1: 'a', 'b': 'c'}", "1:10: expected type 'int' but found 'string'"),
        ("[null, 1]", "1:8: expected type 'null' but found 'int'"),
        ("[object, 1]", "1:10: expected type 'dyn' but found 'int'"),
        ("[1, object]", "1:5: expected type 'int' but found 'dyn'"),
        ("timestamp('bad')", "1:11: invalid timestamp argument"),
        ("duration('1h') + duration('bad')", "1:27: invalid duration argument"),
        (
            "authorizer.check('x')",
            "1:17: found no matching overload for 'check' applied to 'kubernetes.authorization.Authorizer.(string)'",
        ),
        (
            "authorizer.path('/x').allowed()",
            "1:30: found no matching overload for 'allowed' applied to 'kubernetes.authorization.PathCheck.()'",
        ),
        (
            "authorizer.group('x').check('y')",
            "1:28: found no matching overload for 'check' applied to 'kubernetes.authorization.GroupCheck.(string)'",
        ),
        (
            "quantity('1') == 1",
            "1:15: found no matching overload for '_==_' applied to '(kubernetes.Quantity, int)'",
        ),
        (
            "quantity('1').foo",
            "1:14: unexpected failed resolution of 'kubernetes.Quantity'",
        ),
        (
            "ip('1.2.3.4').foo",
            "1:14: type 'net.IP' does not support field selection",
        ),
        (
            "ip('1').family() == '4'",
            "1:18: found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "timestamp('2020-01-01T00:00:00Z').getHours('x') + 's'",
            "1:49: found no matching overload for '_+_' applied to '(int, string)'",
        ),
        (
            "object.x.matches(1)",
            "1:17: found no matching overload for 'matches' applied to 'dyn.(int)'",
        ),
        (
            "foo.bar()",
            "1:1: undeclared reference to 'foo' (in container ''); 1:8: undeclared reference to 'bar' (in container '')",
        ),
        (
            "foo.bar.baz(1)",
            "1:1: undeclared reference to 'foo' (in container ''); 1:12: undeclared reference to 'baz' (in container '')",
        ),
        ("s.bar()", "1:6: undeclared reference to 'bar' (in container '')"),
        ("bar()", "1:4: undeclared reference to 'bar' (in container '')"),
        ("bar(1, 's')", "1:4: undeclared reference to 'bar' (in container '')"),
        (
            "undefined1 + undefined2",
            "1:1: undeclared reference to 'undefined1' (in container ''); 1:14: undeclared reference to 'undefined2' (in container '')",
        ),
        (
            "undefined1 && undefined2 || undefined3",
            "1:1: undeclared reference to 'undefined1' (in container ''); 1:15: undeclared reference to 'undefined2' (in container ''); 1:29: undeclared reference to 'undefined3' (in container '')",
        ),
        (
            "",
            "1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "'%d'.format(['a'])",
            "1:14: error during formatting: decimal clause can only be used on integers, was given string",
        ),
        ("'%s %s'.format(['a'])", "1:15: index 1 out of range"),
        (
            "'%z'.format([1])",
            "1:12: could not parse formatting clause: unrecognized formatting clause \"z\"",
        ),
        (
            "'%s'.format([1, 2])",
            "1:12: too many arguments supplied to string.format (expected 1, got 2)",
        ),
    ] {
        assert_eq!(complaints(text), expected, "{text}");
    }
}
