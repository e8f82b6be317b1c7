//! What `fuzz/` feeds: packets, pushes, advertisements and words for ssh of any bytes, with what must hold for them.
#![expect(
    missing_docs,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "there for the fuzzer alone"
)]

use super::advertisement::{PushAdvertisement, fetch_capability};
use super::object_id::ObjectFormat;
use super::packet::take;
use super::push::{Push, PushReader};
use super::ssh_words::{parse, quote};

pub fn push(bytes: &[u8]) {
    if let Some(push) = read_push(bytes) {
        // What is passed on is understood the same way.
        let again = push.encode(ObjectFormat::Sha1).unwrap();
        assert_eq!(read_push(&again).unwrap(), push);
    }
}

fn read_push(mut bytes: &[u8]) -> Option<Push> {
    let mut reader = PushReader::new(ObjectFormat::Sha1);
    while let Ok(Some((packet, length))) = take(bytes) {
        if let Some(push) = reader.accept(packet).ok()? {
            return Some(push);
        }
        bytes = &bytes[length..];
    }
    None
}

pub fn advertisement(mut bytes: &[u8]) {
    let mut advertisement = PushAdvertisement::default();
    while let Ok(Some((packet, length))) = take(bytes) {
        if let super::packet::Packet::Data(data) = packet {
            fetch_capability(data);
        }
        let Ok(said) = advertisement.accept(packet) else {
            return;
        };
        if let Some(said) = said
            && said.contains(&0)
        {
            assert!(said.ends_with(b"no-thin\n"));
        }
        bytes = &bytes[length..];
    }
}

pub fn ssh_words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<String> = text.split('\n').map(str::to_owned).collect();
    if let Ok(request) = parse(&words) {
        assert!(!request.host.starts_with('-') && !request.path.starts_with('-'));
        // What is asked of the user's ssh is understood the same way.
        let command = format!("{} {}", request.service.word(), quote(&request.path));
        let again = parse(&[request.host.clone(), command]).unwrap();
        assert_eq!((again.path, again.service), (request.path, request.service));
    }
}
