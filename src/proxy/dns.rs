//! Answers to DNS questions (RFC 1035): made here, never asked for elsewhere. A name that no connection will be made to
//! is not worth a question to a server outside, and a question would carry data there.
//!
//! One question a message; what isn't understood is answered with an error code, and nothing is believed of a length.

use crate::policy::Name;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
/// Largest question that is looked at; longer ones are malformed or carry options that don't matter here.
const MESSAGE_MAX: usize = 1500;
const TTL_S: u32 = 30;
/// UDP payload that the answer announces (the DNS flag day's figure).
const PAYLOAD: u16 = 1232;

const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;
const OPT: u16 = 41;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const INTERNET: u16 = 1;

const NO_ERROR: u8 = 0;
const FORMAT_ERROR: u8 = 1;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;
const REFUSED: u8 = 5;

/// What a question asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    id: u16,
    flags: u16,
    /// The question section as it came, to be given back.
    section: Vec<u8>,
    /// Labels, as text; bytes that aren't printable ASCII are escaped.
    pub(super) text: String,
    kind: u16,
    class: u16,
    has_options: bool,
}

/// The kinds of question that are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// An address of a name.
    Address(Name, Family),
    /// The name of an address.
    Pointer(IpAddr),
    /// A name's services: answered with nothing, so that no client learns of ECH keys or other addresses.
    Service(Name),
    /// What can't be a host name.
    NotAName,
    /// Anything else.
    Other,
}

/// Which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `A`.
    V4,
    /// `AAAA`.
    V6,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// This address.
    V4(Ipv4Addr),
    /// This address.
    V6(Ipv6Addr),
    /// This name.
    Name(String),
    /// The name is there and has nothing of that kind.
    Nothing,
    /// No such name.
    NoSuchName,
    /// Not answered here.
    Refused,
    /// Not answered now: the pool is empty.
    Failure,
}

/// Why there is no question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Too little to answer at all.
    Silence,
    /// An error code goes back.
    Code { id: u16, code: u8 },
}

/// Reads a message.
pub(super) fn parse(message: &[u8]) -> Result<Question, Malformed> {
    let field =
        |at: usize| -> Option<u16> { Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?)) };
    let (Some(id), Some(flags)) = (field(0), field(2)) else {
        return Err(Malformed::Silence);
    };
    if flags & 0x8000 != 0 {
        // An answer: to answer it would make a loop.
        return Err(Malformed::Silence);
    }
    let wrong = Malformed::Code {
        id,
        code: FORMAT_ERROR,
    };
    if message.len() > MESSAGE_MAX {
        return Err(wrong);
    }
    if flags & 0x7800 != 0 {
        return Err(Malformed::Code {
            id,
            code: NOT_IMPLEMENTED,
        });
    }
    let (Some(1), Some(0), Some(0), Some(additional)) = (field(4), field(6), field(8), field(10)) else {
        return Err(wrong);
    };
    let mut at = HEADER;
    let mut text = String::new();
    loop {
        let length = usize::from(*message.get(at).ok_or(wrong)?);
        at += 1;
        match length {
            0 => break,
            1..=63 => {}
            // A pointer can't lead anywhere in a first question.
            _ => return Err(wrong),
        }
        let label = message.get(at..at + length).ok_or(wrong)?;
        at += length;
        if !text.is_empty() {
            text.push('.');
        }
        // A dot inside of a label would read as two labels.
        text.extend(label.iter().flat_map(|byte| match byte {
            b'.' => "\\.".chars().collect::<Vec<_>>(),
            0x21..=0x7e => vec![char::from(*byte)],
            other => format!("\\{other:03}").chars().collect(),
        }));
        if at - HEADER > 255 {
            return Err(wrong);
        }
    }
    let (Some(kind), Some(class)) = (field(at), field(at + 2)) else {
        return Err(wrong);
    };
    let section = message.get(HEADER..at + 4).ok_or(wrong)?.to_vec();
    let has_options = additional > 0 && message.get(at + 4) == Some(&0) && field(at + 5) == Some(OPT);
    Ok(Question {
        id,
        flags,
        section,
        text,
        kind,
        class,
        has_options,
    })
}

impl Question {
    /// What it asks.
    pub(super) fn asked(&self) -> Asked {
        if self.class != INTERNET {
            return Asked::Other;
        }
        if self.kind == PTR {
            return pointer(&self.text).map_or(Asked::Other, Asked::Pointer);
        }
        let Ok(name) = self.text.parse::<Name>() else {
            return Asked::NotAName;
        };
        match self.kind {
            A => Asked::Address(name, Family::V4),
            AAAA => Asked::Address(name, Family::V6),
            HTTPS | SVCB => Asked::Service(name),
            _ => Asked::Other,
        }
    }

    /// The record type as text.
    pub(super) fn kind_word(&self) -> String {
        match self.kind {
            A => "A".into(),
            AAAA => "AAAA".into(),
            PTR => "PTR".into(),
            HTTPS => "HTTPS".into(),
            SVCB => "SVCB".into(),
            5 => "CNAME".into(),
            15 => "MX".into(),
            16 => "TXT".into(),
            33 => "SRV".into(),
            other => format!("TYPE{other}"),
        }
    }

    /// The message that answers it.
    pub(super) fn reply(&self, answer: &Answer) -> Vec<u8> {
        let code = match answer {
            Answer::V4(_) | Answer::V6(_) | Answer::Name(_) | Answer::Nothing => NO_ERROR,
            Answer::NoSuchName => NO_SUCH_NAME,
            Answer::Refused => REFUSED,
            Answer::Failure => SERVER_FAILURE,
        };
        let data = match answer {
            Answer::V4(address) => Some(address.octets().to_vec()),
            Answer::V6(address) => Some(address.octets().to_vec()),
            Answer::Name(name) => encoded(name),
            Answer::Nothing | Answer::NoSuchName | Answer::Refused | Answer::Failure => None,
        };
        // Response, recursion desired as asked, recursion available; never authenticated data.
        let flags = 0x8000 | (self.flags & 0x0100) | 0x0080 | u16::from(code);
        let mut out = Vec::with_capacity(HEADER + self.section.len() + 40);
        let records = u16::from(data.is_some());
        for word in [self.id, flags, 1, records, 0, u16::from(self.has_options)] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.section);
        if let Some(data) = data {
            // The name: a pointer to the question's.
            out.extend_from_slice(&[0xc0, 0x0c]);
            out.extend_from_slice(&self.kind.to_be_bytes());
            out.extend_from_slice(&INTERNET.to_be_bytes());
            out.extend_from_slice(&TTL_S.to_be_bytes());
            out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            out.extend_from_slice(&data);
        }
        if self.has_options {
            out.push(0);
            out.extend_from_slice(&OPT.to_be_bytes());
            out.extend_from_slice(&PAYLOAD.to_be_bytes());
            out.extend_from_slice(&[0; 6]);
        }
        out
    }
}

/// The message that tells an error in a message that is no question.
pub(super) fn error_reply(id: u16, code: u8) -> Vec<u8> {
    let flags = 0x8080 | u16::from(code);
    [id, flags, 0, 0, 0, 0]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

/// The address of `in-addr.arpa` (RFC 1035 3.5) and `ip6.arpa` (RFC 3596 2.5) names.
fn pointer(text: &str) -> Option<IpAddr> {
    let lower = text.to_ascii_lowercase();
    if let Some(rest) = lower.strip_suffix(".in-addr.arpa") {
        let octets: Vec<u8> = rest
            .split('.')
            .rev()
            .map(|part| part.parse().ok())
            .collect::<Option<_>>()?;
        return Some(IpAddr::from(<[u8; 4]>::try_from(octets).ok()?));
    }
    let rest = lower.strip_suffix(".ip6.arpa")?;
    let mut value = 0_u128;
    let mut count = 0;
    for nibble in rest.split('.').rev() {
        if nibble.len() != 1 {
            return None;
        }
        value = value << 4 | u128::from_str_radix(nibble, 16).ok()?;
        count += 1;
    }
    (count == 32).then(|| IpAddr::from(Ipv6Addr::from(value)))
}

fn encoded(name: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(
            u8::try_from(label.len())
                .ok()
                .filter(|length| (1..=63).contains(length))?,
        );
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend(encoded(name).unwrap());
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
        message
    }

    #[test]
    fn asks_and_answers() {
        let asked = parse(&question("A.Test", A)).unwrap();
        assert_eq!(
            asked.asked(),
            Asked::Address("a.test".parse().unwrap(), Family::V4)
        );
        let reply = asked.reply(&Answer::V4(Ipv4Addr::new(198, 18, 0, 1)));
        assert_eq!(&reply[..12], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
        assert_eq!(&reply[reply.len() - 15..reply.len() - 11], [198, 18, 0, 1]);
        assert_eq!(
            parse(&question("a.test", HTTPS)).unwrap().asked(),
            Asked::Service("a.test".parse().unwrap())
        );
        assert_eq!(parse(&question("a.test", 16)).unwrap().asked(), Asked::Other);
    }

    #[test]
    fn pointers_both_ways() {
        assert_eq!(
            pointer("1.0.18.198.in-addr.arpa"),
            Some("198.18.0.1".parse().unwrap())
        );
        let nibbles = "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.6.3.6.1.6.d.f.ip6.arpa";
        assert_eq!(pointer(nibbles), Some("fd61:6361::2".parse().unwrap()));
        assert_eq!(pointer("300.0.18.198.in-addr.arpa"), None);
    }

    #[test]
    fn n14_odd_names_are_no_names() {
        let mut message = question("a.test", A);
        message[13] = 0; // the `a` becomes a NUL
        assert_eq!(parse(&message).unwrap().asked(), Asked::NotAName);
        assert!(parse(&message).unwrap().text.starts_with("\\000"));
    }

    #[test]
    fn answers_and_strange_messages_get_no_answer() {
        let mut message = question("a.test", A);
        message[2] |= 0x80;
        assert_eq!(parse(&message), Err(Malformed::Silence));
        let mut two = question("a.test", A);
        two[5] = 2;
        assert_eq!(
            parse(&two),
            Err(Malformed::Code {
                id: 0x1234,
                code: FORMAT_ERROR
            })
        );
        assert_eq!(parse(&[1]), Err(Malformed::Silence));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(question) = parse(&bytes) {
                let _asked = question.asked();
                prop_assert!(question.reply(&Answer::Nothing).len() < 600);
            }
        }

        #[test]
        fn cut_anywhere(cut in 0_usize..40) {
            let message = question("a.test", A);
            let _result = parse(&message[..cut.min(message.len())]);
        }
    }
}
