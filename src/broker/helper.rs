//! What is said to `git credential fill`, and what it says (git-credential(1), "INPUT/OUTPUT FORMAT").

use super::secret::Secret;
use zeroize::Zeroizing;

/// A credential in git's words.
pub(super) struct Filled {
    pub(super) user: String,
    pub(super) secret: Secret,
    /// Seconds since 1970 when it ends.
    pub(super) expires: Option<u64>,
}

/// The question; `None` where a value could be read as more than one line.
pub(super) fn question(host: &str, port: u16, path: &str) -> Option<Vec<u8>> {
    let is_plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    let host = match (host.contains(':'), port) {
        (false, 443) => host.to_owned(),
        (false, port) => format!("{host}:{port}"),
        (true, 443) => format!("[{host}]"),
        (true, port) => format!("[{host}]:{port}"),
    };
    let text = format!("protocol=https\nhost={host}\npath={path}\n\n");
    (is_plain(&host) && is_plain(path)).then(|| text.into_bytes())
}

/// The answer; `None` for one that isn't whole.
pub(super) fn answer(bytes: &[u8]) -> Option<Filled> {
    let (mut user, mut secret, mut expires) = (None, None, None);
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let at = line.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (line.get(..at)?, line.get(at + 1..)?);
        match key {
            b"username" => user = Some(std::str::from_utf8(value).ok()?.to_owned()),
            b"password" => secret = Some(Secret::new(Zeroizing::new(value.to_vec()))?),
            b"password_expiry_utc" => expires = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            _ => {}
        }
    }
    let user = user.filter(|user| is_user(user))?;
    Some(Filled {
        user,
        secret: secret?,
        expires,
    })
}

/// Whether a name can be sent (RFC 7617 2).
pub(super) fn is_user(user: &str) -> bool {
    user.len() <= 255
        && !user
            .chars()
            .any(|character| character.is_control() || character == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line() {
        assert_eq!(
            question("h.test", 443, "acme/app.git").unwrap(),
            b"protocol=https\nhost=h.test\npath=acme/app.git\n\n"
        );
        assert_eq!(
            question("::1", 8443, "x").unwrap(),
            b"protocol=https\nhost=[::1]:8443\npath=x\n\n"
        );
        for (host, path) in [
            ("h.test\nhost=evil.test", "x"),
            ("h", "x\nhost=evil"),
            ("h\0", "x"),
            ("h", "x\r"),
            ("", "x"),
        ] {
            assert!(question(host, 443, path).is_none(), "{host:?} {path:?}");
        }
    }

    #[test]
    fn answers() {
        let filled =
            answer(b"protocol=https\nhost=h\nusername=alice\npassword=s3=3\npassword_expiry_utc=7\n")
                .unwrap();
        assert_eq!(
            (filled.user.as_str(), filled.secret.expose(), filled.expires),
            ("alice", &b"s3=3"[..], Some(7))
        );
        for bad in [
            &b""[..],
            b"username=a\n",
            b"password=b\n",
            b"username=a:b\npassword=c\n",
            b"username=a\npassword=\n",
            b"username=a\npassword=b\0\n",
            b"username=a\npassword=b\ngarbage\n",
            b"username=a\npassword=b\npassword_expiry_utc=x\n",
            b"username=\xff\npassword=b\n",
        ] {
            assert!(answer(bad).is_none(), "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
