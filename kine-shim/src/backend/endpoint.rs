//! The `--endpoint` flag.

use std::path::PathBuf;

/// Where the data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An SQLite file.
    Sqlite(PathBuf),
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(path) = text.strip_prefix("sqlite://") else {
            return Err(format!(
                "`{text}` is not an endpoint this build can use; write sqlite:///path/state.db"
            ));
        };
        // kine takes driver options after a question mark; the ones that matter are not open to choice here.
        if let Some((_, options)) = path.split_once('?') {
            return Err(format!(
                "the endpoint has options (`?{options}`), which are not supported; leave them out"
            ));
        }
        if path.is_empty() {
            return Err("the endpoint names no file; write sqlite:///path/state.db".into());
        }
        Ok(Self::Sqlite(PathBuf::from(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sqlite_paths() {
        for (text, path) in [
            ("sqlite:///data/state.db", "/data/state.db"),
            ("sqlite://state.db", "state.db"),
        ] {
            assert_eq!(text.parse(), Ok(Endpoint::Sqlite(PathBuf::from(path))));
        }
    }

    #[test]
    fn refuses_the_rest_with_a_reason() {
        for (text, part) in [
            ("postgres://x", "write sqlite://"),
            ("sqlite://", "names no file"),
            ("sqlite:///a?cache=shared", "?cache=shared"),
        ] {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }
}
