//! Pairs of names: what an object or a Service of one cluster is called in the other.

use machinery::names;

/// A pair of `sync.fromHost.*.mappings.byName`: objects of the host, and what they are called in the virtual cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectMapping {
    /// Namespace of the host; `None` is the one of the virtual cluster.
    pub from_namespace: Option<String>,
    /// Name on the host; `None` is every name.
    pub from_name: Option<String>,
    /// Namespace of the virtual cluster.
    pub to_namespace: String,
    /// Name in the virtual cluster; `None` is the name on the host.
    pub to_name: Option<String>,
}

impl ObjectMapping {
    /// Reads a pair. The host's side is `NAMESPACE/NAME`, `NAMESPACE/*`, `/NAME`, or empty for everything in the virtual
    /// cluster's own namespace; the virtual side is `NAMESPACE/NAME`, `NAMESPACE/*`, or `NAMESPACE` when the other is empty.
    ///
    /// # Errors
    /// Says what is wrong, as a clause.
    pub fn parse(from: &str, to: &str) -> Result<Self, String> {
        let (from_namespace, from_name) = match from {
            "" => ("", "*"),
            from => halves(from).ok_or("the host's side must be NAMESPACE/NAME, NAMESPACE/*, /NAME or empty")?,
        };
        let (to_namespace, to_name) = match to {
            to if from.is_empty() && !to.contains('/') => (to, "*"),
            to => halves(to).ok_or(match from {
                "" => "the virtual side must be NAMESPACE or NAMESPACE/*",
                _ => "the virtual side must be NAMESPACE/NAME or NAMESPACE/*",
            })?,
        };
        let namespaces = [Some(from_namespace).filter(|own| !own.is_empty()), Some(to_namespace)];
        if let Some(wrong) = namespaces.into_iter().flatten().find(|namespace| !is_label(namespace)) {
            return Err(format!("{wrong:?} is not the name of a namespace"));
        }
        for name in [from_name, to_name] {
            if name != "*" && !is_subdomain(name) {
                return Err(format!("{name:?} is not the name of an object"));
            }
        }
        if from_name == "*" && to_name != "*" {
            return Err("many objects cannot have one name: the virtual side must end in /*".to_owned());
        }
        let named = |name: &str| Some(name.to_owned()).filter(|name| name != "*");
        Ok(Self {
            from_namespace: Some(from_namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
            from_name: named(from_name),
            to_namespace: to_namespace.to_owned(),
            to_name: named(to_name),
        })
    }
}

/// A Service of one of the clusters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceName {
    /// Its namespace; `None` is the virtual cluster's namespace of the host.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// An entry of `networking.replicateServices`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceMapping {
    /// The Service.
    pub from: ServiceName,
    /// Its replica in the other cluster.
    pub to: ServiceName,
}

impl ServiceMapping {
    /// Reads an entry of `toHost`: `NAMESPACE/NAME`, and a name.
    ///
    /// # Errors
    /// Says what is wrong, as a clause.
    pub fn to_host(from: &str, to: &str) -> Result<Self, String> {
        const FORM: &str = "namespace1/service1=service2";
        if to.contains('/') {
            return Err(invalid(FORM));
        }
        Ok(Self {
            from: qualified(from, FORM)?,
            to: service(None, to, FORM)?,
        })
    }

    /// Reads an entry of `fromHost`: `NAMESPACE/NAME` or a name, and `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// Says what is wrong, as a clause.
    pub fn from_host(from: &str, to: &str) -> Result<Self, String> {
        const FORM: &str = "namespace1/service1=namespace2/service2";
        Ok(Self {
            from: match from.contains('/') {
                true => qualified(from, FORM)?,
                false => service(None, from, FORM)?,
            },
            to: qualified(to, FORM)?,
        })
    }
}

fn invalid(form: &str) -> String {
    format!("invalid service mapping, please use {form}")
}

fn qualified(text: &str, form: &str) -> Result<ServiceName, String> {
    let (namespace, name) = halves(text).ok_or_else(|| invalid(form))?;
    service(Some(namespace), name, form)
}

fn service(namespace: Option<&str>, name: &str, form: &str) -> Result<ServiceName, String> {
    match namespace.into_iter().chain([name]).find(|part| !is_label(part)) {
        Some(wrong) => Err(format!("{wrong:?} is not a DNS label; {}", invalid(form))),
        None => Ok(ServiceName {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }),
    }
}

/// What stands before and after the only slash.
pub(crate) fn halves(text: &str) -> Option<(&str, &str)> {
    text.split_once('/').filter(|(_, name)| !name.contains('/'))
}

/// Whether this can be a namespace.
pub(crate) fn is_label(text: &str) -> bool {
    names::dns1123_label(text).is_empty()
}

/// Whether this can be the name of an object.
pub(crate) fn is_subdomain(text: &str) -> bool {
    names::dns1123_subdomain(text).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(from: &str, to: &str) -> String {
        match ObjectMapping::parse(from, to) {
            Ok(mapping) => {
                let or = |text: Option<String>, other: &str| text.unwrap_or_else(|| other.to_owned());
                let from = (or(mapping.from_namespace, "(own)"), or(mapping.from_name, "*"));
                format!(
                    "{}/{} {}/{}",
                    from.0,
                    from.1,
                    mapping.to_namespace,
                    or(mapping.to_name, "*")
                )
            }
            Err(problem) => problem,
        }
    }

    #[test]
    fn every_form_is_read() {
        for (from, to, expected) in [
            ("a/b", "c/d", "a/b c/d"),
            ("a/b.c", "c/*", "a/b.c c/*"),
            ("a/*", "c/*", "a/* c/*"),
            ("/b", "c/d", "(own)/b c/d"),
            ("", "c", "(own)/* c/*"),
            ("", "c/*", "(own)/* c/*"),
        ] {
            assert_eq!(shown(from, to), expected, "{from:?}: {to:?}");
        }
    }

    #[test]
    fn services_are_named_with_and_without_their_namespace() {
        let to_host = |from, to| ServiceMapping::to_host(from, to);
        let from_host = |from, to| ServiceMapping::from_host(from, to);
        let name = |namespace: Option<&str>, name: &str| ServiceName {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let mapping = |from, to| Ok(ServiceMapping { from, to });
        assert_eq!(to_host("a/b", "c"), mapping(name(Some("a"), "b"), name(None, "c")));
        assert_eq!(from_host("b", "c/d"), mapping(name(None, "b"), name(Some("c"), "d")));
        assert_eq!(
            from_host("a/b", "c/d"),
            mapping(name(Some("a"), "b"), name(Some("c"), "d"))
        );
        for (from, to) in [("b", "c"), ("a/b", "c/d"), ("a/b/c", "d"), ("a/B", "c"), ("a/b", "")] {
            let problem = to_host(from, to).unwrap_err();
            assert!(
                problem.ends_with("please use namespace1/service1=service2"),
                "{problem}"
            );
        }
        for (from, to) in [("a/b", "c"), ("a/b", "c/d/e"), ("/b", "c/d"), ("a/b/c", "c/d")] {
            let problem = from_host(from, to).unwrap_err();
            assert!(
                problem.ends_with("please use namespace1/service1=namespace2/service2"),
                "{problem}"
            );
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (from, to, expected) in [
            ("a", "b/c", "the host's side must be"),
            ("a/b/c", "b/c", "the host's side must be"),
            ("a/b", "c", "the virtual side must be NAMESPACE/NAME"),
            ("", "c/d", "many objects cannot have one name"),
            ("", "c/d/e", "the virtual side must be NAMESPACE or"),
            ("a/*", "c/d", "many objects cannot have one name"),
            ("A/b", "c/d", "\"A\" is not the name of a namespace"),
            ("a/b", "/d", "\"\" is not the name of a namespace"),
            ("a/b", "c/D", "\"D\" is not the name of an object"),
            ("a/", "c/d", "\"\" is not the name of an object"),
            ("", "", "\"\" is not the name of a namespace"),
        ] {
            assert!(
                shown(from, to).starts_with(expected),
                "{from:?}: {to:?}: {}",
                shown(from, to)
            );
        }
    }
}
