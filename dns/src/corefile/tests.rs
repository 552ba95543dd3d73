//! Corefiles as they occur, and as they should not.

use super::sources::{Sources, glob};
use super::values::duration;
use super::{Directive, ServerBlock, parse};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files and variables in memory.
#[derive(Default)]
struct Memory {
    files: BTreeMap<PathBuf, String>,
    variables: BTreeMap<String, String>,
}

impl Sources for Memory {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self
            .files
            .keys()
            .filter(|file| file.parent() == Some(directory))
            .cloned()
            .collect())
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
}

/// A compact form: `keys { name args { name args } }`.
fn shown(blocks: &[ServerBlock]) -> String {
    fn lines(directives: &[Directive]) -> String {
        let line = |directive: &Directive| {
            let mut words = vec![directive.name.text.clone()];
            words.extend(directive.args.iter().map(|token| token.text.clone()));
            let block = if directive.block.is_empty() {
                String::new()
            } else {
                format!(" {{{}}}", lines(&directive.block))
            };
            words.join(" ") + &block
        };
        directives.iter().map(line).collect::<Vec<_>>().join("; ")
    }
    let block = |block: &ServerBlock| {
        let keys: Vec<_> = block.keys.iter().map(|token| token.text.as_str()).collect();
        format!("{} => {}", keys.join(" "), lines(&block.directives))
    };
    blocks.iter().map(block).collect::<Vec<_>>().join(" | ")
}

fn read(text: &str) -> String {
    read_with(text, &Memory::default())
}

fn read_with(text: &str, sources: &Memory) -> String {
    match parse("/etc/coredns/Corefile", text, sources) {
        Ok(blocks) => shown(&blocks),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn corefiles_are_read() {
    for (text, expected) in [
        ("", ""),
        ("# nothing\n", ""),
        (".:1053 {\n errors\n health\n}\n", ".:1053 => errors; health"),
        (".\nerrors\ncache 30\n", ". => errors; cache 30"),
        (
            "a.org, b.org:54 {\n whoami\n}\nc.org {\n log # all\n}",
            "a.org b.org:54 => whoami | c.org => log",
        ),
        ("a.org,\nb.org {\n log\n}", "a.org b.org => log"),
        (
            ". {\n kubernetes cluster.local in-addr.arpa {\n  pods insecure\n  fallthrough in-addr.arpa\n }\n cache 30\n}",
            ". => kubernetes cluster.local in-addr.arpa {pods insecure; fallthrough in-addr.arpa}; cache 30",
        ),
        (
            ". {\n template IN A {\n  answer \"{{ .Name }} 60 IN A \\\"1\\\"\"\n }\n}",
            ". => template IN A {answer {{ .Name }} 60 IN A \"1\"}",
        ),
        (". {\n cache 30 { success 100 }\n}", ". => cache 30 {success 100}"),
        (
            "(logs) {\n errors\n log\n}\n. {\n import logs\n cache\n}",
            ". => errors; log; cache",
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn mistakes_name_file_and_line() {
    for (text, expected) in [
        (
            "{\n}",
            "error: /etc/coredns/Corefile:1: an address, such as .:53, must stand before {",
        ),
        (
            ". {\n errors\n",
            "error: /etc/coredns/Corefile:2: the file ends before the { of /etc/coredns/Corefile:1 is closed",
        ),
        (". {\n}\n}\n", "error: /etc/coredns/Corefile:3: this } closes nothing"),
        (
            ". {\n log \"x\n}",
            "error: /etc/coredns/Corefile:2: the quote that begins here has no end",
        ),
        (
            ". {\n {\n }\n}",
            "error: /etc/coredns/Corefile:2: a name must stand before {, on the same line",
        ),
        (
            ". {\n import\n}",
            "error: /etc/coredns/Corefile:2: import needs the name of a snippet or of a file",
        ),
        (
            ". {\n import a b\n}",
            "error: /etc/coredns/Corefile:2: import takes one name",
        ),
        (
            ". {\n import absent\n}",
            "error: /etc/coredns/Corefile:2: cannot import /etc/coredns/absent: entity not found",
        ),
        (
            "(a) {\n import a\n}\n. {\n import a\n}",
            "error: /etc/coredns/Corefile:2: a imports itself",
        ),
        (
            "(a) {\n}\n(a) {\n}",
            "error: /etc/coredns/Corefile:3: the snippet a is defined twice",
        ),
        (
            "(a)\nlog",
            "error: /etc/coredns/Corefile:1: the snippet a must be followed by { on its line",
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn files_are_imported_from_beside_the_file_and_by_pattern() {
    let mut sources = Memory::default();
    let mut add = |path: &str, text: &str| sources.files.insert(path.into(), text.into());
    add("/etc/coredns/common", "errors\ncache 5");
    add("/etc/coredns/custom/b.server", "b.org {\n log\n}");
    add("/etc/coredns/custom/a.server", "a.org {\n nonsense {\n}");
    add("/etc/coredns/custom/a.server", "a.org {\n log\n}");
    add("/etc/coredns/custom/readme", "not a Corefile {");
    let text = ". {\n import common\n log\n}\nimport custom/*.server\n";
    assert_eq!(
        read_with(text, &sources),
        ". => errors; cache 5; log | a.org => log | b.org => log"
    );
    assert_eq!(read_with("import custom/*.none\n. {\n log\n}", &sources), ". => log");
    sources
        .files
        .insert("/etc/coredns/common".into(), "errors\ncache {\n".into());
    assert_eq!(
        read_with(". {\n import common\n}", &sources),
        "error: /etc/coredns/Corefile:3: the file ends before the { of /etc/coredns/Corefile:1 is closed"
    );
}

#[test]
fn variables_of_the_environment_are_expanded() {
    let mut sources = Memory::default();
    sources.variables.insert("PORT".to_owned(), "1053".to_owned());
    let text = ".:{$PORT} {\n log a{%PORT%}b{$ABSENT} {$open\n}";
    assert_eq!(read_with(text, &sources), ".:1053 => log a1053b {$open");
}

#[test]
fn globs_match_as_in_the_shell() {
    for (pattern, name, expected) in [
        ("*.server", "a.server", true),
        ("*.server", "a.override", false),
        ("*", "", true),
        ("a*b*c", "aXbYbZc", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("[a-c]x", "bx", true),
        ("[^a-c]x", "bx", false),
        ("[a-", "a", false),
    ] {
        assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn durations_are_those_of_go() {
    for (text, expected) in [
        ("30", Some(Duration::from_secs(30))),
        ("500ms", Some(Duration::from_millis(500))),
        ("1m30s", Some(Duration::from_secs(90))),
        ("1.5h", Some(Duration::from_secs(5400))),
        ("", None),
        ("s", None),
        ("5x", None),
        ("-1s", None),
        ("1e400s", None),
    ] {
        assert_eq!(duration(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z{}()\"#\\\\ \n\t.:,$%*]{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn words_survive_quoting(word in "[a-z \\n{}#]{1,20}") {
        let text = format!(". {{\n log \"{word}\"\n}}");
        prop_assert_eq!(read(&text), format!(". => log {word}"));
    }

    #[test]
    fn globs_end(pattern in "[a*?\\[\\]^-]{0,12}", name in "[ab]{0,12}") {
        let _ = glob(&pattern, &name);
    }

    #[test]
    fn durations_never_panic(text in "[0-9.smhunµ]{0,12}") {
        let _ = duration(&text);
    }
}
