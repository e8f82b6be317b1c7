//! The narrowest change of the policy that allows an action: as a flag, and as lines of the configuration file.

use super::path::is_glob;
use super::{HostPattern, HostPort, NetworkPreset, PushTarget, Repository};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What has to be said for an action to be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Allow a host.
    Allow(HostPattern),
    /// Switch the network on, and allow a host.
    SwitchOn(NetworkPreset, HostPattern),
    /// Let a service of the host's be reached.
    HostPort(HostPort),
    /// Switch the network on, and let a service of the host's be reached.
    SwitchOnHostPort(NetworkPreset, HostPort),
    /// Let a repository be fetched.
    Fetch(Repository),
    /// Let refs of a repository be pushed.
    Push(PushTarget),
    /// Show a path.
    Read(PathBuf),
    /// Let a path be written.
    Write(PathBuf),
    /// Let names be made in a directory that the host would run or trust.
    NamesIn(PathBuf),
}

impl Change {
    /// To show a path; what a rule can't name (a star would be a pattern) is shown with the directory that holds it.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        nameable(path).map(Self::Read)
    }

    /// The same to let it be written.
    #[must_use]
    pub fn write(path: &Path) -> Option<Self> {
        nameable(path).map(Self::Write)
    }

    /// To let names be made in a directory; `None` for one that a rule can't name.
    #[must_use]
    pub fn names_in(directory: &Path) -> Option<Self> {
        (!is_glob(directory)).then(|| Self::NamesIn(directory.to_owned()))
    }

    /// As words of the command line of `aca run`.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        match self {
            Self::Allow(host) => vec!["--allow".into(), host.to_string().into()],
            Self::SwitchOn(preset, host) => vec![
                "--net".into(),
                preset.word().into(),
                "--allow".into(),
                host.to_string().into(),
            ],
            Self::HostPort(port) => vec!["--host-port".into(), port.to_string().into()],
            Self::SwitchOnHostPort(preset, port) => vec![
                "--net".into(),
                preset.word().into(),
                "--host-port".into(),
                port.to_string().into(),
            ],
            Self::Fetch(repository) => vec!["--git-fetch".into(), repository.to_string().into()],
            Self::Push(target) => vec!["--git-push".into(), target.to_string().into()],
            Self::Read(path) => vec!["--read".into(), path.clone().into()],
            Self::Write(path) => vec!["--write".into(), path.clone().into()],
            Self::NamesIn(path) => vec!["--open-names-in".into(), path.clone().into()],
        }
    }

    /// The same as text, quoted for a shell.
    #[must_use]
    pub fn flag(&self) -> String {
        let words: Vec<String> = self
            .words()
            .iter()
            .map(|word| shell_word(word.as_bytes()))
            .collect();
        words.join(" ")
    }

    /// As lines of the configuration file; `None` for a path that isn't UTF-8, which TOML can't hold.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        Some(match self {
            Self::Allow(host) => format!("[network]\nallow = [{}]", toml_string(&host.to_string())),
            Self::SwitchOn(preset, host) => format!(
                "[network]\npreset = {}\nallow = [{}]",
                toml_string(preset.word()),
                toml_string(&host.to_string())
            ),
            Self::HostPort(port) => {
                format!("[network]\nhost_ports = [{}]", toml_string(&port.to_string()))
            }
            Self::SwitchOnHostPort(preset, port) => format!(
                "[network]\npreset = {}\nhost_ports = [{}]",
                toml_string(preset.word()),
                toml_string(&port.to_string())
            ),
            Self::Fetch(repository) => format!(
                "[[git.repository]]\nurl = [{}]\nfetch = true",
                toml_string(&repository.to_string())
            ),
            Self::Push(target) => format!(
                "[[git.repository]]\nurl = [{}]\npush = {}",
                toml_string(&target.repository.to_string()),
                target.value()
            ),
            Self::Read(path) => format!("[files]\nread = [{}]", toml_string(path.to_str()?)),
            Self::Write(path) => format!("[files]\nwrite = [{}]", toml_string(path.to_str()?)),
            Self::NamesIn(path) => format!("[files]\nopen_names_in = [{}]", toml_string(path.to_str()?)),
        })
    }
}

/// The path, or the nearest directory above it that a rule can name.
fn nameable(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .find(|above| !is_glob(above))
        .filter(|above| above.parent().is_some())
        .map(Path::to_owned)
}

/// A word as a shell takes it: plain, in quotes, or in `$'…'` (POSIX.1-2024, 2.2.4) where it holds what can't be shown.
fn shell_word(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./:,@%+".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(plain) => text.to_owned(),
        Ok(text) if !text.chars().any(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut word = String::from("$'");
            for chunk in bytes.utf8_chunks() {
                for character in chunk.valid().chars() {
                    match character {
                        '\'' | '\\' => word.extend(['\\', character]),
                        control if control.is_control() => {
                            for byte in control.to_string().bytes() {
                                word.push_str(&format!("\\x{byte:02x}"));
                            }
                        }
                        other => word.push(other),
                    }
                }
                for byte in chunk.invalid() {
                    word.push_str(&format!("\\x{byte:02x}"));
                }
            }
            word.push('\'');
            word
        }
    }
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let mut string = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => string.extend(['\\', character]),
            control if control.is_control() => string.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => string.push(other),
        }
    }
    string.push('"');
    string
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn as_flag_and_as_lines() {
        for (path, flag, line) in [
            (
                &b"/a/b.c"[..],
                "--read /a/b.c",
                Some("[files]\nread = [\"/a/b.c\"]"),
            ),
            (
                b"/a b/it's",
                r"--read '/a b/it'\''s'",
                Some("[files]\nread = [\"/a b/it's\"]"),
            ),
            (
                b"/a\"\\",
                "--read '/a\"\\'",
                Some(
                    r#"[files]
read = ["/a\"\\"]"#,
                ),
            ),
            (b"/a\n\xff'", r"--read $'/a\x0a\xff\''", None),
            (
                "/a\u{85}".as_bytes(),
                r"--read $'/a\xc2\x85'",
                Some("[files]\nread = [\"/a\\u0085\"]"),
            ),
            (b"/a/b*/c", "--read /a", Some("[files]\nread = [\"/a\"]")),
        ] {
            let change = Change::read(Path::new(OsStr::from_bytes(path))).unwrap();
            assert_eq!(change.flag(), flag);
            assert_eq!(change.line().as_deref(), line);
        }
        assert_eq!(Change::read(Path::new("/*")), None);
        assert_eq!(Change::write(Path::new("/")), None);
    }
}
