//! Reads a list while it arrives, object by object: of ten thousand objects, only what is asked of each is ever held.

use serde::de::DeserializeOwned;

/// Longest object of a list, in bytes: more than the largest one an API server stores.
const LONGEST: usize = 16 << 20;

/// Cuts the JSON of a list into its items.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Everything but the items.
    frame: Vec<u8>,
    item: Vec<u8>,
    /// Brackets that are open.
    depth: usize,
    in_items: bool,
    in_string: bool,
    escaped: bool,
}

/// The list is no JSON list of objects, or breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list cannot be read")]
pub(super) struct Unreadable;

impl Listing {
    /// Takes the next bytes; calls `each` with every item that is complete.
    ///
    /// # Errors
    /// An item cannot be read as `T`.
    pub(super) fn feed<T: DeserializeOwned>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(T),
    ) -> Result<(), Unreadable> {
        for byte in bytes {
            if self.take(*byte) {
                each(serde_json::from_slice(&self.item).map_err(|_| Unreadable)?);
                self.item.clear();
            }
        }
        if self.item.len() > LONGEST || self.frame.len() > LONGEST {
            return Err(Unreadable);
        }
        Ok(())
    }

    /// What the list says about itself, when all bytes were taken.
    ///
    /// # Errors
    /// The list breaks off, or cannot be read as `T`.
    pub(super) fn finish<T: DeserializeOwned>(self) -> Result<T, Unreadable> {
        serde_json::from_slice(&self.frame).map_err(|_| Unreadable)
    }

    /// Takes one byte; whether an item is complete.
    fn take(&mut self, byte: u8) -> bool {
        // The list is the first bracket, its items the second: what lies deeper belongs to an item.
        let inside = self.in_items && self.depth > 2;
        if self.in_string {
            (self.in_string, self.escaped) = match byte {
                _ if self.escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
            self.keep(byte, inside);
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                if self.depth == 1 && byte == b'[' {
                    self.in_items = ends_with_key(&self.frame, "items");
                }
                self.depth += 1;
                self.keep(byte, self.in_items && self.depth > 2);
                return false;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.keep(byte, inside);
                let complete = inside && self.depth == 2;
                self.in_items &= self.depth >= 2;
                return complete;
            }
            // Between two items.
            b',' if self.in_items && self.depth == 2 => return false,
            _ => {}
        }
        self.keep(byte, inside);
        false
    }

    fn keep(&mut self, byte: u8, inside: bool) {
        let to = if inside { &mut self.item } else { &mut self.frame };
        to.push(byte);
    }
}

/// Whether some JSON ends with this key, so that its value comes next.
fn ends_with_key(json: &[u8], key: &str) -> bool {
    let text = json.trim_ascii_end();
    let key = format!("\"{key}\"");
    text.strip_suffix(b":")
        .is_some_and(|before| before.trim_ascii_end().ends_with(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str, cut: usize) -> Result<(Vec<Value>, Value), Unreadable> {
        let mut listing = Listing::default();
        let mut items = Vec::new();
        for part in text.as_bytes().chunks(cut.max(1)) {
            listing.feed(part, |item| items.push(item))?;
        }
        Ok((items, listing.finish()?))
    }

    #[test]
    fn strings_and_other_lists_do_not_confuse_it() {
        let text = r#"{ "kind":"List", "metadata":{"resourceVersion":"7","items":["not these"]},
            "items" : [ {"a":"}]\"{\\"}, {"b":{"items":[{}]}} ], "after":[1,{"items":[2]}] }"#;
        for cut in 1..9 {
            let (items, frame) = read(text, cut).expect("readable");
            assert_eq!(items, [json!({"a": "}]\"{\\"}), json!({"b": {"items": [{}]}})]);
            assert_eq!(
                frame,
                json!({
                    "kind": "List", "metadata": {"resourceVersion": "7", "items": ["not these"]}, "items": [],
                    "after": [1, {"items": [2]}],
                })
            );
        }
    }

    #[test]
    fn what_is_no_list_or_breaks_off_is_unreadable() {
        for text in [
            "",
            "{",
            r#"{"items":[{"a":1}"#,
            r#"{"items":[{"a":}]}"#,
            "]]]}}}",
            "\"",
            "{\"items\":[}",
        ] {
            assert_eq!(read(text, 3), Err(Unreadable), "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}|items", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever is in them, and wherever they are cut: the items are the items.
        #[test]
        fn items_come_out_as_they_went_in(
            items in prop::collection::vec(prop::collection::btree_map(".{0,4}|items", value(), 0..4), 0..5),
            other in value(), cut in 1..40usize, pretty in any::<bool>(),
        ) {
            let list = json!({"kind": "List", "items": items, "metadata": {"resourceVersion": "1"}, "other": other});
            let text = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) };
            let (read, frame) = read(&text.expect("JSON"), cut).expect("readable");
            prop_assert_eq!(&json!(read), &list["items"]);
            prop_assert_eq!(&frame["other"], &list["other"]);
            prop_assert_eq!(&frame["items"], &json!([]));
        }

        #[test]
        fn no_bytes_are_too_bad(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut listing = Listing::default();
            // What matters is that it returns.
            let _ = listing.feed::<Value>(&bytes, |_| ());
            let _ = listing.finish::<Value>();
        }
    }
}
