//! The files that refs stand in (gitrepository-layout(5)): `HEAD`, loose refs, `packed-refs`, and logs of refs.

use super::object_id::{ObjectFormat, ObjectId};
use super::ref_name::RefName;

/// Most lines that are read of a file.
const LINES_MAX: usize = 1_000_000;
/// Longest line of a log: git bounds it by nothing, a commit's first line is what it holds.
const LINE_MAX: usize = 8192;

/// What `HEAD` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// This branch, whether or not there is a commit on it.
    Branch(RefName),
    /// This commit.
    Detached(ObjectId),
}

/// Reads `HEAD`.
#[must_use]
pub fn head(text: &[u8], format: ObjectFormat) -> Option<Head> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    match line.strip_prefix(b"ref:") {
        Some(name) => {
            let name: RefName = str::from_utf8(name.trim_ascii()).ok()?.parse().ok()?;
            name.branch().is_some().then_some(Head::Branch(name))
        }
        None => value(line, format).map(Head::Detached),
    }
}

/// Reads a loose ref; `None` for one that stands for another ref, too.
#[must_use]
pub fn loose(text: &[u8], format: ObjectFormat) -> Option<ObjectId> {
    value(text.strip_suffix(b"\n").unwrap_or(text), format)
}

fn value(line: &[u8], format: ObjectFormat) -> Option<ObjectId> {
    ObjectId::parse(line, format).filter(|id| !id.is_zero())
}

/// Reads `packed-refs`; names that git-check-ref-format(1) wouldn't take are left out.
#[must_use]
pub fn packed(text: &[u8], format: ObjectFormat) -> Option<Vec<(RefName, ObjectId)>> {
    let mut refs = Vec::new();
    for (count, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if count >= LINES_MAX {
            return None;
        }
        // A comment, or what the tag above leads to.
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"^") {
            continue;
        }
        let (id, name) = line.split_at_checked(format.digits())?;
        let id = value(id, format)?;
        let name = name.strip_prefix(b" ")?;
        if let Some(name) = str::from_utf8(name).ok().and_then(|name| name.parse().ok()) {
            refs.push((name, id));
        }
    }
    Some(refs)
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// What the ref became.
    pub new: ObjectId,
    /// Who did it.
    pub name: String,
    /// That one's address.
    pub email: String,
    /// Seconds since 1970 and the time zone, as git writes them: `1700000000 +0100`.
    pub when: String,
    /// What was done.
    pub message: String,
}

/// Reads a log, the oldest first; `None` where a line isn't as git writes them.
#[must_use]
pub fn log(text: &[u8], format: ObjectFormat) -> Option<Vec<LogEntry>> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(|byte| *byte == b'\n')
        .map(|line| log_line(line, format))
        .collect()
}

/// A log without one of its entries: the next comes after the one before it (`git reflog delete --rewrite`).
#[must_use]
pub fn without(text: &[u8], number: usize, format: ObjectFormat) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut before = vec![b'0'; format.digits()];
    for (at, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let (_, rest) = line.split_at_checked(format.digits())?;
        if at == number {
            continue;
        }
        out.extend_from_slice(&before);
        out.extend_from_slice(rest);
        let new = rest.get(1..=format.digits())?;
        before = ObjectId::parse(new, format).map(|_| new.to_vec())?;
    }
    Some(out)
}

fn log_line(line: &[u8], format: ObjectFormat) -> Option<LogEntry> {
    if line.len() > LINE_MAX {
        return None;
    }
    let (old, rest) = line.split_at_checked(format.digits())?;
    ObjectId::parse(old, format)?;
    let (new, rest) = rest.strip_prefix(b" ")?.split_at_checked(format.digits())?;
    let new = value(new, format)?;
    let text = str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    let (who, message) = text.split_once('\t').unwrap_or((text, ""));
    let (name, who) = who.split_once(" <")?;
    let (email, when) = who.split_once("> ")?;
    let (seconds, zone) = when.split_once(' ')?;
    let plain = |text: &str| {
        !text
            .chars()
            .any(|character| character.is_control() || "<>".contains(character))
    };
    let digits =
        |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let zone_is_good = zone
        .strip_prefix(['+', '-'])
        .is_some_and(|zone| zone.len() == 4 && digits(zone));
    let good = plain(name)
        && plain(email)
        && digits(seconds)
        && zone_is_good
        && !message.chars().any(char::is_control);
    good.then(|| LogEntry {
        new,
        name: name.to_owned(),
        email: email.to_owned(),
        when: when.to_owned(),
        message: message.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";
    const B: &str = "9bc81f51d6a56b5ab1594699113f3a8f138b4400";
    const SHA1: ObjectFormat = ObjectFormat::Sha1;

    #[test]
    fn head_and_loose_refs() {
        let branch = Head::Branch("refs/heads/a/b".parse().unwrap());
        assert_eq!(head(b"ref: refs/heads/a/b\n", SHA1), Some(branch));
        assert!(matches!(head(A.as_bytes(), SHA1), Some(Head::Detached(_))));
        for text in [
            "",
            "ref: ",
            "ref: refs/tags/x",
            "ref: ../../x",
            "ref: refs/heads/../../x",
            "ref: refs/heads/a\nx",
            "x",
            "0000000000000000000000000000000000000000",
        ] {
            assert_eq!(head(text.as_bytes(), SHA1), None, "{text:?}");
        }
        assert!(loose(format!("{A}\n").as_bytes(), SHA1).is_some());
        assert_eq!(loose(b"ref: refs/heads/a\n", SHA1), None);
        assert_eq!(loose(format!("{A} x\n").as_bytes(), SHA1), None);
    }

    #[test]
    fn packed_refs() {
        let text = format!(
            "# pack-refs with: peeled \n{A} refs/heads/a\n{B} refs/tags/v1\n^{A}\n{A} refs/heads/../x\n"
        );
        let refs = packed(text.as_bytes(), SHA1).unwrap();
        let names: Vec<&str> = refs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["refs/heads/a", "refs/tags/v1"]);
        assert_eq!(packed(format!("{A}refs/heads/a\n").as_bytes(), SHA1), None);
        assert_eq!(packed(b"x", SHA1), None);
    }

    #[test]
    fn an_entry_less() {
        let zero = "0".repeat(40);
        let log =
            format!("{zero} {A} A <a> 1 +0000\tx\n{A} {B} A <a> 1 +0000\ty\n{B} {A} A <a> 1 +0000\tz\n");
        for (number, expected) in [
            (
                0,
                format!("{zero} {B} A <a> 1 +0000\ty\n{B} {A} A <a> 1 +0000\tz\n"),
            ),
            (
                1,
                format!("{zero} {A} A <a> 1 +0000\tx\n{A} {A} A <a> 1 +0000\tz\n"),
            ),
            (
                2,
                format!("{zero} {A} A <a> 1 +0000\tx\n{A} {B} A <a> 1 +0000\ty\n"),
            ),
        ] {
            let found = without(log.as_bytes(), number, SHA1).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{number}");
        }
        assert_eq!(without(b"x\n", 3, SHA1), None);
    }

    #[test]
    fn logs() {
        let zero = "0".repeat(40);
        let good =
            format!("{zero} {A} A U <a@b.c> 1700000000 +0100\tWIP on main: x\n{A} {B} B <> 1 -0000\tOn x: y");
        let entries = log(good.as_bytes(), SHA1).unwrap();
        assert_eq!(
            (entries.len(), entries[0].message.as_str()),
            (2, "WIP on main: x")
        );
        assert_eq!(
            (entries[1].email.as_str(), entries[1].when.as_str()),
            ("", "1 -0000")
        );
        assert_eq!(log(b"", SHA1), Some(vec![]));
        for line in [
            format!("{zero} {zero} A <a> 1 +0000\tx"),
            format!("{A} {B} A <a> 1 +0000\tx\x1b[2J"),
            format!("{A} {B} A <a> x +0000\tx"),
            format!("{A} {B} A <a> 1 0000\tx"),
            format!("{A} {B} A a 1 +0000\tx"),
            format!("{A} x A <a> 1 +0000\tx"),
            format!("{A} {B} A <a> 1 +0000\t{}", "x".repeat(9000)),
        ] {
            assert_eq!(log(line.as_bytes(), SHA1), None, "{line}");
        }
    }
}
