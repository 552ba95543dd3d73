//! Query parameters as Go converts them into option structs (apimachinery `pkg/runtime/conversion.go`).

use crate::filters::request_info::query_pairs;
use machinery::field::go_quote;
use machinery::status::Status;

/// The decoded parameters of a request, in the order sent.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string.
    pub fn parse(query: Option<&str>) -> Self {
        Query(query_pairs(query.unwrap_or_default()).collect())
    }

    /// The first value of a parameter; `None` when it was not sent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a parameter, or nothing.
    pub fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// A truth value: anything but `false` and `0` is true, also nothing.
    pub fn boolean(&self, name: &str) -> Option<bool> {
        self.get(name)
            .map(|value| !(value.eq_ignore_ascii_case("false") || value == "0"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// 400 in the words of Go's number parser.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(number) if numeric => Ok(Some(number)),
            _ => {
                let problem = if numeric {
                    "value out of range"
                } else {
                    "invalid syntax"
                };
                Err(Status::bad_request(format!(
                    "strconv.ParseInt: parsing {}: {problem}",
                    go_quote(text)
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_convert_as_in_go() {
        let query = Query::parse(Some(
            "watch=&limit=abc&x=False&n=-5&dryRun=All&dryRun=x&big=99999999999999999999",
        ));
        assert_eq!(query.boolean("watch"), Some(true));
        assert_eq!(query.boolean("x"), Some(false));
        assert_eq!(query.boolean("absent"), None);
        assert_eq!(query.integer("n").unwrap(), Some(-5));
        assert_eq!(query.integer("absent").unwrap(), None);
        assert_eq!(
            query.integer("limit").unwrap_err().message,
            "strconv.ParseInt: parsing \"abc\": invalid syntax"
        );
        assert!(
            query
                .integer("big")
                .unwrap_err()
                .message
                .ends_with("value out of range")
        );
        assert_eq!(query.all("dryRun"), ["All", "x"]);
    }
}
