//! Which variables of the caller go inside.

use super::EnvironmentPolicy;

impl EnvironmentPolicy {
    /// Whether the caller's variable of that name is kept. A name that is set is not kept: it has its own value.
    #[must_use]
    pub fn keeps(&self, name: &str) -> bool {
        if self.set.iter().any(|(set, _)| set == name) {
            return false;
        }
        if self.keep.iter().any(|kept| kept == name) {
            return true;
        }
        self.keep
            .iter()
            .any(|pattern| pattern.contains('*') && matches_star(pattern, name))
            && !self.never.iter().any(|pattern| matches_star(pattern, name))
    }
}

/// Whether a name is meant by a pattern in which `*` stands for any run of bytes. Each part takes the first place that
/// fits, so the work is bounded by the two lengths' product.
pub(crate) fn matches_star(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        match name.split_once(part) {
            Some((_, after)) => name = after,
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("LC_*", "LC_ALL", true),
            ("LC_*", "LC", false),
            ("*_TOKEN", "GH_TOKEN", true),
            ("*_TOKEN", "GH_TOKENS", false),
            ("A*B*C", "AxBxC", true),
            ("A*B*C", "AxC", false),
            ("*SECRET*", "MY_SECRET_1", true),
            ("A", "A", true),
        ] {
            assert_eq!(matches_star(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_never_takes_a_secret_and_a_name_does() {
        let mut policy = EnvironmentPolicy {
            keep: vec!["NPM_*".into()],
            set: vec![("NPM_MODE".into(), "x".into())],
            never: vec!["*_TOKEN".into()],
        };
        assert!(policy.keeps("NPM_CACHE"));
        assert!(!policy.keeps("NPM_TOKEN"));
        assert!(!policy.keeps("NPM_MODE"));
        assert!(!policy.keeps("OTHER"));
        policy.keep.push("NPM_TOKEN".into());
        assert!(policy.keeps("NPM_TOKEN"));
    }
}
