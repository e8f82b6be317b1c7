//! Answers to DNS questions (RFC 1035): made here. What a server outside says of a name (its services, its mail servers,
//! its texts) is put together anew, so that nothing of its message comes inside but that.
//!
//! One question a message; what isn't understood is answered with an error code, and nothing is believed of a length.

use crate::policy::Name;
use hickory_proto::rr::RData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER: usize = 12;
/// Largest question that is looked at; longer ones are malformed or carry options that don't matter here.
const MESSAGE_MAX: usize = 1500;
const TTL_S: u32 = 30;
/// UDP payload that the answer announces (the DNS flag day's figure).
const PAYLOAD: u16 = 1232;

/// The least that a client without EDNS takes over UDP (RFC 1035 4.2.1).
const DATAGRAM: usize = 512;
/// Records of one answer, and bytes of them: as many as a message over TCP holds.
const RECORDS_MAX: usize = 256;
const RECORDS_BYTES_MAX: usize = 60_000;
/// How long an answer from outside is kept at most: what it leads to is looked at again then.
const TTL_MAX_S: u32 = 300;

const A: u16 = 1;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const OPT: u16 = 41;
const SVCB: u16 = 64;
const HTTPS: u16 = 65;
const INCREMENTAL_TRANSFER: u16 = 251;
const TRANSFER: u16 = 252;
const ANY: u16 = 255;
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
    /// The payload over UDP that the client announces with EDNS (RFC 6891 6.2.3), and the version it speaks.
    options: Option<(u16, u8)>,
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
    /// What else is known of a name: asked outside.
    Records(Name, Records),
    /// A kind that nothing is told of, and that a name may have.
    Else(Name),
    /// What can't be a host name.
    NotAName,
    /// All records at once: not done (RFC 8482), since it would say of a name what isn't there.
    Any,
    /// Not the internet's, or a whole zone.
    Other,
}

/// Kinds of records that are asked for outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// Texts.
    Txt,
    /// Mail servers.
    Mx,
    /// Places of a service.
    Srv,
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
    /// These data of the kind that was asked for, for so many seconds.
    Data(Vec<Vec<u8>>, u32),
    /// This name.
    Name(String),
    /// The name is there and has nothing of that kind.
    Nothing,
    /// No such name.
    NoSuchName,
    /// Not answered here.
    Refused,
    /// Not done here.
    NotDone,
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
    let is_options = additional > 0 && message.get(at + 4) == Some(&0) && field(at + 5) == Some(OPT);
    let options = match (field(at + 7), message.get(at + 10)) {
        (Some(payload), Some(version)) if is_options => Some((payload, *version)),
        _ => None,
    };
    Ok(Question {
        id,
        flags,
        section,
        text,
        kind,
        class,
        options,
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
            TXT => Asked::Records(name, Records::Txt),
            MX => Asked::Records(name, Records::Mx),
            SRV => Asked::Records(name, Records::Srv),
            ANY => Asked::Any,
            TRANSFER | INCREMENTAL_TRANSFER => Asked::Other,
            _ => Asked::Else(name),
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
            CNAME => "CNAME".into(),
            MX => "MX".into(),
            TXT => "TXT".into(),
            SRV => "SRV".into(),
            ANY => "ANY".into(),
            other => format!("TYPE{other}"),
        }
    }

    /// How long an answer over UDP may be: what the client announces, within what gets through every network.
    pub(super) fn datagram_max(&self) -> usize {
        let announced = self.options.map_or(0, |(payload, _)| usize::from(payload));
        announced.clamp(DATAGRAM, usize::from(PAYLOAD))
    }

    /// The message that answers it, in so many bytes at most: one that is longer is cut, and says so (RFC 2181 9).
    pub(super) fn reply(&self, answer: &Answer, max: usize) -> Vec<u8> {
        let bad_version = self.options.is_some_and(|(_, version)| version != 0);
        let code = match answer {
            // Told in the options (RFC 6891 6.1.3).
            _ if bad_version => NO_ERROR,
            Answer::V4(_) | Answer::V6(_) | Answer::Name(_) | Answer::Data(..) | Answer::Nothing => NO_ERROR,
            Answer::NoSuchName => NO_SUCH_NAME,
            Answer::Refused => REFUSED,
            Answer::NotDone => NOT_IMPLEMENTED,
            Answer::Failure => SERVER_FAILURE,
        };
        let (data, ttl_s) = match answer {
            _ if bad_version => (Vec::new(), 0),
            Answer::V4(address) => (vec![address.octets().to_vec()], TTL_S),
            Answer::V6(address) => (vec![address.octets().to_vec()], TTL_S),
            Answer::Name(name) => (encoded(name).into_iter().collect(), TTL_S),
            Answer::Data(data, ttl_s) => (data.clone(), (*ttl_s).min(TTL_MAX_S)),
            Answer::Nothing | Answer::NoSuchName | Answer::Refused | Answer::NotDone | Answer::Failure => {
                (Vec::new(), 0)
            }
        };
        let whole = self.message(code, bad_version, &data, ttl_s, false);
        if whole.len() <= max {
            whole
        } else {
            self.message(code, bad_version, &[], ttl_s, true)
        }
    }

    fn message(&self, code: u8, bad_version: bool, data: &[Vec<u8>], ttl_s: u32, cut: bool) -> Vec<u8> {
        // Response, recursion desired as asked, recursion available; never authenticated data.
        let flags = 0x8000 | (self.flags & 0x0100) | 0x0080 | if cut { 0x0200 } else { 0 } | u16::from(code);
        let mut out = Vec::with_capacity(HEADER + self.section.len() + 40);
        let records = u16::try_from(data.len()).unwrap_or(0);
        let options = u16::from(self.options.is_some());
        for word in [self.id, flags, 1, records, 0, options] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        out.extend_from_slice(&self.section);
        for data in data {
            // The name: a pointer to the question's.
            out.extend_from_slice(&[0xc0, 0x0c]);
            out.extend_from_slice(&self.kind.to_be_bytes());
            out.extend_from_slice(&INTERNET.to_be_bytes());
            out.extend_from_slice(&ttl_s.to_be_bytes());
            out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            out.extend_from_slice(data);
        }
        if options > 0 {
            out.push(0);
            out.extend_from_slice(&OPT.to_be_bytes());
            out.extend_from_slice(&PAYLOAD.to_be_bytes());
            // The upper bits of the code (1 of them says "bad version"), version 0, no flags: nothing is signed here.
            out.extend_from_slice(&[u8::from(bad_version), 0, 0, 0, 0, 0]);
        }
        out
    }
}

/// What a server outside said, as data of the kind that was asked for. Names in it are written out, and all of it is
/// bounded; `None` when it is too much.
pub(super) fn data<'a>(kind: Records, records: impl Iterator<Item = &'a RData>) -> Option<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    let mut bytes = 0;
    for record in records {
        let data = match (kind, record) {
            (Records::Txt, RData::TXT(txt)) => {
                let mut data = Vec::new();
                for text in &txt.txt_data {
                    data.push(u8::try_from(text.len()).ok()?);
                    data.extend_from_slice(text);
                }
                // A record of no text at all would be malformed (RFC 1035 3.3.14).
                if data.is_empty() { vec![0] } else { data }
            }
            (Records::Mx, RData::MX(mx)) => {
                [&mx.preference.to_be_bytes()[..], &written_out(&mx.exchange)?].concat()
            }
            (Records::Srv, RData::SRV(srv)) => [
                &srv.priority.to_be_bytes()[..],
                &srv.weight.to_be_bytes(),
                &srv.port.to_be_bytes(),
                &written_out(&srv.target)?,
            ]
            .concat(),
            // An alias on the way.
            _ => continue,
        };
        bytes += data.len() + HEADER;
        if all.len() >= RECORDS_MAX || bytes > RECORDS_BYTES_MAX {
            return None;
        }
        all.push(data);
    }
    Some(all)
}

fn written_out(name: &hickory_proto::rr::Name) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for label in name.iter() {
        out.push(
            u8::try_from(label.len())
                .ok()
                .filter(|length| (1..=63).contains(length))?,
        );
        out.extend_from_slice(label);
    }
    out.push(0);
    (out.len() <= 255).then_some(out)
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
        let reply = asked.reply(&Answer::V4(Ipv4Addr::new(198, 18, 0, 1)), 512);
        assert_eq!(&reply[..12], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1]);
        assert_eq!(&reply[reply.len() - 15..reply.len() - 11], [198, 18, 0, 1]);
        assert_eq!(
            parse(&question("a.test", HTTPS)).unwrap().asked(),
            Asked::Service("a.test".parse().unwrap())
        );
        let asked = |kind| parse(&question("a.test", kind)).unwrap().asked();
        let name: Name = "a.test".parse().unwrap();
        assert_eq!(asked(TXT), Asked::Records(name.clone(), Records::Txt));
        assert_eq!(asked(257), Asked::Else(name));
        assert_eq!((asked(ANY), asked(TRANSFER)), (Asked::Any, Asked::Other));
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

    /// A question with EDNS: payload and version.
    fn with_options(payload: u16, version: u8) -> Question {
        let mut message = question("a.test", TXT);
        let at = message.len() - 8;
        message[at..at + 2].copy_from_slice(&payload.to_be_bytes());
        message[at + 3] = version;
        parse(&message).unwrap()
    }

    #[test]
    fn an_answer_is_as_long_as_the_client_takes() {
        let long = Answer::Data(vec![vec![7; 255]; 4], 9000);
        for (payload, max) in [(0, 512), (512, 512), (1000, 1000), (4096, 1232)] {
            assert_eq!(with_options(payload, 0).datagram_max(), max);
        }
        let asked = with_options(1232, 0);
        let whole = asked.reply(&long, 1232);
        assert_eq!((whole[2] & 2, whole[7], whole.len()), (0, 4, 24 + 4 * 267 + 11));
        // The time to live is bounded.
        assert_eq!(whole[24 + 6..24 + 10], 300_u32.to_be_bytes());
        let cut = asked.reply(&long, 512);
        assert_eq!((cut[2] & 2, cut[7], cut.len()), (2, 0, 24 + 11));
        let mut plain = question("a.test", TXT);
        plain[11] = 0;
        assert_eq!(parse(&plain).unwrap().datagram_max(), 512);
    }

    #[test]
    fn another_version_of_edns_is_told_so() {
        let reply = with_options(1232, 1).reply(&Answer::NoSuchName, 512);
        assert_eq!((reply[3] & 15, reply[7], reply[reply.len() - 6]), (0, 0, 1));
    }

    #[test]
    fn records_from_outside_are_written_anew() {
        use hickory_proto::rr::rdata::{A as Address, MX as Mail, SRV as Service, TXT as Text};
        let name = |text: &str| hickory_proto::rr::Name::from_ascii(text).unwrap();
        let records = [
            RData::TXT(Text::from_bytes(vec![b"v=1", b""])),
            RData::TXT(Text::from_bytes(vec![])),
            RData::MX(Mail::new(10, name("mx.a.test."))),
            RData::SRV(Service::new(1, 2, 27017, name("db.a.test."))),
            RData::SRV(Service::new(0, 0, 0, name("."))),
            RData::A(Address::new(127, 0, 0, 1)),
        ];
        let of = |kind| data(kind, records.iter()).unwrap();
        assert_eq!(of(Records::Txt), [b"\x03v=1\0".to_vec(), vec![0]]);
        assert_eq!(of(Records::Mx), [b"\0\x0a\x02mx\x01a\x04test\0".to_vec()]);
        assert_eq!(
            of(Records::Srv),
            [b"\0\x01\0\x02\x69\x89\x02db\x01a\x04test\0".to_vec(), vec![0; 7]]
        );
        let many = vec![RData::TXT(Text::from_bytes(vec![&[b'x'; 255]; 200])); 2];
        assert_eq!(data(Records::Txt, many.iter()), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(question) = parse(&bytes) {
                let _asked = question.asked();
                prop_assert!(question.reply(&Answer::Nothing, 512).len() < 600);
            }
        }

        #[test]
        fn cut_anywhere(cut in 0_usize..40) {
            let message = question("a.test", A);
            let _result = parse(&message[..cut.min(message.len())]);
        }
    }
}
