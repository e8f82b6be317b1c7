//! A refusal as git understands it: every ref with its reason (gitprotocol-pack(5), report-status), and lines for who
//! reads along (sideband 2). To git it is a server that works and says no, never one that broke.

use super::packet::{DATA_MAX, Packet, PacketError, put};
use super::push::{Push, Report};

/// Most characters of a reason or a line.
const TEXT_MAX: usize = 300;
/// The bands of gitprotocol-capabilities(5), `side-band-64k`.
const REPORT: u8 = 1;
const PROGRESS: u8 = 2;

/// Why nothing of a push was passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why the pack wasn't taken, where it is at fault.
    pub unpack: Option<String>,
    /// A reason for each command, in their order; a command without one fell with the others.
    pub reasons: Vec<Option<String>>,
    /// Lines for the person, and for the agent that reads them.
    pub lines: Vec<String>,
}

/// What a ref is told that fell with others.
const WITH_OTHERS: &str = "aca policy: another ref of this push was refused, so nothing was sent";

impl Refusal {
    /// One reason for everything.
    #[must_use]
    pub fn of_all(push: &Push, reason: &str, lines: Vec<String>) -> Self {
        Self {
            unpack: None,
            reasons: vec![Some(reason.to_owned()); push.commands.len()],
            lines,
        }
    }

    /// The bytes for the client; `None` where it didn't ask for a report, so that it can't be told.
    ///
    /// # Errors
    /// When a line doesn't fit a packet, which none does that is bounded.
    pub fn encode(&self, push: &Push) -> Result<Option<Vec<u8>>, PacketError> {
        if push.capabilities.report == Report::None {
            return Ok(None);
        }
        let mut report = Vec::new();
        let unpack = match &self.unpack {
            None => "unpack ok\n".to_owned(),
            Some(why) => format!("unpack {}\n", text(why)),
        };
        put(&mut report, Packet::Data(unpack.as_bytes()))?;
        let mut reasons = self.reasons.iter();
        for command in &push.commands {
            let reason = reasons.next().and_then(Option::as_deref).unwrap_or(WITH_OTHERS);
            let line = format!("ng {} {}\n", command.name, text(reason));
            put(&mut report, Packet::Data(line.as_bytes()))?;
        }
        put(&mut report, Packet::Flush)?;
        if !push.capabilities.side_band {
            return Ok(Some(report));
        }
        let mut out = Vec::new();
        for line in &self.lines {
            let line = format!("{}\n", text(line));
            put(&mut out, Packet::Data(&[&[PROGRESS], line.as_bytes()].concat()))?;
        }
        for part in report.chunks(DATA_MAX - 1) {
            put(&mut out, Packet::Data(&[&[REPORT], part].concat()))?;
        }
        put(&mut out, Packet::Flush)?;
        Ok(Some(out))
    }
}

/// The answer to a client that asks for something that can't be had at all: `fatal: remote error: …`.
///
/// # Errors
/// None but [`PacketError::TooLong`], which a bounded text doesn't give.
pub fn error_packet(why: &str) -> Result<Vec<u8>, PacketError> {
    let mut out = Vec::new();
    put(&mut out, Packet::Data(format!("ERR {}\n", text(why)).as_bytes()))?;
    Ok(out)
}

/// One line, bounded.
fn text(text: &str) -> String {
    text.chars()
        .take(TEXT_MAX)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::object_id::ObjectFormat;
    use super::super::packet::take;
    use super::super::push::PushReader;
    use super::*;

    const A: &str = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";

    fn push(capabilities: &str, refs: &[String]) -> Push {
        let mut reader = PushReader::new(ObjectFormat::Sha1);
        for (index, name) in refs.iter().enumerate() {
            let capabilities = if index == 0 {
                format!("\0{capabilities}")
            } else {
                String::new()
            };
            let line = format!("{A} {A} {name}{capabilities}");
            assert_eq!(reader.accept(Packet::Data(line.as_bytes())), Ok(None));
        }
        reader.accept(Packet::Flush).unwrap().unwrap()
    }

    #[test]
    fn the_bytes_that_git_takes() {
        let push = push("report-status-v2 side-band-64k", &["refs/heads/main".into()]);
        let lines = vec![
            "aca: push blocked by sandbox policy; nothing was sent to the server.".to_owned(),
            "aca: allowed: refs/heads/agent/*, refs/heads/feature/*".to_owned(),
        ];
        let refusal = Refusal::of_all(&push, "aca policy: branch not in allowed patterns", lines);
        let bytes = refusal.encode(&push).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "004a\u{2}aca: push blocked by sandbox policy; nothing was sent to the server.\n\
             003c\u{2}aca: allowed: refs/heads/agent/*, refs/heads/feature/*\n\
             0059\u{1}000eunpack ok\n0042ng refs/heads/main aca policy: branch not in allowed patterns\n00000000"
        );
    }

    #[test]
    fn a_long_report_takes_several_packets() {
        let names: Vec<String> = (0..900)
            .map(|n| format!("refs/heads/{n}-{}", "x".repeat(200)))
            .collect();
        let push = push("report-status side-band-64k", &names);
        let bytes = Refusal::of_all(&push, "no", Vec::new())
            .encode(&push)
            .unwrap()
            .unwrap();
        let (mut rest, mut report) = (bytes.as_slice(), Vec::new());
        while let Some((packet, length)) = take(rest).unwrap() {
            if let Packet::Data(data) = packet {
                assert_eq!(data[0], REPORT);
                report.extend_from_slice(&data[1..]);
            }
            rest = &rest[length..];
        }
        assert!(rest.is_empty());
        assert_eq!(report.windows(3).filter(|word| *word == b"ng ").count(), 900);
    }

    #[test]
    fn without_a_report_it_can_not_be_told() {
        let push = push("quiet", &["refs/heads/main".into()]);
        assert_eq!(Refusal::of_all(&push, "no", Vec::new()).encode(&push), Ok(None));
    }

    #[test]
    fn nothing_breaks_out_of_a_line() {
        let push = push("report-status", &["refs/heads/a".into(), "refs/heads/b".into()]);
        let refusal = Refusal {
            unpack: Some("x\nok refs/heads/a".into()),
            reasons: vec![Some("a\nok refs/heads/b".into())],
            lines: Vec::new(),
        };
        let text = String::from_utf8(refusal.encode(&push).unwrap().unwrap()).unwrap();
        assert!(!text.contains("\nok"), "{text}");
        assert!(text.contains(WITH_OTHERS), "{text}");
        assert_eq!(error_packet("no\nno").unwrap(), b"000eERR no no\n");
    }
}
