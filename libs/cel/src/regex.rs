//! Go's regular expressions. The engine speaks the same language but for a few things that Go refuses and the other way round.

/// Compiles a pattern.
///
/// # Errors
/// Go's words for what is wrong with it.
pub(crate) fn compile(pattern: &str) -> Result<::regex::Regex, String> {
    ::regex::Regex::new(pattern).map_err(|error| error.to_string())
}
