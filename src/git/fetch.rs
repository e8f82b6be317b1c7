//! What git-upload-pack(1) says, on its way to the client: of version 2 the first list, of what the server can do, is
//! passed on packet by packet without what would lead past the policy; all else goes as it comes.

use super::advertisement::fetch_capability;
use super::packet::{Packet, PacketError, line, put, take};

/// Where in the stream it is.
#[derive(Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Before the first packet.
    #[default]
    First,
    /// In the list of version 2.
    Capabilities,
    /// Past it, or in another version.
    Rest,
}

/// Filters one stream. Holds no more than a packet.
#[derive(Debug, Default)]
pub struct FetchFilter {
    stage: Stage,
    held: Vec<u8>,
}

impl FetchFilter {
    /// Takes bytes of the server's, and appends those for the client.
    ///
    /// # Errors
    /// When a list of version 2 isn't one of packets.
    pub fn accept(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), PacketError> {
        if self.stage == Stage::Rest {
            out.extend_from_slice(bytes);
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        let mut used = 0;
        while self.stage != Stage::Rest {
            let rest = self.held.get(used..).unwrap_or_default();
            let (packet, length) = match (take(rest), &self.stage) {
                (Ok(Some(taken)), _) => taken,
                (Ok(None), _) => break,
                // No server of git's: the client tells that best.
                (Err(_), Stage::First) => {
                    self.stage = Stage::Rest;
                    break;
                }
                (Err(error), _) => return Err(error),
            };
            match (packet, &self.stage) {
                (Packet::Data(data), Stage::First) if line(data) == b"version 2" => {
                    put(out, packet)?;
                    self.stage = Stage::Capabilities;
                }
                (_, Stage::First) => {
                    self.stage = Stage::Rest;
                    break;
                }
                (Packet::Data(data), _) => {
                    if let Some(kept) = fetch_capability(data) {
                        put(out, Packet::Data(&kept))?;
                    }
                }
                (Packet::Flush | Packet::Delimiter | Packet::ResponseEnd, _) => {
                    put(out, packet)?;
                    self.stage = Stage::Rest;
                }
            }
            used += length;
        }
        self.held.drain(..used);
        if self.stage == Stage::Rest {
            out.append(&mut self.held);
            self.held = Vec::new();
        }
        Ok(())
    }

    /// What is held of a packet that never became whole.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(bytes: &[u8], at_once: usize) -> Result<Vec<u8>, PacketError> {
        let (mut filter, mut out) = (FetchFilter::default(), Vec::new());
        for part in bytes.chunks(at_once) {
            filter.accept(part, &mut out)?;
        }
        out.extend(filter.finish());
        Ok(out)
    }

    fn packets(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            put(&mut out, Packet::Data(format!("{line}\n").as_bytes())).unwrap();
        }
        put(&mut out, Packet::Flush).unwrap();
        out
    }

    #[test]
    fn of_version_2_what_leads_elsewhere_is_left_out() {
        let said = packets(&[
            "version 2",
            "agent=git/2.47",
            "ls-refs=unborn",
            "fetch=shallow packfile-uris filter",
            "bundle-uri",
            "object-info",
            "object-format=sha1",
        ]);
        let kept = packets(&[
            "version 2",
            "agent=git/2.47",
            "ls-refs=unborn",
            "fetch=shallow filter",
            "object-format=sha1",
        ]);
        let rest = b"0000anything \xff zzzz";
        for at_once in [1, 3, 1000] {
            let all = filtered(&[said.as_slice(), rest].concat(), at_once).unwrap();
            assert_eq!(all, [kept.as_slice(), rest].concat());
        }
    }

    #[test]
    fn other_versions_and_what_is_no_git_go_as_they_come() {
        for text in [
            &b"0032ac6f8d2f3456d9acf2dcf657e39d65ad7d1648f6 HEAD\0xx0000PACK"[..],
            b"000eversion 1\n0000bundle-uri",
            b"0014ERR not for you\n",
            b"Welcome to the server!\n",
            b"00",
            b"",
        ] {
            for at_once in [1, 1000] {
                assert_eq!(filtered(text, at_once).as_deref(), Ok(text));
            }
        }
        assert!(filtered(b"000eversion 2\nzzzz", 1).is_err());
    }
}
