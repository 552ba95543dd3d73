//! Rewrites measurements in Prometheus' text format as they pass: only series of this cluster's pods and claims, under their
//! virtual names, and those that are about the node as a whole.
//!
//! Nothing is parsed but the labels. A line that cannot be understood is left out, for it may name anything.

use std::borrow::Cow;

use super::owned::Owned;
use crate::kinds::Kind;

/// A longer line is left out.
const LONGEST_LINE: usize = 1 << 20;

/// Finds the virtual object behind a host object, given its kind, namespace and name.
pub(super) trait Find: FnMut(Kind, &str, &str) -> Option<Owned> {}

impl<F: FnMut(Kind, &str, &str) -> Option<Owned>> Find for F {}

/// The state between two chunks of text.
#[derive(Default)]
pub(super) struct Rewriter {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Whether that line is too long to be kept.
    overlong: bool,
    /// What is said about the series that follow, until one of them is passed on.
    heading: String,
    /// The family that the heading is about.
    family: String,
}

impl Rewriter {
    /// Takes a chunk and returns what can be passed on.
    pub(super) fn push(&mut self, mut chunk: &[u8], find: &mut impl Find) -> Vec<u8> {
        let mut out = String::new();
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            self.extend(&chunk[..end]);
            chunk = &chunk[end + 1..];
            self.end_line(find, &mut out);
        }
        self.extend(chunk);
        out.into_bytes()
    }

    /// Takes the end of the text, which may come without a line break.
    pub(super) fn finish(&mut self, find: &mut impl Find) -> Vec<u8> {
        let mut out = String::new();
        if !self.line.is_empty() {
            self.end_line(find, &mut out);
        }
        out.into_bytes()
    }

    fn extend(&mut self, part: &[u8]) {
        if self.line.len() + part.len() > LONGEST_LINE {
            self.overlong = true;
            self.line.clear();
        }
        if !self.overlong {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self, find: &mut impl Find, out: &mut String) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.overlong) {
            return;
        }
        let Ok(line) = std::str::from_utf8(&line) else {
            return;
        };
        if line.starts_with('#') {
            self.comment(line);
        } else if let Some(series) = rewritten(line, find) {
            out.push_str(&self.heading);
            self.heading.clear();
            out.push_str(&series);
            out.push('\n');
        }
    }

    fn comment(&mut self, line: &str) {
        let mut words = line.splitn(4, ' ');
        let (Some("#"), Some("HELP" | "TYPE" | "UNIT"), Some(family)) = (words.next(), words.next(), words.next())
        else {
            return;
        };
        if family != self.family {
            self.heading.clear();
            family.clone_into(&mut self.family);
        }
        self.heading.push_str(line);
        self.heading.push('\n');
    }
}

/// One series under virtual names; `None` when it is not this cluster's or cannot be read.
fn rewritten<'a>(line: &'a str, find: &mut impl Find) -> Option<Cow<'a, str>> {
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    if !line[name_end..].starts_with('{') {
        return Some(Cow::Borrowed(line));
    }
    let (mut labels, rest) = labels(&line[name_end + 1..])?;
    let value = |labels: &[(&str, Cow<'_, str>)], name: &str| -> String {
        let found = labels.iter().find(|(label, _)| *label == name);
        found.map(|(_, value)| value.to_string()).unwrap_or_default()
    };
    let (pod, claim) = (value(&labels, "pod"), value(&labels, "persistentvolumeclaim"));
    let namespace = value(&labels, "namespace");
    if pod.is_empty() && claim.is_empty() {
        // Somebody's, if it has a namespace or is about the cgroup of a pod that has gone; else the node's.
        let of_node = namespace.is_empty() && !is_of_pod(&value(&labels, "id"));
        return of_node.then_some(Cow::Borrowed(line));
    }
    let mut set = |name: &str, new: &str| {
        for (label, value) in &mut labels {
            if *label == name {
                *value = Cow::Owned(new.to_owned());
            }
        }
    };
    for (kind, label, name) in [
        (Kind::Pod, "pod", pod),
        (Kind::PersistentVolumeClaim, "persistentvolumeclaim", claim),
    ] {
        if name.is_empty() {
            continue;
        }
        let owned = find(kind, &namespace, &name)?;
        set(label, &owned.name);
        set("namespace", &owned.namespace);
        if kind == Kind::Pod {
            set("pod_uid", &owned.uid);
            set("uid", &owned.uid);
        }
    }
    let labels: Vec<String> = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    Some(Cow::Owned(format!(
        "{}{{{}}}{rest}",
        &line[..name_end],
        labels.join(",")
    )))
}

/// Whether a cgroup is that of a pod, not one of those that hold them: `…/pod<uid>`, `…-pod<uid>.slice`.
fn is_of_pod(cgroup: &str) -> bool {
    let others = cgroup.replace("kubepods", "");
    others.contains("/pod") || others.contains("-pod")
}

type Label<'a> = (&'a str, Cow<'a, str>);

/// The labels up to the closing brace, and what follows it.
fn labels(mut text: &str) -> Option<(Vec<Label<'_>>, &str)> {
    let mut labels = Vec::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return rest.starts_with([' ', '\t']).then_some((labels, rest));
        }
        let (name, rest) = text.split_once('=')?;
        let name = name.trim_end();
        if name.is_empty() || name.contains(['"', '{', '}', ',', ' ']) {
            return None;
        }
        let (value, rest) = quoted(rest.trim_start())?;
        labels.push((name, value));
        text = rest;
    }
}

/// A string in quotes, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut plain = true;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                let rest = &text[at + 1..];
                let value = if plain {
                    Cow::Borrowed(&text[..at])
                } else {
                    Cow::Owned(value)
                };
                return Some((value, rest));
            }
            '\\' => {
                if std::mem::take(&mut plain) {
                    value.push_str(&text[..at]);
                }
                value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                });
            }
            other if !plain => value.push(other),
            _ => {}
        }
    }
    None
}

fn escaped(value: &str) -> Cow<'_, str> {
    if value.contains(['"', '\\', '\n']) {
        Cow::Owned(value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn find(kind: Kind, namespace: &str, name: &str) -> Option<Owned> {
        let virtual_name = name.strip_suffix("-x-team-x-vc")?;
        (namespace == "host" && matches!(kind, Kind::Pod | Kind::PersistentVolumeClaim)).then(|| Owned {
            namespace: "team".into(),
            name: virtual_name.into(),
            uid: "virtual-uid".into(),
            host_uid: "host-uid".into(),
        })
    }

    fn rewrite(text: &str, chunk: usize) -> String {
        let mut rewriter = Rewriter::default();
        let mut out = Vec::new();
        for part in text.as_bytes().chunks(chunk) {
            out.extend(rewriter.push(part, &mut find));
        }
        out.extend(rewriter.finish(&mut find));
        String::from_utf8(out).expect("text")
    }

    const TEXT: &str = r#"# HELP a Own and others' pods.
# TYPE a counter
a{container="c",namespace="host",pod="web-x-team-x-vc",pod_uid="host-uid"} 1 1700000000000
a{container="c",namespace="host",pod="other-x-team-x-vc2"} 2
a{container="c",namespace="kube-system",pod="dns"} 3
# HELP b Only others'.
# TYPE b gauge
b{namespace="kube-system",pod="dns"} 4
b{namespace="kube-system"} 5
# HELP c The node.
# TYPE c gauge
c 6
c{id="/",pod="",namespace=""} 7
c{id="/kubepods.slice/kubepods-burstable.slice"} 7
c{id="/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0a1b.slice"} 7
c{id="/kubepods/besteffort/pod0a1b/c0ffee"} 7
# TYPE d gauge
d{namespace="host",persistentvolumeclaim="data-x-team-x-vc"} 8
d{namespace="host",persistentvolumeclaim="theirs"} 9
e{namespace="host",pod="web-x-team-x-vc",image="a\"b\\c\nd",} 1e+06
f{pod="dns",namespace="kube-system" 10
g{pod="dns\",namespace="} 11
h{"quoted name",pod="dns"} 12
i{namespace="host",pod="web-x-team-x-vc",persistentvolumeclaim="theirs"} 13
j{pod="web-x-team-x-vc"} 14"#;

    #[test]
    fn only_own_series_pass_under_virtual_names() {
        let expected = r#"# HELP a Own and others' pods.
# TYPE a counter
a{container="c",namespace="team",pod="web",pod_uid="virtual-uid"} 1 1700000000000
# HELP c The node.
# TYPE c gauge
c 6
c{id="/",pod="",namespace=""} 7
c{id="/kubepods.slice/kubepods-burstable.slice"} 7
# TYPE d gauge
d{namespace="team",persistentvolumeclaim="data"} 8
e{namespace="team",pod="web",image="a\"b\\c\nd"} 1e+06
"#;
        for chunk in [1, 7, 64, 10_000] {
            assert_eq!(rewrite(TEXT, chunk), expected, "in chunks of {chunk}");
        }
    }

    #[test]
    fn lines_without_end_do_not_fill_the_memory() {
        let mut rewriter = Rewriter::default();
        for _ in 0..4 {
            assert!(rewriter.push(&vec![b'x'; LONGEST_LINE / 2 + 1], &mut find).is_empty());
            assert!(rewriter.line.len() <= LONGEST_LINE);
        }
        assert_eq!(rewriter.push(b" 1\nnode_up 1\n", &mut find), b"node_up 1\n");
    }

    proptest! {
        /// Whatever the labels of others look like, no value of theirs gets through.
        #[test]
        fn nothing_of_others_passes(
            labels in prop::collection::vec(("[a-z]{1,4}", "[a-z\"\\\\ ,={}]{0,6}"), 0..4),
            at in 0..4_usize,
        ) {
            let mut labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            labels.insert(at.min(labels.len()), "pod=\"secret\"".to_owned());
            let text = format!("m{{{}}} 1\n", labels.join(","));
            prop_assert_eq!(rewrite(&text, 3), "");
        }

        #[test]
        fn no_text_panics(text in "[a-z#{}=\",\\\\ 0-9\n]{0,80}") {
            rewrite(&text, 5);
        }
    }
}
