//! Secrets that take more than a beginning to tell: private keys, passwords in URLs and in netrc files, AWS's secret keys,
//! and what is written in base64 ([`coded`]).

use super::coded;
use super::scan::is_random;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// RFC 7468, and what OpenSSH and PGP write like it.
    PrivateKey,
    /// `scheme://user:password@host` (RFC 3986, 3.2.1).
    Url,
    /// `machine HOST login USER password PASSWORD` (netrc(5)).
    Netrc,
    /// Forty characters behind the name of their variable.
    AwsSecret,
    /// A token that somebody signed (RFC 7519), which begins as JSON does in base64.
    SignedToken,
    /// `"auth": "…"` in Docker's configuration.
    DockerAuth,
}

/// The texts that they begin with.
pub(super) const STARTS: &[(&[u8], Shape)] = &[
    (b"-----BEGIN ", Shape::PrivateKey),
    (b"://", Shape::Url),
    (b"machine ", Shape::Netrc),
    (b"aws_secret_access_key", Shape::AwsSecret),
    (b"AWS_SECRET_ACCESS_KEY", Shape::AwsSecret),
    (b"SecretAccessKey", Shape::AwsSecret),
    (b"secretAccessKey", Shape::AwsSecret),
    (b"secret_access_key", Shape::AwsSecret),
    (b"aws_secret_key", Shape::AwsSecret),
    (SIGNED_TOKEN, Shape::SignedToken),
    (SIGNED_TOKEN_SPACED, Shape::SignedToken),
    (b"\"auth\"", Shape::DockerAuth),
    (b"\\\"auth\\\"", Shape::DockerAuth),
];

/// `{"` in base64, and the same with a blank.
const SIGNED_TOKEN: &[u8] = b"eyJ";
const SIGNED_TOKEN_SPACED: &[u8] = b"eyAi";

impl Shape {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PrivateKey => "a private key",
            Self::Url => "a URL with a password",
            Self::Netrc => "a netrc entry with a password",
            Self::AwsSecret => "an AWS secret key",
            Self::SignedToken => "a signed token",
            Self::DockerAuth => "a registry's password",
        }
    }

    /// Whether it is there, between what stands before its beginning and what follows it.
    pub(super) fn is_there(self, before: &[u8], begin: &[u8], after: &[u8]) -> bool {
        match self {
            Self::PrivateKey => private_key(after),
            Self::Url => url(before, after),
            Self::Netrc => netrc(before, after),
            Self::AwsSecret => aws_secret(after),
            Self::SignedToken => coded::signed_token(before, after, begin),
            Self::DockerAuth => coded::docker_auth(after),
        }
    }
}

/// `EC PRIVATE KEY-----` and the like, and then a line of base64: what only speaks of keys has none.
fn private_key(after: &[u8]) -> bool {
    const LABEL_MAX: usize = 40;
    const LOOKED_AT: usize = 2000;
    const LINE_MIN: usize = 40;
    let label = after
        .iter()
        .take(LABEL_MAX)
        .take_while(|byte| **byte != b'-')
        .count();
    let Some((label, rest)) = after.split_at_checked(label) else {
        return false;
    };
    let private = [&b"PRIVATE KEY"[..], b"PRIVATE KEY BLOCK"]
        .iter()
        .any(|end| label.ends_with(end));
    let Some(rest) = rest.strip_prefix(b"-----").filter(|_| private) else {
        return false;
    };
    let rest = rest.get(..LOOKED_AT).unwrap_or(rest);
    // In JSON and in scripts line feeds are written `\n`, and the letter isn't the next line's.
    let is_code = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    rest.split(|byte| !is_code(byte)).any(|line| {
        let line = line.strip_prefix(b"n").unwrap_or(line);
        line.len() >= LINE_MIN && is_random(line)
    })
}

fn url(before: &[u8], after: &[u8]) -> bool {
    const USER_MAX: usize = 64;
    const PASSWORD_MAX: usize = 128;
    if !before.last().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let end = |byte: &u8| {
        byte.is_ascii_whitespace() || byte.is_ascii_control() || b"/@\"'`<>{}[]()$\\|".contains(byte)
    };
    let user = after
        .iter()
        .take(USER_MAX)
        .take_while(|byte| **byte != b':' && !end(byte))
        .count();
    let Some((b":", rest)) = after.get(user..).and_then(|rest| rest.split_at_checked(1)) else {
        return false;
    };
    let length = rest
        .iter()
        .take(PASSWORD_MAX)
        .take_while(|byte| !end(byte))
        .count();
    let (Some(password), Some((b"@", host))) = (
        rest.get(..length),
        rest.get(length..).and_then(|rest| rest.split_at_checked(1)),
    ) else {
        return false;
    };
    let length = host
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        .count();
    is_password(password) && host.get(..length).is_some_and(is_somebodys)
}

fn netrc(before: &[u8], after: &[u8]) -> bool {
    const LOOKED_AT: usize = 500;
    if before.last().is_some_and(|byte| *byte != b'\n') {
        return false;
    }
    let text = after.get(..LOOKED_AT).unwrap_or(after);
    let mut words = text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let Some(host) = words.next() else {
        return false;
    };
    let mut words = words.take(6);
    words.any(|word| word == b"password") && words.next().is_some_and(is_password) && is_somebodys(host)
}

fn aws_secret(after: &[u8]) -> bool {
    const BETWEEN_MAX: usize = 12;
    const LENGTH: usize = 40;
    let between = after
        .iter()
        .take(BETWEEN_MAX)
        .take_while(|byte| b" \t\"'=:>\\,".contains(byte))
        .count();
    let rest = after.get(between..).unwrap_or_default();
    let is_code = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let length = rest.iter().take(LENGTH + 1).take_while(is_code).count();
    between > 0
        && length == LENGTH
        && rest
            .get(..LENGTH)
            .is_some_and(|key| is_mixed(key) && is_random(key))
}

/// Whether a text is a password that somebody has, and no word that stands for one.
pub(super) fn is_password(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 6] = [b"pass", b"secret", b"change", b"token", b"test", b"user"];
    let lower = text.to_ascii_lowercase();
    text.len() >= 8
        && text.iter().any(u8::is_ascii_alphabetic)
        && text.iter().any(u8::is_ascii_digit)
        && is_random(text)
        && !WORDS
            .iter()
            .any(|word| lower.windows(word.len()).any(|part| part == *word))
}

fn is_mixed(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_uppercase)
        && text.iter().any(u8::is_ascii_lowercase)
        && text.iter().any(u8::is_ascii_digit)
}

/// Whether a host's name is one out there: not this machine's, no container's, none kept for examples (RFC 2606).
fn is_somebodys(host: &[u8]) -> bool {
    let host = host.to_ascii_lowercase();
    let reserved = [
        &b".test"[..],
        b".example",
        b".invalid",
        b".localhost",
        b".local",
        b"example.com",
        b"example.org",
        b"example.net",
    ];
    host.contains(&b'.')
        && host.iter().any(u8::is_ascii_alphabetic)
        && !reserved.iter().any(|end| host.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::super::scan::Scanner;

    fn found(text: &str) -> Option<String> {
        Scanner::new().unwrap().first(text.as_bytes()).map(str::to_owned)
    }

    /// Put together here, so that nobody finds one in this file.
    fn key(label: &str, feed: &str) -> String {
        let line = "MHcCAQEEIJ3q9zV7Yk2mP0sXwR5tN8uBcDfGhJkLmQrStVwXyZ";
        format!("-----BEGIN {label}-----{feed}{line}{feed}{line}{feed}-----END {label}-----{feed}")
    }

    #[test]
    fn private_keys() {
        for label in [
            "PRIVATE KEY",
            "RSA PRIVATE KEY",
            "EC PRIVATE KEY",
            "OPENSSH PRIVATE KEY",
            "ENCRYPTED PRIVATE KEY",
            "PGP PRIVATE KEY BLOCK",
        ] {
            for feed in ["\n", "\r\n", "\\n"] {
                assert_eq!(
                    found(&key(label, feed)).unwrap(),
                    "a private key",
                    "{label} {feed:?}"
                );
            }
        }
        assert_eq!(found(&key("CERTIFICATE", "\n")), None);
        assert_eq!(found(&key("PUBLIC KEY", "\n")), None);
        assert_eq!(
            found("if text.contains(\"-----BEGIN PRIVATE KEY-----\") { … }"),
            None
        );
        assert_eq!(
            found(&format!("{}\n...\n", "-----BEGIN RSA PRIVATE KEY-----")),
            None
        );
    }

    #[test]
    fn passwords_in_urls() {
        let word = "k7Qp2mX9";
        for text in [
            format!("postgres://app:{word}@db.acme.io:5432/app"),
            format!("git clone https://alice:{word}@git.acme.io/x.git"),
            format!("redis://:{word}zz@cache.acme.io"),
        ] {
            assert_eq!(found(&text).unwrap(), "a URL with a password", "{text}");
        }
        for text in [
            format!("postgres://app:{word}@localhost:5432/app"),
            format!("postgres://app:{word}@db/app"),
            format!("https://alice:{word}@git.example.com/x.git"),
            "postgres://postgres:postgres@db.acme.io/app".to_owned(),
            "https://user:${PASSWORD}@git.acme.io/".to_owned(),
            "https://user:password123@git.acme.io/".to_owned(),
            "https://acme.io:8443/a@b.c1".to_owned(),
            "see https://acme.io/path and mail to a@acme.io".to_owned(),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
    }

    #[test]
    fn netrc_and_aws() {
        let word = "k7Qp2mX9";
        for text in [
            format!("machine git.acme.io login alice password {word}\n"),
            format!("# mine\nmachine git.acme.io\n  login alice\n  password {word}\n"),
        ] {
            assert_eq!(found(&text).unwrap(), "a netrc entry with a password", "{text}");
        }
        assert_eq!(
            found("the machine login screen asks for a password k7Qp2mX9 now"),
            None
        );
        let secret = "k7Qp2mX9/+zLwB4tR8uYcDfGhJ1NqSv3WaEbHiKo";
        for text in [
            format!("aws_secret_access_key = {secret}\n"),
            format!("export AWS_SECRET_ACCESS_KEY='{secret}'"),
            format!("\"SecretAccessKey\": \"{secret}\","),
        ] {
            assert_eq!(found(&text).unwrap(), "an AWS secret key", "{text}");
        }
        let public = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(found(&format!("aws_secret_access_key = {public}")), None);
        assert_eq!(
            found("aws_secret_access_key = os.environ[\"AWS_SECRET_ACCESS_KEY\"]"),
            None
        );
    }
}
