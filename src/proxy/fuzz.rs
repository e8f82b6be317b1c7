//! What `fuzz/` feeds: the readers of hostile bytes, with what must hold for any input.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "there for the fuzzer alone"
)]

use super::{dns, first_bytes, http, socks, tls, upstream};

pub fn client_hello(bytes: &[u8]) {
    let whole = tls::parse(bytes);
    // What is whole or wrong stays so, whatever follows; what a prefix says isn't taken back.
    for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let prefix = tls::parse(bytes.get(..cut).unwrap_or_default());
        assert!(prefix == tls::Hello::Partial || prefix == whole);
    }
}

/// The parts of a request are parted by NUL.
pub fn git_route(bytes: &[u8]) {
    super::intercept::fuzz_route(bytes);
}

pub fn http_head(bytes: &[u8]) {
    if let Some(first_bytes::Spoken::Http(request)) = first_bytes::tell(bytes) {
        assert!(request.length <= bytes.len());
        assert!(
            request
                .upgrade_fields
                .iter()
                .chain(&request.proxy_fields)
                .chain(request.absolute.iter().map(|absolute| &absolute.place))
                .all(|place| place.end <= request.length)
        );
        let body = bytes.get(request.length..).unwrap_or_default();
        let end = |piece: usize| {
            let mut reader = http::BodyReader::new(request.body);
            let mut used = 0;
            for part in body.chunks(piece) {
                used += reader.take(part)?;
                if reader.is_done() {
                    break;
                }
            }
            Ok::<_, &str>((used, reader.is_done()))
        };
        let whole = end(usize::MAX);
        assert!(whole.is_err() || end(1) == whole);
    }
}

pub fn dns(bytes: &[u8]) {
    match dns::parse(bytes) {
        Ok(question) => {
            drop(question.asked());
            assert!(question.reply(&dns::Answer::Nothing, usize::MAX).len() <= bytes.len() + 11);
            let max = question.datagram_max();
            let long = dns::Answer::Data(vec![bytes.to_vec(); 3], 1);
            assert!(question.reply(&long, max).len() <= max);
        }
        Err(dns::Malformed::Code { id, code }) => assert_eq!(dns::error_reply(id, code).len(), 12),
        Err(dns::Malformed::Silence) => {}
    }
    // As an answer from outside, which another reader takes apart.
    let Ok(message) = hickory_proto::op::Message::from_vec(bytes) else {
        return;
    };
    for kind in [dns::Records::Txt, dns::Records::Mx, dns::Records::Srv] {
        if let Some(all) = dns::data(kind, message.answers.iter().map(|record| &record.data)) {
            assert!(all.len() <= 256 && all.concat().len() <= 60_000);
        }
    }
}

pub fn socks(bytes: &[u8]) {
    fn holds<T: PartialEq>(bytes: &[u8], parse: fn(&[u8]) -> socks::Message<T>) {
        let whole = parse(bytes);
        if let socks::Message::Whole(_, length) = &whole {
            assert!(*length <= bytes.len());
        }
        // What a prefix says isn't taken back.
        for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
            let prefix = parse(bytes.get(..cut).unwrap_or_default());
            assert!(prefix == socks::Message::Partial || prefix == whole);
        }
    }
    holds(bytes, socks::greeting);
    holds(bytes, socks::password);
    holds(bytes, socks::request);
}

pub fn proxy_answer(bytes: &[u8]) {
    if let Some((_, reason)) = upstream::status(bytes) {
        assert!(reason.len() <= 60 && reason.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }
}
