//! State that an agent changed inside is merged back onto the host's: pure functions over three versions, the host's
//! present one, the copy at the start of the run and the copy at its end.
//!
//! The end copy is written by code that may be hostile. Nothing that the host executes or trusts may cross: those keys
//! keep the host's value. The files themselves are read and written elsewhere, by descriptor and rename.

use crate::policy::matches_star;
use serde_json::{Map, Value};

/// Largest file that is merged.
pub const MAX_STATE_BYTES: usize = 64 << 20;

/// Deepest nesting that is merged. `serde_json` itself stops at 128 when it parses.
const MAX_DEPTH: usize = 64;

/// How many left-behind changes are told, and how long each may be.
const MAX_KEPT_BACK: usize = 32;
const MAX_POINTER: usize = 512;

/// A merged document.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// What the host's file shall hold.
    pub value: Value,
    /// Whether that differs from what it holds now.
    pub changed: bool,
    /// Where a change was left behind since the host's value wins: JSON pointers (RFC 6901), cut to bounds.
    pub kept_back: Vec<String>,
}

/// Why nothing is merged; the host's file stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Nested too deeply.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// No JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// Too big.
    #[error("larger than {MAX_STATE_BYTES} bytes")]
    TooLarge,
    /// Both sides changed a file that can't be merged.
    #[error("it changed on the host too")]
    Conflict,
    /// A file that may only grow was changed otherwise.
    #[error("it was rewritten, not appended to")]
    Rewritten,
    /// What was appended isn't lines of JSON objects.
    #[error("what was appended isn't lines of JSON objects")]
    NotLines,
}

/// Applies what changed between `start` and `end` onto `host_now`, key by key. Keys that a pattern of `host_keeps` means
/// (`*` stands for any run of characters, case doesn't count) keep the host's value at any depth, also where what
/// holds them was replaced or removed. Arrays are single values; one that holds such a key, on either side, stays
/// the host's. A file that isn't there is an empty object.
///
/// # Errors
/// [`MergeError::TooDeep`], [`MergeError::NotAnObject`].
pub fn merge_json(
    host_now: &Value,
    start: &Value,
    end: &Value,
    host_keeps: &[String],
) -> Result<Merged, MergeError> {
    if ![host_now, start, end]
        .into_iter()
        .all(|value| is_within(value, MAX_DEPTH))
    {
        return Err(MergeError::TooDeep);
    }
    let (Value::Object(host), Value::Object(start), Value::Object(end)) = (host_now, start, end) else {
        return Err(MergeError::NotAnObject);
    };
    let mut merge = Merge {
        held: host_keeps
            .iter()
            .map(|pattern| pattern.to_ascii_lowercase())
            .collect(),
        kept_back: Vec::new(),
    };
    let mut merged = host.clone();
    merge.objects(&mut merged, start, end, "");
    Ok(Merged {
        changed: merged != *host,
        value: Value::Object(merged),
        kept_back: merge.kept_back,
    })
}

/// The document in a file: a client may put lines of comment (`//`) before it, which JSON has none of.
///
/// # Errors
/// No JSON.
pub fn parse_json(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut rest = text.trim_ascii_start();
    while rest.starts_with(b"//") {
        let end = rest.iter().position(|byte| *byte == b'\n');
        rest = end
            .and_then(|end| rest.get(end..))
            .unwrap_or_default()
            .trim_ascii_start();
    }
    if rest.is_empty() {
        // A file that isn't there, or was only made.
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(rest)
}

/// The whole file, or nothing: what the host's file shall hold, where `None` leaves it as it is. That it was removed
/// inside doesn't remove it outside.
///
/// # Errors
/// [`MergeError::Conflict`] when both sides changed it, [`MergeError::TooLarge`].
pub fn merge_whole(
    host_now: Option<&[u8]>,
    start: Option<&[u8]>,
    end: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, MergeError> {
    match end {
        Some(end) if end.len() > MAX_STATE_BYTES => Err(MergeError::TooLarge),
        None => Ok(None),
        Some(_) if end == start || end == host_now => Ok(None),
        Some(end) if host_now == start => Ok(Some(end.to_owned())),
        Some(_) => Err(MergeError::Conflict),
    }
}

/// What is to be appended to the host's file, empty when nothing is: the whole lines that `end` has more than `start`.
/// A last line without its line feed is one that was cut, and left out.
///
/// # Errors
/// [`MergeError::Rewritten`], [`MergeError::NotLines`], [`MergeError::TooLarge`].
pub fn merge_append<'a>(start: &[u8], end: &'a [u8]) -> Result<&'a [u8], MergeError> {
    if end.len() > MAX_STATE_BYTES {
        return Err(MergeError::TooLarge);
    }
    let added = end.strip_prefix(start).ok_or(MergeError::Rewritten)?;
    let whole = added
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    let added = added.get(..whole).unwrap_or_default();
    let is_object = |line: &[u8]| serde_json::from_slice::<Map<String, Value>>(line).is_ok();
    if added.split_inclusive(|byte| *byte == b'\n').all(is_object) {
        Ok(added)
    } else {
        Err(MergeError::NotLines)
    }
}

struct Merge {
    held: Vec<String>,
    kept_back: Vec<String>,
}

impl Merge {
    fn objects(
        &mut self,
        host: &mut Map<String, Value>,
        start: &Map<String, Value>,
        end: &Map<String, Value>,
        pointer: &str,
    ) {
        let empty = Map::new();
        for key in end
            .keys()
            .chain(start.keys().filter(|key| !end.contains_key(*key)))
        {
            let (before, after) = (start.get(key), end.get(key));
            if before == after {
                continue;
            }
            let here = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
            let before = before.and_then(Value::as_object).unwrap_or(&empty);
            if self.is_held(key) {
                self.keep_back(here);
            } else if let (Some(Value::Object(after)), Some(Value::Object(own))) = (after, host.get_mut(key))
            {
                self.objects(own, before, after, &here);
            } else if host
                .get(key)
                .is_some_and(|own| !own.is_object() && self.holds(own))
            {
                self.keep_back(here);
            } else if let Some(Value::Object(after)) = after {
                // What is new passes the same sieve as what changed.
                let mut own = Map::new();
                self.objects(&mut own, &empty, after, &here);
                host.insert(key.clone(), Value::Object(own));
            } else if let Some(Value::Object(own)) = host.get_mut(key) {
                // It is no object any more. What the start had goes; what the host keeps or added since stays.
                self.objects(own, before, &empty, &here);
                match after {
                    _ if !own.is_empty() => self.keep_back(here),
                    None => drop(host.remove(key)),
                    Some(after) => self.replace(host, key, after, here),
                }
            } else if let Some(after) = after {
                self.replace(host, key, after, here);
            } else {
                host.remove(key);
            }
        }
    }

    /// Puts a value that is no object, unless it holds (in an array) what must not cross.
    fn replace(&mut self, host: &mut Map<String, Value>, key: &str, after: &Value, here: String) {
        if self.holds(after) {
            self.keep_back(here);
        } else {
            host.insert(key.to_owned(), after.clone());
        }
    }

    fn is_held(&self, key: &str) -> bool {
        // JavaScript gives this key a meaning of its own where objects are copied.
        let key = key.to_ascii_lowercase();
        key == "__proto__" || self.held.iter().any(|pattern| matches_star(pattern, &key))
    }

    fn holds(&self, value: &Value) -> bool {
        match value {
            Value::Object(object) => object
                .iter()
                .any(|(key, value)| self.is_held(key) || self.holds(value)),
            Value::Array(array) => array.iter().any(|value| self.holds(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }

    fn keep_back(&mut self, pointer: String) {
        if self.kept_back.len() < MAX_KEPT_BACK {
            self.kept_back.push(pointer.chars().take(MAX_POINTER).collect());
        }
    }
}

/// Whether a value is nested in at most `levels` objects and arrays. Stops there, so that it can't be led deeper.
fn is_within(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return !value.is_object() && !value.is_array();
    };
    match value {
        Value::Object(object) => object.values().all(|value| is_within(value, below)),
        Value::Array(array) => array.iter().all(|value| is_within(value, below)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const HELD: [&str; 2] = ["mcpServers", "*Helper"];

    fn held() -> Vec<String> {
        HELD.map(String::from).to_vec()
    }

    fn merged(host: &Value, start: &Value, end: &Value) -> Merged {
        merge_json(host, start, end, &held()).unwrap()
    }

    #[test]
    fn comments_before_a_document_are_no_part_of_it() {
        for text in [
            "{\"a\":1}",
            "// one\n//two\r\n\n  // three\n{\"a\":1}\n",
            "\u{20}\n{\"a\":1}",
        ] {
            assert_eq!(parse_json(text.as_bytes()).unwrap(), json!({ "a": 1 }), "{text}");
        }
        for text in ["", " \n", "// only", "// only\n//"] {
            assert_eq!(parse_json(text.as_bytes()).unwrap(), json!({}), "{text}");
        }
        for text in [
            "/ {}",
            "/* {} */",
            "{} // after",
            "{\"a\": // within\n1}",
            "#\n{}",
            "//\u{1}\n[",
            "\0{}",
        ] {
            assert!(parse_json(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn changes_inside_reach_the_host_and_its_own_stay() {
        let start = json!({"startups": 1, "projects": {"/p": {"last": "a"}, "/q": {"last": "b"}}, "old": 1});
        let host = json!({"startups": 1, "projects": {"/p": {"last": "a"}, "/q": {"last": "host"}, "/r": {}}, "old": 1, "new": 2});
        let end = json!({"startups": 2, "projects": {"/p": {"last": "c", "cost": 1.5}, "/q": {"last": "b"}}});
        let found = merged(&host, &start, &end);
        assert_eq!(
            found.value,
            json!({"startups": 2, "projects": {"/p": {"last": "c", "cost": 1.5}, "/q": {"last": "host"}, "/r": {}}, "new": 2})
        );
        assert!(found.changed && found.kept_back.is_empty());
        assert!(!merged(&host, &start, &start).changed);
    }

    #[test]
    fn what_the_host_executes_does_not_cross() {
        let start = json!({"mcpServers": {"mine": {"command": "good"}}, "list": [1], "projects": {"/p": {"mcpServers": {}, "n": 1}}});
        let evil = json!({"x": {"command": "evil"}});
        for end in [
            json!({"mcpServers": evil}),
            json!({"MCPSERVERS": evil}),
            json!({"projects": {"/p": {"mcpServers": evil}, "/new": {"mcpServers": evil, "apiKeyHelper": "evil"}}}),
            json!({"list": [{"deep": [{"mcpServers": evil}]}]}),
            json!({"projects": [evil.clone(), {"mcpServers": evil}]}),
            json!({"projects": null, "list": {"apiKeyHelper": "evil"}}),
            json!({"__proto__": {"mcpServers": evil}}),
            json!({}),
        ] {
            let found = merged(&start, &start, &end);
            assert!(
                !found.value.to_string().contains("evil"),
                "{end} became {}",
                found.value
            );
            assert_eq!(found.value.get("mcpServers"), start.get("mcpServers"), "{end}");
            assert_eq!(
                found.value.pointer("/projects/~1p/mcpServers"),
                Some(&json!({})),
                "{end}"
            );
            assert!(!found.kept_back.is_empty(), "{end}");
        }
    }

    #[test]
    fn what_was_kept_back_is_told_within_bounds() {
        let end = json!({"a/b~": {"mcpServers": 1}});
        assert_eq!(
            merged(&json!({}), &json!({}), &end).kept_back,
            ["/a~1b~0/mcpServers"]
        );
        let many: Map<String, Value> = (0..100)
            .map(|index| (format!("{index}{}Helper", "x".repeat(2000)), json!(1)))
            .collect();
        let found = merged(&json!({}), &json!({}), &Value::Object(many));
        assert_eq!(found.kept_back.len(), MAX_KEPT_BACK);
        assert!(found.kept_back.iter().all(|pointer| pointer.len() <= MAX_POINTER));
    }

    #[test]
    fn depth_is_bounded_and_objects_are_wanted() {
        let nested = |levels: usize| {
            (0..levels).fold(json!(1), |below, _| {
                Value::Object(Map::from_iter([("a".to_owned(), below)]))
            })
        };
        assert!(merge_json(&json!({}), &json!({}), &nested(MAX_DEPTH), &[]).is_ok());
        assert_eq!(
            merge_json(&json!({}), &json!({}), &nested(MAX_DEPTH + 1), &[]),
            Err(MergeError::TooDeep)
        );
        assert_eq!(
            merge_json(&json!({}), &json!({}), &nested(500), &[]),
            Err(MergeError::TooDeep)
        );
        assert_eq!(
            merge_json(&json!([]), &json!({}), &json!({}), &[]),
            Err(MergeError::NotAnObject)
        );
    }

    #[test]
    fn whole_files() {
        let (a, b, c) = (Some(&b"a"[..]), Some(&b"b"[..]), Some(&b"c"[..]));
        assert_eq!(merge_whole(a, a, b), Ok(Some(b"b".to_vec())));
        assert_eq!(merge_whole(None, None, b), Ok(Some(b"b".to_vec())));
        for (host, start, end) in [(a, a, a), (b, a, a), (b, a, b), (a, a, None), (None, a, a)] {
            assert_eq!(merge_whole(host, start, end), Ok(None));
        }
        assert_eq!(merge_whole(b, a, c), Err(MergeError::Conflict));
        assert_eq!(merge_whole(None, a, c), Err(MergeError::Conflict));
    }

    #[test]
    fn appended_lines() {
        assert_eq!(
            merge_append(b"{}\n", b"{}\n{\"a\":1}\n{\"cut"),
            Ok(&b"{\"a\":1}\n"[..])
        );
        assert_eq!(merge_append(b"x", b"x"), Ok(&b""[..]));
        assert_eq!(merge_append(b"{}\n", b"{}"), Err(MergeError::Rewritten));
        assert_eq!(merge_append(b"", b"{}\nrm -rf /\n"), Err(MergeError::NotLines));
        assert_eq!(merge_append(b"", b"{}\n\n"), Err(MergeError::NotLines));
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from)
        ];
        let key = prop::sample::select(vec!["a", "b", "c", "mcpServers", "xHelper"]);
        let value = leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map(key.clone().prop_map(String::from), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        let key = prop::sample::select(vec!["a", "b", "c", "d", "mcpServers", "xHelper"]);
        prop::collection::btree_map(key.prop_map(String::from), value, 0..5)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    /// Where held keys are, and what they hold.
    fn held_places(value: &Value, here: &str, found: &mut Vec<(String, Value)>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let here = format!("{here}/{key}");
                    if key == "mcpServers" || key.ends_with("Helper") {
                        found.push((here, value.clone()));
                    } else {
                        held_places(value, &here, found);
                    }
                }
            }
            Value::Array(array) => {
                array
                    .iter()
                    .enumerate()
                    .for_each(|(index, value)| held_places(value, &format!("{here}/{index}"), found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn places(value: &Value) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        held_places(value, "", &mut found);
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn held_keys_are_exactly_the_hosts(host in documents(), start in documents(), end in documents()) {
            prop_assert_eq!(places(&merged(&host, &start, &end).value), places(&host));
        }

        #[test]
        fn nothing_changed_inside_changes_nothing(host in documents(), start in documents()) {
            let found = merged(&host, &start, &start);
            prop_assert_eq!(found.value, host);
            prop_assert!(!found.changed && found.kept_back.is_empty());
        }

        #[test]
        fn keys_untouched_inside_are_the_hosts(host in documents(), start in documents(), end in documents()) {
            let found = merged(&host, &start, &end).value;
            for key in ["a", "b", "c", "d"] {
                if start.get(key) == end.get(key) {
                    prop_assert_eq!(found.get(key), host.get(key));
                }
            }
        }

        #[test]
        fn an_idle_host_takes_all_that_may_cross(start in documents(), end in documents()) {
            if places(&start).is_empty() && places(&end).is_empty() {
                prop_assert_eq!(merged(&start, &start, &end).value, end);
            }
        }

        #[test]
        fn twice_is_once(host in documents(), start in documents(), end in documents()) {
            let once = merged(&host, &start, &end).value;
            prop_assert_eq!(&merged(&once, &start, &end).value, &once);
        }
    }
}
