//! What a server says first: its refs and what it can do (gitprotocol-pack(5), gitprotocol-v2(5)). It is passed on packet
//! by packet, with the capabilities taken out that would lead past the policy.

use super::object_id::{ObjectFormat, ObjectId};
use super::packet::{Packet, line};
use super::ref_name::RefName;
use std::collections::HashMap;

/// Most refs that are kept. Servers that have more exist; the largest known have a few hundred thousand.
const REFS_MAX: usize = 1_000_000;
/// Bytes of the names that are kept.
const NAMES_MAX: usize = 64 << 20;
/// The name that stands where there are no refs.
const NO_REFS: &[u8] = b"capabilities^{}";
/// Capabilities of git-receive-pack(1) that are passed on; the client can ask for none that it wasn't offered.
const PUSH_KEPT: [&str; 7] = [
    "report-status",
    "report-status-v2",
    "delete-refs",
    "side-band-64k",
    "quiet",
    "atomic",
    "ofs-delta",
];
/// Capabilities of version 2 that make the client load from elsewhere, or ask for more than fetching needs.
const FETCH_DROPPED: [&str; 2] = ["bundle-uri", "object-info"];
/// The feature of `fetch` that does.
const FETCH_FEATURE_DROPPED: &str = "packfile-uris";

/// Why what a server says can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvertisementError {
    /// Not as gitprotocol-pack(5) has it.
    #[error("what the server says is not git's protocol")]
    Malformed,
    /// It can't do what is needed.
    #[error("the server lacks `{0}`")]
    Lacks(&'static str),
    /// More refs than are kept.
    #[error("the server has more refs than are read")]
    TooMany,
    /// A message of its own, instead of refs.
    #[error("the server says: {0}")]
    Said(String),
}

/// Reads what git-receive-pack(1) says, and gives what the client shall get.
#[derive(Debug, Default)]
pub struct PushAdvertisement {
    refs: HashMap<RefName, ObjectId>,
    names: usize,
    format: Option<ObjectFormat>,
    ended: bool,
}

impl PushAdvertisement {
    /// Takes one packet; gives the packet's data for the client (`None` for a mark).
    ///
    /// # Errors
    /// See [`AdvertisementError`].
    pub fn accept(&mut self, packet: Packet<'_>) -> Result<Option<Vec<u8>>, AdvertisementError> {
        if self.ended {
            return Err(AdvertisementError::Malformed);
        }
        let data = match packet {
            Packet::Data(data) => data,
            Packet::Flush if self.format.is_some() => {
                self.ended = true;
                return Ok(None);
            }
            Packet::Flush | Packet::Delimiter | Packet::ResponseEnd => {
                return Err(AdvertisementError::Malformed);
            }
        };
        if let Some(text) = data.strip_prefix(b"ERR ") {
            return Err(AdvertisementError::Said(shown(line(text))));
        }
        if data.starts_with(b"version ") && self.format.is_none() {
            return match line(data) {
                b"version 1" => Ok(Some(data.to_vec())),
                _ => Err(AdvertisementError::Malformed),
            };
        }
        let Some(format) = self.format else {
            return self.first(data).map(Some);
        };
        // Behind a zero stand capabilities, and only in the first line.
        if data.contains(&0) {
            return Err(AdvertisementError::Malformed);
        }
        let text = line(data);
        if text.starts_with(b"shallow ") {
            return Ok(Some(data.to_vec()));
        }
        let (id, name) = split(text, format)?;
        self.keep(id, name)?;
        Ok(Some(data.to_vec()))
    }

    /// Whether all of it was read.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.ended
    }

    /// How the repository's objects are named.
    #[must_use]
    pub const fn format(&self) -> Option<ObjectFormat> {
        self.format
    }

    /// What a ref is on the server.
    #[must_use]
    pub fn get(&self, name: &RefName) -> Option<ObjectId> {
        self.refs.get(name).copied()
    }

    /// All refs.
    pub fn refs(&self) -> impl Iterator<Item = (&RefName, ObjectId)> {
        self.refs.iter().map(|(name, id)| (name, *id))
    }

    fn first(&mut self, data: &[u8]) -> Result<Vec<u8>, AdvertisementError> {
        let at = data
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(AdvertisementError::Malformed)?;
        let (text, rest) = data.split_at_checked(at).ok_or(AdvertisementError::Malformed)?;
        let capabilities = rest
            .get(1..)
            .and_then(|rest| std::str::from_utf8(line(rest)).ok())
            .filter(|text| !text.contains('\0'))
            .ok_or(AdvertisementError::Malformed)?;
        let words = || capabilities.split(' ').filter(|word| !word.is_empty());
        let format = match words().find_map(|word| word.strip_prefix("object-format=")) {
            Some(word) => ObjectFormat::from_word(word).ok_or(AdvertisementError::Malformed)?,
            None => ObjectFormat::Sha1,
        };
        // Without it a client can't be told why a ref is refused.
        if !words().any(|word| PUSH_KEPT.iter().take(2).any(|kept| *kept == word)) {
            return Err(AdvertisementError::Lacks("report-status"));
        }
        let (id, name) = split(text, format)?;
        if name != NO_REFS {
            self.keep(id, name)?;
        } else if !id.is_zero() {
            return Err(AdvertisementError::Malformed);
        }
        self.format = Some(format);
        let mut out = text.to_vec();
        out.push(0);
        let kept = words().filter(|word| {
            PUSH_KEPT.contains(word) || word.starts_with("object-format=") || word.starts_with("agent=")
        });
        for word in kept {
            out.extend_from_slice(word.as_bytes());
            out.push(b' ');
        }
        // Then every pack holds all that it needs, and can be looked into without the server's objects.
        out.extend_from_slice(b"no-thin\n");
        Ok(out)
    }

    fn keep(&mut self, id: ObjectId, name: &[u8]) -> Result<(), AdvertisementError> {
        // `.have` lines name objects alone; what is no ref's name can't be pushed to.
        let Some(name) = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse::<RefName>().ok())
        else {
            return Ok(());
        };
        self.names += name.as_str().len();
        if self.refs.len() >= REFS_MAX || self.names > NAMES_MAX {
            return Err(AdvertisementError::TooMany);
        }
        self.refs.insert(name, id);
        Ok(())
    }
}

fn split(text: &[u8], format: ObjectFormat) -> Result<(ObjectId, &[u8]), AdvertisementError> {
    let (id, rest) = text
        .split_at_checked(format.digits())
        .ok_or(AdvertisementError::Malformed)?;
    let id = ObjectId::parse(id, format).ok_or(AdvertisementError::Malformed)?;
    let name = rest.strip_prefix(b" ").ok_or(AdvertisementError::Malformed)?;
    Ok((id, name))
}

/// A line of git-upload-pack(1)'s capabilities in version 2, as the client shall get it; `None` leaves it out.
#[must_use]
pub fn fetch_capability(data: &[u8]) -> Option<Vec<u8>> {
    let text = line(data);
    let name = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    if FETCH_DROPPED.iter().any(|dropped| dropped.as_bytes() == name) {
        return None;
    }
    let Some(features) = text.strip_prefix(b"fetch=") else {
        return Some(data.to_vec());
    };
    let kept: Vec<&[u8]> = features
        .split(|byte| *byte == b' ')
        .filter(|feature| *feature != FETCH_FEATURE_DROPPED.as_bytes())
        .collect();
    let mut out = b"fetch=".to_vec();
    out.extend_from_slice(&kept.join(&b' '));
    out.push(b'\n');
    Some(out)
}

/// The server's own words, so that they can be shown.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(300)
        .map(|character| if character.is_control() { '?' } else { character })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6";

    fn first(text: &str) -> Result<String, AdvertisementError> {
        let mut advertisement = PushAdvertisement::default();
        let data = advertisement.accept(Packet::Data(text.as_bytes()))?;
        Ok(String::from_utf8(data.unwrap()).unwrap())
    }

    #[test]
    fn capabilities_are_those_that_are_known_and_no_thin() {
        let text = format!(
            "{A} refs/heads/x\0report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta \
             push-options push-cert=abc object-format=sha1 agent=git/2.47.3\n"
        );
        assert_eq!(
            first(&text).unwrap(),
            format!(
                "{A} refs/heads/x\0report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta \
                 object-format=sha1 agent=git/2.47.3 no-thin\n"
            )
        );
    }

    #[test]
    fn refs_are_kept_until_the_flush() {
        let mut advertisement = PushAdvertisement::default();
        let lines = [
            "version 1\n".to_owned(),
            format!("{A} refs/heads/x\0report-status\n"),
            format!("{A} refs/tags/v1\n"),
            format!("{A} .have\n"),
            format!("shallow {A}\n"),
        ];
        for line in &lines {
            assert!(
                advertisement
                    .accept(Packet::Data(line.as_bytes()))
                    .unwrap()
                    .is_some()
            );
        }
        assert!(!advertisement.is_whole());
        assert_eq!(advertisement.accept(Packet::Flush), Ok(None));
        assert!(advertisement.is_whole());
        assert_eq!(advertisement.refs().count(), 2);
        let id = advertisement.get(&"refs/tags/v1".parse().unwrap()).unwrap();
        assert_eq!(id.to_string(), A);
        assert!(advertisement.accept(Packet::Flush).is_err());
    }

    #[test]
    fn an_empty_repository() {
        let zero = "0".repeat(40);
        assert!(first(&format!("{zero} capabilities^{{}}\0report-status\n")).is_ok());
        assert!(first(&format!("{A} capabilities^{{}}\0report-status\n")).is_err());
    }

    #[test]
    fn what_is_not_understood_ends_it() {
        assert_eq!(
            first("ERR access denied\u{1b}[m\n"),
            Err(AdvertisementError::Said("access denied?[m".into()))
        );
        assert_eq!(
            first(&format!("{A} refs/heads/x\0quiet")),
            Err(AdvertisementError::Lacks("report-status"))
        );
        for text in [
            "version 2\n",
            "",
            &format!("{A} refs/heads/x\n"),
            &format!("{A}refs/heads/x\0report-status\n"),
            &format!("{A} refs/heads/x\0report-status object-format=md5\n"),
        ] {
            assert_eq!(first(text), Err(AdvertisementError::Malformed), "{text}");
        }
        let mut advertisement = PushAdvertisement::default();
        assert!(advertisement.accept(Packet::Flush).is_err());
    }

    #[test]
    fn capabilities_stand_in_the_first_line_alone() {
        assert!(
            first(&format!(
                "{A} refs/heads/x\0report-status agent=x\0push-options\n"
            ))
            .is_err()
        );
        let mut advertisement = PushAdvertisement::default();
        let mut accept = |text: String| advertisement.accept(Packet::Data(text.as_bytes()));
        accept(format!("{A} refs/heads/x\0report-status\n")).unwrap();
        for text in ["refs/heads/y\0push-options", "shallow\0"] {
            assert_eq!(
                accept(format!("{A} {text}\n")),
                Err(AdvertisementError::Malformed)
            );
        }
        assert_eq!(
            accept(format!("shallow {A}\0push-options")),
            Err(AdvertisementError::Malformed)
        );
    }

    #[test]
    fn version_2_leads_nowhere_else() {
        let said =
            |text: &str| fetch_capability(text.as_bytes()).map(|text| String::from_utf8(text).unwrap());
        assert_eq!(said("bundle-uri\n"), None);
        assert_eq!(said("object-info\n"), None);
        assert_eq!(
            said("fetch=shallow packfile-uris filter\n").as_deref(),
            Some("fetch=shallow filter\n")
        );
        assert_eq!(said("ls-refs=unborn\n").as_deref(), Some("ls-refs=unborn\n"));
    }
}
