//! `~/.netrc`, as far as a credential for one host is in it (curl's manual, "netrc"). Read here and not by way of git's
//! curl, which would have to be given the answer in a file again.

use super::secret::Secret;
use zeroize::Zeroizing;

/// Longest file that is read.
pub(super) const NETRC_MAX: usize = 64 * 1024;

/// The name and the password of the first `machine` that is this host. An entry that lacks either is passed over, and so is
/// `default`: it would be sent to whoever asks.
pub(super) fn find(text: &[u8], host: &str) -> Option<(String, Secret)> {
    let mut words = Words(text);
    let mut entry: Option<Entry> = None;
    while let Some(word) = words.next() {
        match word.as_slice() {
            b"machine" | b"default" => {
                if let Some(found) = entry.take().and_then(Entry::whole) {
                    return Some(found);
                }
                let is_here = word.as_slice() == b"machine"
                    && words
                        .next()
                        .is_some_and(|name| name.eq_ignore_ascii_case(host.as_bytes()));
                entry = is_here.then(Entry::default);
            }
            b"login" => {
                let login = words.next();
                if let Some(entry) = &mut entry {
                    entry.login = login;
                }
            }
            b"password" => {
                let password = words.next();
                if let Some(entry) = &mut entry {
                    entry.password = password;
                }
            }
            b"account" => drop(words.next()),
            // To the next empty line.
            b"macdef" => words.skip_macro(),
            // No file of this kind: nothing of what follows is sure.
            _ => return entry.and_then(Entry::whole),
        }
    }
    entry.and_then(Entry::whole)
}

#[derive(Default)]
struct Entry {
    login: Option<Zeroizing<Vec<u8>>>,
    password: Option<Zeroizing<Vec<u8>>>,
}

impl Entry {
    fn whole(self) -> Option<(String, Secret)> {
        let login = String::from_utf8(self.login?.to_vec()).ok()?;
        let is_good = !login
            .chars()
            .any(|character| character.is_control() || character == ':');
        Some((login, Secret::new(self.password?)?)).filter(|_| is_good)
    }
}

/// Words between blanks; in quotes, with `\"`, `\\`, `\n`, `\r` and `\t`; from `#` to the end of the line nothing.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        loop {
            self.0 = self.0.trim_ascii_start();
            match self.0.first()? {
                b'#' => self.skip_to(b"\n"),
                _ => break,
            }
        }
        let mut word = Zeroizing::new(Vec::with_capacity(256));
        match self.0.strip_prefix(b"\"") {
            Some(mut rest) => loop {
                let (byte, after) = rest.split_first()?;
                rest = after;
                match byte {
                    b'"' => {
                        self.0 = rest;
                        return Some(word);
                    }
                    b'\\' => {
                        let (escaped, after) = rest.split_first()?;
                        rest = after;
                        word.push(match escaped {
                            b'n' => b'\n',
                            b'r' => b'\r',
                            b't' => b'\t',
                            other => *other,
                        });
                    }
                    other => word.push(*other),
                }
            },
            None => {
                let end = self
                    .0
                    .iter()
                    .position(u8::is_ascii_whitespace)
                    .unwrap_or(self.0.len());
                let (found, rest) = self.0.split_at_checked(end)?;
                word.extend_from_slice(found);
                self.0 = rest;
                Some(word)
            }
        }
    }

    fn skip_to(&mut self, end: &[u8]) {
        let at = self.0.windows(end.len()).position(|window| window == end);
        self.0 = at.and_then(|at| self.0.get(at + end.len()..)).unwrap_or_default();
    }

    fn skip_macro(&mut self) {
        self.skip_to(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, host: &str) -> Option<(String, String)> {
        let (login, secret) = find(text.as_bytes(), host)?;
        Some((login, String::from_utf8(secret.expose().to_vec()).unwrap()))
    }

    #[test]
    fn the_first_whole_entry_of_the_host() {
        let text = "# mine\nmachine a.test login alice password s3 # not this\nmacdef init\nmachine a.test login evil\n\n\
                    machine b.test\n\tpassword \"p w\\\"\\\\\" login bob account x\nmachine B.test login c password d\n\
                    default login any password any\n";
        let pair = |login: &str, password: &str| Some((login.to_owned(), password.to_owned()));
        assert_eq!(found(text, "a.test"), pair("alice", "s3"));
        assert_eq!(found(text, "b.test"), pair("bob", "p w\"\\"));
        assert_eq!(found(text, "c.test"), None, "`default` is nobody's");
        assert_eq!(
            found(
                "machine a.test login x machine a.test login y password z",
                "a.test"
            ),
            pair("y", "z")
        );
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        for text in [
            "",
            "machine",
            "machine a.test",
            "machine a.test login x",
            "machine a.test password x",
            "machine a.test login x:y password z",
            "machine a.test login x password \"never closed",
            "machine a.test login x password \"new\\nline\"",
            "machine a.test.evil login x password y",
            "garbage machine a.test login x password y",
        ] {
            assert_eq!(found(text, "a.test"), None, "{text}");
        }
    }
}
