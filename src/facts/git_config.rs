//! As much of git's configuration syntax as it takes to see where a repository points. Never runs git.

/// One setting: section and key in lower case, the subsection as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) section: Vec<u8>,
    pub(crate) subsection: Option<Vec<u8>>,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Longest configuration that is read.
pub(crate) const CONFIG_BYTES_MAX: usize = 1 << 20;

/// The settings of a configuration file, in order (gitformat in git-config(1), "Syntax"). What can't be read is left
/// out: git itself would refuse such a file.
pub(crate) fn settings(text: &[u8]) -> Vec<Setting> {
    let mut found = Vec::new();
    let (mut section, mut subsection) = (Vec::new(), None);
    let mut lines = text.split(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        let mut line = line.trim_ascii().to_vec();
        // A backslash at the end of a line joins the next one.
        while line.last() == Some(&b'\\') {
            line.pop();
            match lines.next() {
                Some(more) => line.extend_from_slice(more.trim_ascii_end()),
                None => break,
            }
        }
        let mut rest = line.as_slice();
        if let Some(header) = rest.strip_prefix(b"[") {
            let Some(end) = header_end(header) else { continue };
            (section, subsection) = heading(header.get(..end).unwrap_or_default());
            rest = header.get(end + 1..).unwrap_or_default().trim_ascii();
        }
        if rest.is_empty() || matches!(rest.first(), Some(b'#' | b';')) {
            continue;
        }
        let (key, value) = match rest.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                rest.get(..at).unwrap_or_default(),
                rest.get(at + 1..).unwrap_or_default(),
            ),
            None => (rest, b"true".as_slice()),
        };
        found.push(Setting {
            section: section.clone(),
            subsection: subsection.clone(),
            key: key.trim_ascii().to_ascii_lowercase(),
            value: unquoted(value.trim_ascii()),
        });
    }
    found
}

/// Where the `]` of a heading is; one within quotes is none.
fn header_end(header: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    header.iter().position(|byte| {
        let here = *byte == b']' && !quoted;
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        here
    })
}

fn heading(text: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    match text.iter().position(|byte| *byte == b'"') {
        Some(at) => {
            let name = text.get(..at).unwrap_or_default().trim_ascii();
            (
                name.to_ascii_lowercase(),
                Some(unquoted(text.get(at..).unwrap_or_default())),
            )
        }
        None => (text.trim_ascii().to_ascii_lowercase(), None),
    }
}

/// A value without quotes, escapes and comment.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    let (mut quoted, mut bytes) = (false, text.iter());
    // Blanks at the end don't count, unless they are quoted.
    let mut kept = 0;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'#' | b';' if !quoted => break,
            b'\\' => value.push(match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'b') => 8,
                Some(other) => *other,
                None => break,
            }),
            other => value.push(*other),
        }
        if quoted || !byte.is_ascii_whitespace() {
            kept = value.len();
        }
    }
    value.truncate(kept);
    value
}

/// The last value of a key in a section without a subsection, as git takes it.
pub(crate) fn last(settings: &[Setting], section: &str, key: &str) -> Option<Vec<u8>> {
    let is = |setting: &&Setting| {
        setting.section == section.as_bytes() && setting.subsection.is_none() && setting.key == key.as_bytes()
    };
    settings.iter().rfind(is).map(|setting| setting.value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_git_reads() {
        let text = b"[core]\n\tbare = false ; x\n\tWorkTree = \"../a b \" # c\n[remote \"o]x\"] url = y\n[a]\nq = 1\\\n2\n[Core]\nflag\n";
        let all = settings(text);
        assert_eq!(last(&all, "core", "worktree").unwrap(), b"../a b ");
        assert_eq!(last(&all, "core", "bare").unwrap(), b"false");
        assert_eq!(last(&all, "core", "flag").unwrap(), b"true");
        assert_eq!(last(&all, "a", "q").unwrap(), b"12");
        assert_eq!(all[2].subsection.as_deref(), Some(b"o]x".as_slice()));
        assert_eq!(last(&all, "remote", "url"), None);
    }

    #[test]
    fn agrees_with_git() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config");
        let values = [
            "plain",
            "two words",
            " edge ",
            "a#b",
            "q\"q",
            "back\\slash",
            "tab\there",
            "ü",
        ];
        for (index, value) in values.iter().enumerate() {
            let key = format!("core.k{index}");
            let git = std::process::Command::new("git")
                .args(["config", "-f"])
                .arg(&file)
                .args([&key, *value])
                .status();
            assert!(git.unwrap().success());
        }
        let all = settings(&std::fs::read(&file).unwrap());
        for (index, value) in values.iter().enumerate() {
            assert_eq!(
                last(&all, "core", &format!("k{index}")).unwrap(),
                value.as_bytes()
            );
        }
    }
}
