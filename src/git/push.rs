//! What a push asks for: the commands that git-receive-pack(1) reads before the pack (gitprotocol-pack(5)).
//!
//! Everything is read into what is known here and written anew from that ([`Push::encode`]): no byte of the client's gets
//! to the server but in a form that was understood.

use super::object_id::{ObjectFormat, ObjectId};
use super::packet::{Packet, PacketError, line, put};
use super::ref_name::{RefName, RefNameError};

/// Most commands of one push.
const COMMANDS_MAX: usize = 1000;
/// Most shallow lines.
const SHALLOW_MAX: usize = 10_000;
/// Longest name that a client calls itself.
const AGENT_MAX: usize = 128;

/// A push, without its pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Commits that the client has without their parents.
    pub shallow: Vec<ObjectId>,
    /// What shall happen to refs; at least one, no ref twice.
    pub commands: Vec<Command>,
    /// What client and server agreed on.
    pub capabilities: Capabilities,
}

/// What shall happen to one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which.
    pub name: RefName,
    /// How it changes.
    pub change: Change,
}

/// A change of a ref. The server holds `old` against what it has, and refuses what doesn't fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It isn't there yet.
    Create(ObjectId),
    /// From one object to another.
    Update {
        /// What it is.
        old: ObjectId,
        /// What it shall be.
        new: ObjectId,
    },
    /// It shall go.
    Delete(ObjectId),
}

/// Capabilities of a client that pushes; others are never offered, so none is taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// How the outcome is told.
    pub report: Report,
    /// `side-band-64k`: the report comes multiplexed.
    pub side_band: bool,
    /// `quiet`.
    pub quiet: bool,
    /// `atomic`.
    pub atomic: bool,
    /// `ofs-delta`.
    pub offset_deltas: bool,
    /// `object-format`, where the client says it.
    pub object_format: Option<ObjectFormat>,
    /// `agent`.
    pub agent: Option<String>,
}

/// Whether the client is told what became of each ref.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Report {
    /// It is not: such a client can't be told of a refusal.
    #[default]
    None,
    /// `report-status`.
    V1,
    /// `report-status-v2`.
    V2,
}

/// Why a push can't be understood. Nothing of it was passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// No packets.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A name of a ref.
    #[error("a command's ref `{name}` is refused: {cause}")]
    Ref {
        /// As sent, bounded and printable.
        name: String,
        /// Why.
        cause: RefNameError,
    },
    /// The same ref twice.
    #[error("{0} is there twice")]
    Twice(RefName),
    /// More than is read.
    #[error("there are more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A signed push, whose certificate would be for other bytes than those that are passed on.
    #[error("a signed push (push-cert) isn't taken")]
    Signed,
    /// A capability that wasn't offered.
    #[error("the capability `{0}` wasn't offered")]
    Capability(String),
    /// Names of another hash than the repository's.
    #[error("the repository's object format is {}", .0.word())]
    Format(ObjectFormat),
    /// Anything else.
    #[error("a command can't be understood")]
    Malformed,
    /// An empty list.
    #[error("there are no commands")]
    Empty,
}

/// Takes packets until the list of commands ends.
#[derive(Debug)]
pub struct PushReader {
    format: ObjectFormat,
    push: Push,
}

impl PushReader {
    /// For a repository whose objects are named so.
    #[must_use]
    pub fn new(format: ObjectFormat) -> Self {
        Self {
            format,
            push: Push {
                shallow: Vec::new(),
                commands: Vec::new(),
                capabilities: Capabilities::default(),
            },
        }
    }

    /// Whether nothing came so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.push.commands.is_empty() && self.push.shallow.is_empty()
    }

    /// Takes one packet; gives the push at its end. A flush before anything is the client's good-bye: nothing to push,
    /// [`PushError::Empty`].
    ///
    /// # Errors
    /// See [`PushError`].
    pub fn accept(&mut self, packet: Packet<'_>) -> Result<Option<Push>, PushError> {
        let data = match packet {
            Packet::Data(data) => data,
            Packet::Flush if self.push.commands.is_empty() => return Err(PushError::Empty),
            Packet::Flush => {
                let empty = Self::new(self.format).push;
                return Ok(Some(std::mem::replace(&mut self.push, empty)));
            }
            Packet::Delimiter | Packet::ResponseEnd => return Err(PushError::Malformed),
        };
        if let Some(id) = line(data).strip_prefix(b"shallow ") {
            self.shallow(id)?;
        } else if data.starts_with(b"push-cert") {
            return Err(PushError::Signed);
        } else {
            self.command(data)?;
        }
        Ok(None)
    }

    fn shallow(&mut self, id: &[u8]) -> Result<(), PushError> {
        if !self.push.commands.is_empty() {
            return Err(PushError::Malformed);
        }
        if self.push.shallow.len() >= SHALLOW_MAX {
            return Err(too_many("shallow lines", SHALLOW_MAX));
        }
        let id = ObjectId::parse(id, self.format).ok_or(PushError::Malformed)?;
        self.push.shallow.push(id);
        Ok(())
    }

    fn command(&mut self, data: &[u8]) -> Result<(), PushError> {
        if self.push.commands.len() >= COMMANDS_MAX {
            return Err(too_many("commands", COMMANDS_MAX));
        }
        let (data, capabilities) = match data.iter().position(|byte| *byte == 0) {
            Some(at) if self.push.commands.is_empty() => {
                let (data, rest) = data.split_at_checked(at).ok_or(PushError::Malformed)?;
                (data, rest.get(1..))
            }
            Some(_) => return Err(PushError::Malformed),
            None => (data, None),
        };
        if let Some(capabilities) = capabilities {
            self.push.capabilities = self.capabilities(line(capabilities))?;
        }
        let mut parts = line(data).splitn(3, |byte| *byte == b' ');
        let mut id = || {
            parts
                .next()
                .and_then(|text| ObjectId::parse(text, self.format))
                .ok_or(PushError::Malformed)
        };
        let (old, new) = (id()?, id()?);
        let name = ref_name(parts.next().ok_or(PushError::Malformed)?)?;
        let change = match (old.is_zero(), new.is_zero()) {
            (true, false) => Change::Create(new),
            (false, false) => Change::Update { old, new },
            (false, true) => Change::Delete(old),
            (true, true) => return Err(PushError::Malformed),
        };
        if self.push.commands.iter().any(|command| command.name == name) {
            return Err(PushError::Twice(name));
        }
        self.push.commands.push(Command { name, change });
        Ok(())
    }

    fn capabilities(&self, bytes: &[u8]) -> Result<Capabilities, PushError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PushError::Malformed)?;
        let mut taken = Capabilities::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                None if word == "report-status" && taken.report == Report::None => taken.report = Report::V1,
                None if word == "report-status" => {}
                None if word == "report-status-v2" => taken.report = Report::V2,
                None if word == "side-band-64k" => taken.side_band = true,
                None if word == "quiet" => taken.quiet = true,
                None if word == "atomic" => taken.atomic = true,
                None if word == "ofs-delta" => taken.offset_deltas = true,
                Some(("object-format", format)) => {
                    if format != self.format.word() {
                        return Err(PushError::Format(self.format));
                    }
                    taken.object_format = Some(self.format);
                }
                Some(("agent", agent)) => {
                    // What can't be a name (gitprotocol-capabilities(5): printable, no space) is left out.
                    let is_name =
                        agent.len() <= AGENT_MAX && agent.bytes().all(|byte| byte.is_ascii_graphic());
                    taken.agent = is_name.then(|| agent.to_owned());
                }
                // For the server's own log, and a way to tell it anything.
                Some(("session-id", _)) => {}
                None | Some(_) => return Err(PushError::Capability(shown(word.as_bytes()))),
            }
        }
        Ok(taken)
    }
}

impl Push {
    /// The list of commands, as git writes it.
    ///
    /// # Errors
    /// When a line doesn't fit a packet, which none does that was read from one.
    pub fn encode(&self, format: ObjectFormat) -> Result<Vec<u8>, PacketError> {
        let mut out = Vec::new();
        for id in &self.shallow {
            put(&mut out, Packet::Data(format!("shallow {id}").as_bytes()))?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            let zero = format.zero();
            let (old, new) = match command.change {
                Change::Create(new) => (zero, new),
                Change::Update { old, new } => (old, new),
                Change::Delete(old) => (old, zero),
            };
            let mut text = format!("{old} {new} {}", command.name);
            if index == 0 {
                text.push('\0');
                text.push_str(&self.capabilities.to_string());
            }
            put(&mut out, Packet::Data(text.as_bytes()))?;
        }
        put(&mut out, Packet::Flush)?;
        Ok(out)
    }

    /// Whether a pack follows: not when everything shall only go.
    #[must_use]
    pub fn has_pack(&self) -> bool {
        let deletes = |command: &Command| matches!(command.change, Change::Delete(_));
        !self.commands.iter().all(deletes)
    }
}

impl std::fmt::Display for Capabilities {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.report {
            Report::None => {}
            Report::V1 => formatter.write_str(" report-status")?,
            Report::V2 => formatter.write_str(" report-status-v2")?,
        }
        for (is_there, word) in [
            (self.side_band, " side-band-64k"),
            (self.quiet, " quiet"),
            (self.atomic, " atomic"),
            (self.offset_deltas, " ofs-delta"),
        ] {
            if is_there {
                formatter.write_str(word)?;
            }
        }
        if let Some(format) = self.object_format {
            write!(formatter, " object-format={}", format.word())?;
        }
        if let Some(agent) = &self.agent {
            write!(formatter, " agent={agent}")?;
        }
        Ok(())
    }
}

fn ref_name(bytes: &[u8]) -> Result<RefName, PushError> {
    let refused = |cause| PushError::Ref {
        name: shown(bytes),
        cause,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| refused(RefNameError::Malformed))?;
    text.parse().map_err(refused)
}

const fn too_many(what: &'static str, max: usize) -> PushError {
    PushError::TooMany { what, max }
}

/// Some of the client's bytes, so that they can be shown.
fn shown(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(100)
        .map(|byte| {
            if byte.is_ascii_graphic() {
                char::from(*byte)
            } else {
                '?'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";
    const B: &str = "9bc81f51d6a56b5ab1594699113f3a8f138b4400";
    const ZERO: &str = "0000000000000000000000000000000000000000";

    fn read(lines: &[&str]) -> Result<Option<Push>, PushError> {
        let mut reader = PushReader::new(ObjectFormat::Sha1);
        for line in lines {
            if let Some(push) = reader.accept(Packet::Data(line.as_bytes()))? {
                return Ok(Some(push));
            }
        }
        reader.accept(Packet::Flush)
    }

    fn error(lines: &[&str]) -> PushError {
        read(lines).unwrap_err()
    }

    #[test]
    fn a_push_is_written_as_it_was_read() {
        let first = format!(
            "{A} {B} refs/heads/main\0 report-status-v2 side-band-64k object-format=sha1 agent=git/2.47.3"
        );
        let push = read(&[
            &format!("shallow {B}"),
            &first,
            &format!("{ZERO} {B} refs/heads/agent/x"),
            &format!("{A} {ZERO} refs/heads/agent/y"),
        ])
        .unwrap()
        .unwrap();
        assert!(push.has_pack());
        assert!(matches!(push.commands[1].change, Change::Create(_)));
        let mut expected = Vec::new();
        for line in [
            format!("shallow {B}"),
            first,
            format!("{ZERO} {B} refs/heads/agent/x"),
            format!("{A} {ZERO} refs/heads/agent/y"),
        ] {
            put(&mut expected, Packet::Data(line.as_bytes())).unwrap();
        }
        expected.extend_from_slice(b"0000");
        assert_eq!(push.encode(ObjectFormat::Sha1).unwrap(), expected);
    }

    #[test]
    fn what_only_goes_has_no_pack() {
        let push = read(&[&format!("{A} {ZERO} refs/heads/x\0report-status")])
            .unwrap()
            .unwrap();
        assert!(!push.has_pack());
        assert_eq!(push.capabilities.report, Report::V1);
    }

    #[test]
    fn p47_p48_hostile_commands() {
        let command = |name: &str| format!("{A} {B} {name}");
        for name in ["HEAD", "refs/heads/a..b", "refs/heads/a\nb", "refs/heads/a ", ""] {
            assert!(
                matches!(error(&[&command(name)]), PushError::Ref { .. }),
                "{name:?}"
            );
        }
        assert!(matches!(
            error(&[&command("refs/heads/a"), &command("refs/heads/a")]),
            PushError::Twice(_)
        ));
        let later = format!("{}\0report-status", command("refs/heads/b"));
        assert_eq!(error(&[&command("refs/heads/a"), &later]), PushError::Malformed);
        assert_eq!(error(&["push-cert\0report-status"]), PushError::Signed);
        assert_eq!(error(&[]), PushError::Empty);
        for text in [
            format!("{ZERO} {ZERO} refs/heads/a"),
            format!("{A}  {B} refs/heads/a"),
            format!("{A} refs/heads/a"),
            A.to_owned(),
            String::new(),
        ] {
            assert_eq!(error(&[&text]), PushError::Malformed, "{text}");
        }
        let many: Vec<String> = (0..=1000).map(|n| command(&format!("refs/heads/{n}"))).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(matches!(error(&many), PushError::TooMany { .. }));
    }

    #[test]
    fn p50_another_object_format() {
        let text = format!("{A} {B} refs/heads/a\0object-format=sha256");
        assert_eq!(error(&[&text]), PushError::Format(ObjectFormat::Sha1));
        let long = "a".repeat(64);
        assert_eq!(
            error(&[&format!("{long} {long} refs/heads/a")]),
            PushError::Malformed
        );
    }

    #[test]
    fn capabilities_that_were_not_offered() {
        for word in ["push-options", "x", "push-cert=1", "side-band"] {
            let text = format!("{A} {B} refs/heads/a\0{word}");
            assert!(matches!(error(&[&text]), PushError::Capability(_)), "{word}");
        }
        let push = read(&[&format!("{A} {B} refs/heads/a\0session-id=x agent=a\tb")])
            .unwrap()
            .unwrap();
        assert_eq!(push.capabilities, Capabilities::default());
    }
}
