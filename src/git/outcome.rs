//! What a server made of a push: the report of git-receive-pack(1) (gitprotocol-pack(5), report-status), read for which
//! refs it took. The client gets the report as it came; this is for who remembers.

use super::packet::{Packet, line, take};
use super::push::Push;
use super::ref_name::RefName;

/// Most bytes of a report: a thousand refs with a kilobyte of name and of reason each.
pub const REPORT_MAX: usize = 2 << 20;
/// Most characters of a reason that is kept.
const REASON_MAX: usize = 200;

/// What became of each ref; those that the server says nothing of are in neither list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Refs that changed.
    pub taken: Vec<RefName>,
    /// Refs that didn't, with the server's reason.
    pub refused: Vec<(RefName, String)>,
    /// Why the pack wasn't taken.
    pub unpack: Option<String>,
}

impl Outcome {
    /// Reads a report, without its bands. What isn't understood says nothing, and a ref that wasn't pushed isn't counted.
    #[must_use]
    pub fn read(report: &[u8], push: &Push) -> Self {
        let mut outcome = Self::default();
        let mut rest = report;
        let mut unpacked = false;
        while let Ok(Some((Packet::Data(data), length))) = take(rest) {
            rest = rest.get(length..).unwrap_or_default();
            let Ok(text) = std::str::from_utf8(line(data)) else {
                continue;
            };
            if let Some(said) = text.strip_prefix("unpack ") {
                unpacked = said == "ok";
                outcome.unpack = (said != "ok").then(|| plain(said));
            } else if let Some(name) = text.strip_prefix("ok ") {
                outcome.taken.extend(pushed(name, push));
            } else if let Some((name, why)) = text.strip_prefix("ng ").and_then(|rest| rest.split_once(' ')) {
                outcome
                    .refused
                    .extend(pushed(name, push).map(|name| (name, plain(why))));
            }
        }
        if !unpacked {
            outcome.taken.clear();
        }
        outcome
    }
}

fn pushed(name: &str, push: &Push) -> Option<RefName> {
    let mut named = push.commands.iter().map(|command| &command.name);
    named.find(|known| known.as_str() == name).cloned()
}

fn plain(text: &str) -> String {
    text.chars()
        .take(REASON_MAX)
        .map(|character| if character.is_control() { '?' } else { character })
        .collect()
}

/// What a server says to people, so that a terminal only shows it: no control characters but those of a line, those of
/// two bytes in UTF-8 included.
#[must_use]
pub fn plain_progress(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|character| match character {
            '\n' | '\r' | '\t' => character,
            control if control.is_control() => '?',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::object_id::ObjectFormat;
    use super::super::packet::put;
    use super::super::push::PushReader;
    use super::*;

    fn push(names: &[&str]) -> Push {
        let mut reader = PushReader::new(ObjectFormat::Sha1);
        let id = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";
        for name in names {
            let line = format!("{id} {id} {name}");
            assert_eq!(reader.accept(Packet::Data(line.as_bytes())), Ok(None));
        }
        reader.accept(Packet::Flush).unwrap().unwrap()
    }

    fn read(lines: &[&str]) -> Outcome {
        let mut report = Vec::new();
        for line in lines {
            put(&mut report, Packet::Data(line.as_bytes())).unwrap();
        }
        put(&mut report, Packet::Flush).unwrap();
        Outcome::read(&report, &push(&["refs/heads/a", "refs/heads/b"]))
    }

    #[test]
    fn each_ref_by_itself() {
        let outcome = read(&[
            "unpack ok\n",
            "ok refs/heads/a\n",
            "option refname refs/heads/c\n",
            "ng refs/heads/b fetch\u{1b} first\n",
            "ok refs/heads/never-pushed\n",
        ]);
        assert_eq!(outcome.taken, ["refs/heads/a".parse().unwrap()]);
        assert_eq!(
            outcome.refused,
            [("refs/heads/b".parse().unwrap(), "fetch? first".to_owned())]
        );
        assert_eq!(outcome.unpack, None);
    }

    #[test]
    fn without_the_pack_no_ref_changed() {
        let outcome = read(&["unpack index-pack failed\n", "ok refs/heads/a\n"]);
        assert_eq!(outcome.unpack.as_deref(), Some("index-pack failed"));
        assert_eq!(outcome.taken, []);
        assert_eq!(read(&["ok refs/heads/a\n"]).taken, []);
        assert_eq!(
            Outcome::read(b"garbage", &push(&["refs/heads/a"])),
            Outcome::default()
        );
    }

    #[test]
    fn progress_moves_no_cursor() {
        let said = "a\u{1b}[31mé\r\n\u{7}\u{9b}1m";
        assert_eq!(plain_progress(said.as_bytes()), "a?[31mé\r\n??1m");
    }
}
