//! The words that git starts its `ssh` with, read strictly: what git writes and nothing else. They come from inside, and
//! the user's own ssh(1) will be started with what is read here; no word of theirs is passed on as it came.

use std::net::Ipv4Addr;

/// Longest word.
const WORD_MAX: usize = 4096;

/// What git asks of `ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshRequest {
    /// `-4` or `-6`.
    pub family: Option<Family>,
    /// Whether `GIT_PROTOCOL` shall be sent (`-o SendEnv=GIT_PROTOCOL`).
    pub send_protocol: bool,
    /// `-p`.
    pub port: Option<u16>,
    /// The user's name on the server.
    pub user: Option<String>,
    /// The host, as the user's own configuration of ssh may know it.
    pub host: String,
    /// Which program of git's.
    pub service: Service,
    /// The repository, without its quotes.
    pub path: String,
}

/// The family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A program of git's at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// git-upload-pack(1): clone and fetch.
    UploadPack,
    /// git-receive-pack(1): push.
    ReceivePack,
}

impl Service {
    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }
}

/// Why the words are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshWordsError {
    /// An option that git doesn't write.
    #[error("the option `{0}` isn't taken; the user's own configuration of ssh is what counts")]
    Option(String),
    /// No port.
    #[error("`{0}` is no port")]
    Port(String),
    /// No host.
    #[error("`{0}` is no host")]
    Host(String),
    /// No user.
    #[error("`{0}` is no user's name")]
    User(String),
    /// Git's large files: the answer would be a credential.
    #[error("`{0}` isn't carried: what it answers is a credential (LFS over ssh)")]
    Lfs(String),
    /// A program that isn't carried.
    #[error("`{0}` isn't carried: only clone, fetch and push are")]
    Command(String),
    /// A login, or a command as several words.
    #[error("only `git-upload-pack` and `git-receive-pack` with one path are carried, no shell")]
    Shell,
    /// A path that isn't plain.
    #[error("the path `{0}` isn't taken")]
    Path(String),
}

/// Reads the words after `ssh`.
///
/// # Errors
/// See [`SshWordsError`].
pub fn parse(words: &[String]) -> Result<SshRequest, SshWordsError> {
    let mut words = words.iter().map(String::as_str);
    let (mut family, mut send_protocol, mut port) = (None, false, None);
    let destination = loop {
        match words.next().ok_or(SshWordsError::Shell)? {
            "-4" if family.is_none() => family = Some(Family::V4),
            "-6" if family.is_none() => family = Some(Family::V6),
            "-o" => match words.next() {
                Some("SendEnv=GIT_PROTOCOL") => send_protocol = true,
                other => return Err(SshWordsError::Option(shown(other.unwrap_or("-o")))),
            },
            "-p" if port.is_none() => port = Some(port_of(words.next().unwrap_or_default())?),
            word if word.starts_with('-') => return Err(SshWordsError::Option(shown(word))),
            word => break word,
        }
    };
    let (user, host) = match destination.rsplit_once('@') {
        Some((user, host)) if is_user(user) => (Some(user.to_owned()), host),
        Some((user, _)) => return Err(SshWordsError::User(shown(user))),
        None => (None, destination),
    };
    if !is_host(host) {
        return Err(SshWordsError::Host(shown(host)));
    }
    let (Some(command), None) = (words.next(), words.next()) else {
        return Err(SshWordsError::Shell);
    };
    let (service, path) = command_of(command)?;
    Ok(SshRequest {
        family,
        send_protocol,
        port,
        user,
        host: host.to_owned(),
        service,
        path,
    })
}

fn port_of(text: &str) -> Result<u16, SshWordsError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port) if port > 0 && digits => Ok(port),
        _ => Err(SshWordsError::Port(shown(text))),
    }
}

/// A name as POSIX has it (3.437); never one that reads as an option.
fn is_user(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= 64 && !text.starts_with('-') && text.bytes().all(good)
}

/// A name, an alias, or an address.
fn is_host(text: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    let is_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let is_plain = !text.contains(':') || is_v6;
    let first = text.bytes().next();
    let begins =
        first.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b':' && is_v6));
    begins && text.len() <= 255 && text.bytes().all(good) && is_plain && !is_odd_address(text)
}

/// Digits and dots that libraries read as an address in other ways than written (inet_aton(3)).
fn is_odd_address(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    numeric && !text.contains(':') && text.parse::<Ipv4Addr>().is_err()
}

fn command_of(text: &str) -> Result<(Service, String), SshWordsError> {
    if text.len() > WORD_MAX {
        return Err(SshWordsError::Command(shown(text)));
    }
    let (program, argument) = text.split_once(' ').unwrap_or((text, ""));
    let service = match program {
        "git-upload-pack" => Service::UploadPack,
        "git-receive-pack" => Service::ReceivePack,
        "git-lfs-authenticate" | "git-lfs-transfer" => return Err(SshWordsError::Lfs(program.to_owned())),
        _ => return Err(SshWordsError::Command(shown(program))),
    };
    let path = unquote(argument).ok_or_else(|| SshWordsError::Path(shown(argument)))?;
    if !is_path(&path) {
        return Err(SshWordsError::Path(shown(&path)));
    }
    Ok((service, path))
}

/// Undoes what git's `sq_quote` does: all in single quotes, with `'` and `!` escaped outside of them.
fn unquote(text: &str) -> Option<String> {
    let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let mut out = String::new();
    let mut rest = inner;
    while let Some((before, after)) = rest.split_once('\'') {
        out.push_str(before);
        let (escaped, after) = match (after.strip_prefix(r"\'"), after.strip_prefix(r"\!")) {
            (Some(after), _) => ('\'', after),
            (None, Some(after)) => ('!', after),
            (None, None) => return None,
        };
        out.push(escaped);
        rest = after.strip_prefix('\'')?;
    }
    out.push_str(rest);
    Some(out)
}

/// Puts a path into quotes as git does.
#[must_use]
pub fn quote(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

/// A path that every server reads the same way, and no server as an option.
fn is_path(path: &str) -> bool {
    let parts_are_plain = path
        .trim_start_matches('/')
        .split('/')
        .all(|part| !matches!(part, "" | "." | ".."));
    let bad = |character: char| character.is_control() || "\\%\"'`$!*?;&|<>(){}[]".contains(character);
    !path.is_empty()
        && !path.starts_with('-')
        && !path.starts_with("//")
        && parts_are_plain
        && !path.contains(bad)
}

/// Some of a word, so that it can be shown.
fn shown(word: &str) -> String {
    word.chars()
        .take(100)
        .map(|character| {
            if character.is_ascii_graphic() || character == ' ' {
                character
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<SshRequest, SshWordsError> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_git_writes() {
        let request = read(&[
            "-o",
            "SendEnv=GIT_PROTOCOL",
            "-p",
            "2222",
            "git@example.test",
            "git-upload-pack '/acme/it'\\''s.git'",
        ]);
        // A quote in a path is git's to write, and not a path that is carried.
        assert!(matches!(request, Err(SshWordsError::Path(_))));
        let request = read(&[
            "-4",
            "-p",
            "2222",
            "git@example.test",
            "git-receive-pack 'acme/app.git'",
        ])
        .unwrap();
        assert_eq!(
            (request.family, request.port, request.user.as_deref()),
            (Some(Family::V4), Some(2222), Some("git"))
        );
        assert_eq!(
            (request.host.as_str(), request.path.as_str()),
            ("example.test", "acme/app.git")
        );
        assert_eq!(request.service, Service::ReceivePack);
        let request = read(&["-o", "SendEnv=GIT_PROTOCOL", "work", "git-upload-pack '~me/x'"]).unwrap();
        assert!(request.send_protocol);
        assert!(read(&["::1", "git-upload-pack '/x'"]).is_ok());
    }

    #[test]
    fn p54_nothing_else() {
        let upload = "git-upload-pack '/acme/app'";
        for words in [
            &["host", "id"][..],
            &["host", "git-upload-pack '/x'; id"],
            &["host", "git-upload-pack '/x' '/y'"],
            &["host", "git-upload-pack /x"],
            &["host", "git-upload-pack '/x'y'z'"],
            &["host", "git-upload-pack ''"],
            &["host", "git-upload-pack '--upload-pack=x'"],
            &["host", "git upload-pack '/x'"],
            &["host"],
            &[],
            &["host", upload, "x"],
            &["-o", "ProxyCommand=id", "host", upload],
            &["-oProxyCommand=id", "host", upload],
            &["-o"],
            &["-F", "/x", "host", upload],
            &["--", "host", upload],
            &["-host", upload],
            &["git@-host", upload],
            &["-x@host", upload],
            &["a b@host", upload],
            &["host name", upload],
            &["127.1", upload],
            &["0x7f.1", upload],
            &["host%x", upload],
            &["host:22", upload],
            &["-p", "0", "host", upload],
            &["-p", "+1", "host", upload],
            &["-p", "22", "-p", "23", "host", upload],
            &["-4", "-6", "host", upload],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
        for path in [
            "/a/../b", "//a", "/a//b", "/a/./b", "/a%2e", "/a\n", "/a$b", "a\\b", "/",
        ] {
            assert!(
                read(&["host", &format!("git-upload-pack {}", quote(path))]).is_err(),
                "{path:?}"
            );
        }
    }

    #[test]
    fn p55_large_files_and_archives() {
        assert!(matches!(
            read(&["host", "git-lfs-authenticate acme/app upload"]),
            Err(SshWordsError::Lfs(_))
        ));
        assert!(matches!(
            read(&["host", "git-upload-archive '/x'"]),
            Err(SshWordsError::Command(_))
        ));
    }

    #[test]
    fn quotes_are_undone() {
        for path in ["/a", "it's", "a!b", "''", "!'", ""] {
            assert_eq!(unquote(&quote(path)).as_deref(), Some(path));
        }
        for text in ["'", "''a", "'a''b'", "a'b'", "'a'\\x'b'"] {
            assert_eq!(unquote(text), None, "{text}");
        }
    }
}
