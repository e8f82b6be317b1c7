//! JSON that keeps where each value stands: other programs' settings, so that a rule can name its line.
//!
//! Strict JSON (RFC 8259) and a bit less: a key that is there twice is refused, since which one counts would hang on who
//! reads it.

use crate::config::{ConfigError, Source, error::Problem};
use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};
use std::collections::BTreeSet;
use std::ops::Range;

/// Deepest nesting that is read: the parser recurses. Settings need about six.
const DEPTH_MAX: usize = 32;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Member>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

impl Node {
    /// What it is, with its article.
    pub(super) const fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Boolean(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "an object",
        }
    }
}

/// Reads the text.
///
/// # Errors
/// No JSON, nested too deep, a key twice.
pub(super) fn parse(source: &Source) -> Result<Node, ConfigError> {
    let fault = |span: Range<usize>, problem| ConfigError::InFile {
        problem,
        excerpt: Box::new(source.excerpt(span)),
    };
    if let Some(at) = too_deep(&source.text) {
        return Err(fault(at..at + 1, Problem::TooDeep(DEPTH_MAX)));
    }
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(&source.text, &CollectOptions::default(), &strict).map_err(|error| {
        let range = error.range();
        let message = error.kind().to_string();
        fault(range.start..range.end, Problem::Json { message })
    })?;
    match parsed.value {
        Some(value) => node(value, source),
        None => Err(fault(
            0..1,
            Problem::Json {
                message: "there is nothing in it".into(),
            },
        )),
    }
}

/// Where the nesting passes the bound. Brackets in strings aren't counted; up to the first fault of the text this and the
/// parser see the same strings, and there the parser stops.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Some(at);
        }
    }
    None
}

fn node(value: ast::Value<'_>, source: &Source) -> Result<Node, ConfigError> {
    let of = |range: jsonc_parser::common::Range| range.start..range.end;
    Ok(match value {
        ast::Value::NullKeyword(null) => Node {
            span: of(null.range),
            value: Value::Null,
        },
        ast::Value::BooleanLit(boolean) => Node {
            span: of(boolean.range),
            value: Value::Boolean(boolean.value),
        },
        ast::Value::NumberLit(number) => Node {
            span: of(number.range),
            value: Value::Number(number.value.to_owned()),
        },
        ast::Value::StringLit(text) => Node {
            span: of(text.range),
            value: Value::Text(text.value.into_owned()),
        },
        ast::Value::Array(list) => Node {
            span: of(list.range),
            value: Value::List(
                list.elements
                    .into_iter()
                    .map(|element| node(element, source))
                    .collect::<Result<_, _>>()?,
            ),
        },
        ast::Value::Object(table) => {
            let span = of(table.range);
            let mut seen = BTreeSet::new();
            let mut members = Vec::new();
            for property in table.properties {
                let (key, key_span) = match property.name {
                    ast::ObjectPropName::String(text) => (text.value.into_owned(), of(text.range)),
                    ast::ObjectPropName::Word(word) => (word.value.to_owned(), of(word.range)),
                };
                if !seen.insert(key.clone()) {
                    return Err(ConfigError::InFile {
                        problem: Problem::Twice(key),
                        excerpt: Box::new(source.excerpt(key_span)),
                    });
                }
                let node = node(property.value, source)?;
                members.push(Member { key, key_span, node });
            }
            Node {
                span,
                value: Value::Table(members),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Node, ConfigError> {
        parse(&Source {
            path: "s.json".into(),
            text: text.into(),
        })
    }

    #[test]
    fn strict_and_bounded() {
        assert!(read(r#"{"a": [1, "x\n", null, true, {"b": {}}]}"#).is_ok());
        for text in [
            "",
            "{",
            "{} {}",
            "{a: 1}",
            "{'a': 1}",
            "{\"a\": 1,}",
            "[1 2]",
            "// x\n{}",
            "/* \" */ {}",
            "[+1]",
            "[.5]",
            "[0x1]",
            "[NaN]",
            "\u{feff}{\"a\": 1, \"a\": 2}",
            r#"{"a": 1, "\u0061": 2}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(32)).is_ok());
        for depth in [33, 200_000] {
            assert!(read(&nested(depth)).unwrap_err().to_string().contains("nested"));
        }
        assert!(read(&format!("[\"{}\"]", "[".repeat(100))).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in r#"[\[\]{}",:\\/*a1 \n]{0,60}"#) {
            drop(read(&text));
        }

        #[test]
        fn what_serde_writes_is_read(list in prop::collection::vec(any::<String>(), 0..6)) {
            let text = serde_json::to_string(&list).unwrap();
            let Value::List(nodes) = read(&text).unwrap().value else { panic!() };
            let texts: Vec<Value> = list.into_iter().map(Value::Text).collect();
            prop_assert_eq!(nodes.into_iter().map(|node| node.value).collect::<Vec<_>>(), texts);
        }
    }
}
