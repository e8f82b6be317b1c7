//! "Did you mean": the known word that is nearest to what was written.

/// Longest word that is compared.
const LONGEST: usize = 40;

/// The nearest of `known` within a third of its length.
pub(crate) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if written.chars().count() > LONGEST {
        return None;
    }
    known
        .into_iter()
        .map(|word| (distance(&written.to_lowercase(), word), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edit distance where swapping two neighbours is one edit (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (row, character) in from.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let changed = at(&last, column) + usize::from(character != *other);
            let mut best = changed
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = column
                .checked_sub(1)
                .is_some_and(|index| to.get(index) == Some(&character))
                && previous == Some(*other);
            if swapped && let Some(index) = column.checked_sub(1) {
                best = best.min(at(&before_last, index) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(character);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("alow", "allow", 1),
            ("dney", "deny", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn near_words_only() {
        assert_eq!(nearest("alow", ["allow", "deny"]), Some("allow"));
        assert_eq!(nearest("Allow", ["allow", "deny"]), Some("allow"));
        assert_eq!(nearest("proxy", ["allow", "deny"]), None);
        assert_eq!(nearest(&"a".repeat(1000), ["allow"]), None);
    }
}
