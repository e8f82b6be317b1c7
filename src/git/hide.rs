//! Takes a secret out of what a server says to people: a server that was told it may write it into its messages, by a hook
//! that prints what it got, or in an error. Each way in which it may be written becomes as many stars, so that no length
//! changes.
//!
//! Objects stay as they are: they are what the server has, and a server that means to give a secret away has a hundred ways
//! to write it there that nobody knows. What stands in a message is an accident, and has a known form.

use super::check::written;
use super::packet::{DATA_MAX, Packet, put, take};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Shortest text that is hidden: what is shorter stands by chance in every message.
const HIDDEN_MIN: usize = 6;
/// The bands of gitprotocol-pack(5), `side-band-64k`.
const DATA: u8 = 1;
const PROGRESS: u8 = 2;
const FAILURE: u8 = 3;
/// Bytes of a packet's length.
const LENGTH: usize = 4;
/// How a pack begins that comes without bands.
const PACK: &[u8] = b"PACK";

/// A secret, as it may be written.
pub struct Hidden(Vec<Zeroizing<Vec<u8>>>);

impl Hidden {
    /// As it is, in base64, in hexadecimal digits and as URLs have it.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let mut forms = written(secret);
        forms.retain(|form| form.len() >= HIDDEN_MIN);
        // The longest first: one may be a part of another.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self(forms)
    }

    /// Hides it wherever it stands whole.
    pub fn hide(&self, bytes: &mut [u8]) {
        for form in &self.0 {
            let Some(first) = form.first() else { continue };
            let mut at = 0;
            while let Some(rest) = bytes.get_mut(at..).filter(|rest| rest.len() >= form.len()) {
                let Some(here) = rest.iter().position(|byte| byte == first) else {
                    break;
                };
                at += here + 1;
                if let Some(found) = rest.get_mut(here..here + form.len())
                    && *found == form[..]
                {
                    found.fill(b'*');
                }
            }
        }
    }

    /// The same of a text.
    #[must_use]
    pub fn hidden(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        self.hide(&mut bytes);
        // What was hidden is whole characters, or wasn't text.
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How many bytes at the end may be the beginning of it.
    fn open(&self, bytes: &[u8]) -> usize {
        let ends = |form: &Zeroizing<Vec<u8>>| {
            let most = bytes.len().min(form.len() - 1);
            (1..=most)
                .rev()
                .find(|count| form.get(..*count).is_some_and(|begin| bytes.ends_with(begin)))
        };
        self.0.iter().filter_map(ends).max().unwrap_or(0)
    }
}

/// Shows nothing of it.
impl std::fmt::Debug for Hidden {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Hidden")
    }
}

/// What git's programs on the server say, with a secret taken out: of the bands those for people, also where it is cut in
/// two there, and every other packet by itself. Holds one packet at most, and what may be a secret's beginning.
#[derive(Debug)]
pub struct HidingStream {
    hidden: Arc<Hidden>,
    /// The beginning of a packet that isn't whole, if its data isn't that of a pack.
    held: Vec<u8>,
    /// Bytes left of a packet of a pack.
    left: usize,
    /// What may go on in the next packet of the band: progress, failure.
    open: [Vec<u8>; 2],
    rest: Rest,
}

/// How it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Packets,
    /// A pack without bands.
    Pack,
    /// No packets.
    Text,
}

impl HidingStream {
    /// Of a stream that nothing was read of.
    #[must_use]
    pub const fn new(hidden: Arc<Hidden>) -> Self {
        Self {
            hidden,
            held: Vec::new(),
            left: 0,
            open: [Vec::new(), Vec::new()],
            rest: Rest::Packets,
        }
    }

    /// Takes bytes of the server's, and appends those for the client.
    pub fn accept(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let used = match self.rest {
                Rest::Pack => {
                    out.extend_from_slice(bytes);
                    bytes.len()
                }
                Rest::Text => {
                    self.text(bytes, out);
                    bytes.len()
                }
                Rest::Packets if self.left > 0 => {
                    let count = self.left.min(bytes.len());
                    out.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    self.left -= count;
                    count
                }
                Rest::Packets => self.packet(bytes, out),
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// What is left at the stream's end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.bands(out);
        self.hidden.hide(&mut self.held);
        out.append(&mut self.held);
    }

    /// Takes some bytes towards the next packet.
    fn packet(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let wanted = self.wanted();
        let count = wanted.saturating_sub(self.held.len()).min(bytes.len()).max(1);
        self.held
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.held.len() < wanted {
            return count;
        }
        match take(&self.held) {
            Err(_) => {
                let held = std::mem::take(&mut self.held);
                self.bands(out);
                self.rest = match held.starts_with(PACK) {
                    true => Rest::Pack,
                    false => Rest::Text,
                };
                self.accept(&held, out);
            }
            // Its length alone, or its length and which band it is.
            Ok(None) if self.held.len() == LENGTH + 1 && self.held.last() == Some(&DATA) => {
                self.left = self.length().saturating_sub(self.held.len());
                out.append(&mut self.held);
            }
            Ok(None) => {}
            Ok(Some(_)) => {
                let held = std::mem::take(&mut self.held);
                self.whole(&held, out);
            }
        }
        count
    }

    /// How many bytes are to be held before something is done.
    fn wanted(&self) -> usize {
        match self.held.len() {
            0..LENGTH => LENGTH,
            LENGTH => (LENGTH + 1).min(self.length().max(LENGTH)),
            _ => self.length(),
        }
    }

    /// What the length says; it was read before, and is one.
    fn length(&self) -> usize {
        let digits = self
            .held
            .get(..LENGTH)
            .and_then(|digits| str::from_utf8(digits).ok());
        digits
            .and_then(|digits| usize::from_str_radix(digits, 16).ok())
            .unwrap_or(0)
    }

    fn whole(&mut self, packet: &[u8], out: &mut Vec<u8>) {
        let Ok(Some((Packet::Data(data), _))) = take(packet) else {
            // A mark: the bands end there.
            self.bands(out);
            out.extend_from_slice(packet);
            return;
        };
        match data.split_first() {
            Some((&DATA, _)) => out.extend_from_slice(packet),
            Some((&band @ (PROGRESS | FAILURE), text)) if !text.is_empty() => {
                let open = usize::from(band == FAILURE);
                let mut all = self.open.get_mut(open).map(std::mem::take).unwrap_or_default();
                all.extend_from_slice(text);
                self.hidden.hide(&mut all);
                let rest = all.split_off(all.len() - self.hidden.open(&all));
                band_packets(band, &all, out);
                if let Some(open) = self.open.get_mut(open) {
                    *open = rest;
                }
            }
            Some(_) | None => {
                let mut packet = packet.to_vec();
                if let Some(data) = packet.get_mut(LENGTH..) {
                    self.hidden.hide(data);
                }
                out.append(&mut packet);
            }
        }
    }

    /// Says what was held back of the bands.
    fn bands(&mut self, out: &mut Vec<u8>) {
        for (band, open) in [PROGRESS, FAILURE].into_iter().zip(&mut self.open) {
            band_packets(band, &std::mem::take(open), out);
        }
    }

    /// Bytes that are no packets; what may go on is held as a packet is.
    fn text(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        self.hidden.hide(&mut self.held);
        let rest = self
            .held
            .split_off(self.held.len() - self.hidden.open(&self.held));
        out.append(&mut self.held);
        self.held = rest;
    }
}

fn band_packets(band: u8, text: &[u8], out: &mut Vec<u8>) {
    for part in text.chunks(DATA_MAX - 1) {
        // It fits.
        put(out, Packet::Data(&[&[band], part].concat())).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"s3cr3t-and-longer";

    fn hidden(bytes: &[u8], at_once: usize) -> Vec<u8> {
        let mut stream = HidingStream::new(Arc::new(Hidden::new(SECRET)));
        let mut out = Vec::new();
        for part in bytes.chunks(at_once) {
            stream.accept(part, &mut out);
        }
        stream.finish(&mut out);
        out
    }

    fn packets(all: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for data in all {
            match data {
                [] => put(&mut out, Packet::Flush).unwrap(),
                data => put(&mut out, Packet::Data(data)).unwrap(),
            }
        }
        out
    }

    /// The text of one band.
    fn band(bytes: &[u8], band: u8) -> String {
        let (mut rest, mut text) = (bytes, Vec::new());
        while let Some((packet, length)) = take(rest).unwrap() {
            if let Packet::Data(data) = packet
                && data.first() == Some(&band)
            {
                text.extend_from_slice(&data[1..]);
            }
            rest = &rest[length..];
        }
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_form_of_it_becomes_stars() {
        let base64 = crate::policy::base64(b"alice:s3cr3t-and-longer");
        let hex: String = SECRET.iter().map(|byte| format!("{byte:02x}")).collect();
        for form in ["s3cr3t-and-longer", &base64, &hex] {
            let text = format!("you sent {form}, and\n");
            let out = Hidden::new(SECRET).hidden(&text);
            assert_eq!(out.len(), text.len());
            assert!(
                out.contains("********") && out.starts_with("you sent ") && out.ends_with(", and\n"),
                "{out}"
            );
            assert!(!out.contains(form.get(form.len() - 8..).unwrap()), "{out}");
        }
        assert_eq!(
            Hidden::new(b"s3/cr?t").hidden("a s3%2Fcr%3Ft b"),
            "a *********** b"
        );
        assert_eq!(Hidden::new(SECRET).hidden("nothing of it"), "nothing of it");
        assert_eq!(format!("{:?}", Hidden::new(SECRET)), "Hidden");
    }

    #[test]
    fn in_the_bands_for_people_and_not_in_packs() {
        let said = packets(&[
            b"packfile\n",
            b"\x02one s3cr3t-and-longer two\n",
            b"\x01PACK s3cr3t-and-longer",
            b"\x02half s3cr3t-",
            b"\x01more of the pack",
            b"\x02and-longer\n",
            b"\x03fatal s3cr3t-and",
            b"\x02",
            b"\x02never s3cr3t",
            b"",
        ]);
        for at_once in [1, 3, 7, 1000] {
            let out = hidden(&said, at_once);
            assert_eq!(band(&out, 1), "PACK s3cr3t-and-longermore of the pack");
            let stars = "*".repeat(SECRET.len());
            assert_eq!(
                band(&out, 2),
                format!("one {stars} two\nhalf {stars}\nnever s3cr3t")
            );
            assert_eq!(band(&out, 3), "fatal s3cr3t-and");
            assert!(out.ends_with(b"0000"));
        }
    }

    #[test]
    fn in_lines_and_in_what_is_no_protocol() {
        let said = packets(&[b"version 2\n", b"agent=s3cr3t-and-longer\n", b""]);
        for at_once in [1, 5, 1000] {
            let out = String::from_utf8(hidden(&said, at_once)).unwrap();
            assert!(out.contains("agent=*****************\n"), "{out}");
            assert_eq!(
                hidden(b"no packets, s3cr3t-and-longer, s3cr3t", at_once),
                b"no packets, *****************, s3cr3t"
            );
            let old = [
                packets(&[b"NAK\n"]).as_slice(),
                b"PACK\0\0\0\x02 s3cr3t-and-longer",
            ]
            .concat();
            assert_eq!(hidden(&old, at_once), old);
            for begin in [&b"0"[..], b"00", b"000a", b"000ahel", b"0005\x01", b""] {
                assert_eq!(hidden(begin, at_once), begin);
            }
        }
    }
}
