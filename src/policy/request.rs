//! Requests in rules: `[METHOD[,METHOD]] http[s]://host[:port]/path`.

use super::request_path::{Letters, RequestPath, RequestPathError, RequestPathPattern};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest method that is one.
const METHOD_MAX: usize = 32;

/// How requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// Plain.
    Http,
    /// In TLS.
    Https,
}

impl Scheme {
    /// Its word in a URL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL without one.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A method (RFC 9110 9): capital letters, digits and the rest of a token. Some servers take small letters for capital
/// ones, so those are no method here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Method(String);

/// It is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a method is one word of capital letters, such as `GET`")]
pub struct MethodError;

impl Method {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a rule on this one is about the other: a `HEAD` is a `GET` without the body of its answer.
    fn means(&self, other: &Self) -> bool {
        self == other || (self.0 == "GET" && other.0 == "HEAD")
    }
}

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, MethodError> {
        let is_token = |byte: u8| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"!#$%&'+-.^_`|~".contains(&byte)
        };
        if text.is_empty() || text.len() > METHOD_MAX || !text.bytes().all(is_token) {
            return Err(MethodError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Method {
    type Error = MethodError;
    fn try_from(text: String) -> Result<Self, MethodError> {
        text.parse()
    }
}

impl From<Method> for String {
    fn from(method: Method) -> Self {
        method.0
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which requests of its hosts a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requests {
    scheme: Scheme,
    /// Sorted; none stands for any.
    methods: Vec<Method>,
    path: RequestPathPattern,
}

/// Why a text says no requests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestsError {
    /// A method.
    #[error("`{0}` is no method: {MethodError}")]
    Method(String),
    /// The path.
    #[error("its path: {0}")]
    Path(RequestPathError),
}

impl Requests {
    /// From the parts of a rule; `methods` are separated by commas, and empty for any.
    pub(super) fn parse(scheme: Scheme, methods: &str, path: &str) -> Result<Self, RequestsError> {
        let mut methods = match methods {
            "" => Vec::new(),
            list => list
                .split(',')
                .map(|word| {
                    word.parse()
                        .map_err(|MethodError| RequestsError::Method(word.to_owned()))
                })
                .collect::<Result<Vec<Method>, _>>()?,
        };
        methods.sort();
        methods.dedup();
        Ok(Self {
            scheme,
            methods,
            path: path.parse().map_err(RequestsError::Path)?,
        })
    }

    /// Those that are this one.
    pub(super) fn exactly(scheme: Scheme, method: Method, path: &RequestPath) -> Self {
        Self {
            scheme,
            methods: vec![method],
            path: path.pattern(),
        }
    }

    /// How they come.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether a request is meant by a rule that allows them.
    #[must_use]
    pub fn allow(&self, scheme: Scheme, method: &Method, path: &RequestPath) -> bool {
        self.scheme == scheme && self.has_method(method) && self.path.matches(path, Letters::Exact)
    }

    /// Whether a request is meant by a rule that denies them: in TLS or not, and whatever the case of letters.
    #[must_use]
    pub fn deny(&self, method: &Method, path: &RequestPath) -> bool {
        self.has_method(method) && self.path.matches(path, Letters::Folded)
    }

    /// Whether a method is meant.
    #[must_use]
    pub fn has_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|own| own.means(method))
    }

    /// What stands before the URL: the methods and a space, or nothing.
    pub(super) fn prefix(&self) -> String {
        let words: Vec<&str> = self.methods.iter().map(Method::as_str).collect();
        match words.as_slice() {
            [] => String::new(),
            words => format!("{} ", words.join(",")),
        }
    }

    /// What stands behind the host.
    pub(super) const fn path(&self) -> &RequestPathPattern {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        for text in ["GET", "M-SEARCH", "X_1"] {
            assert_eq!(text.parse::<Method>().unwrap().as_str(), text);
        }
        for text in ["", "get", "Get", "G T", "A\0", &"A".repeat(33)] {
            assert!(text.parse::<Method>().is_err(), "{text:?}");
        }
        let get = Requests::parse(Scheme::Https, "GET,PUT", "/a").unwrap();
        for (method, meant) in [("GET", true), ("HEAD", true), ("PUT", true), ("POST", false)] {
            assert_eq!(get.has_method(&method.parse().unwrap()), meant, "{method}");
        }
        let head = Requests::parse(Scheme::Https, "HEAD", "/a").unwrap();
        assert!(!head.has_method(&"GET".parse().unwrap()));
    }

    #[test]
    fn a_deny_is_wider_than_an_allow_of_the_same_words() {
        let rule = Requests::parse(Scheme::Https, "DELETE", "/Repos/**").unwrap();
        let (method, path) = ("DELETE".parse().unwrap(), "/repos/x".parse().unwrap());
        assert!(rule.deny(&method, &path) && !rule.allow(Scheme::Https, &method, &path));
        let path = "/Repos/x".parse().unwrap();
        assert!(rule.allow(Scheme::Https, &method, &path) && !rule.allow(Scheme::Http, &method, &path));
    }
}
