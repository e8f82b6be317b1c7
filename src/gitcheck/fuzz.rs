//! What `fuzz/` feeds: a repository's object, a pack and its index of any bytes.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "there for the fuzzer alone"
)]

use super::store::Stores;
use crate::git::check::Store;
use crate::git::object_id::{ObjectFormat, ObjectId};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A directory of this process's own.
fn place() -> &'static PathBuf {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = std::env::temp_dir().join(format!("aca-fuzz-{}", std::process::id()));
        fs::create_dir_all(place.join("11")).unwrap();
        fs::create_dir_all(place.join("pack")).unwrap();
        place
    })
}

/// The first byte says where the object ends and the index begins, in times of 16; the second how long that is.
pub fn store(bytes: &[u8]) {
    let [first, second, rest @ ..] = bytes else {
        return;
    };
    let cut = |bytes: &[u8], at: u8| {
        let at = (usize::from(at) * 16).min(bytes.len());
        (
            bytes.get(..at).unwrap().to_vec(),
            bytes.get(at..).unwrap().to_vec(),
        )
    };
    let (loose, rest) = cut(rest, *first);
    let (index, pack) = cut(&rest, *second);
    let format = ObjectFormat::Sha1;
    let id = ObjectId::from_bytes(&[0x11; 20], format);
    let place = place();
    // The index has its magic and its counts, so that one object is in it by that name.
    let mut whole = b"\xfftOc\0\0\0\x02".to_vec();
    for byte in 0..=255_u8 {
        whole.extend_from_slice(&u32::from(byte >= 0x11).to_be_bytes());
    }
    whole.extend_from_slice(&[0x11; 20]);
    whole.extend_from_slice(&index);
    whole.extend_from_slice(&[0; 48]);
    fs::write(place.join("11").join("11".repeat(19)), loose).unwrap();
    fs::write(place.join("pack/a.idx"), whole).unwrap();
    fs::write(place.join("pack/a.pack"), pack).unwrap();
    for folder in ["", "pack"] {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let objects = rustix::fs::open(place.join(folder), flags, Mode::empty()).unwrap();
        let mut stores = Stores::new(vec![objects], format, 1 << 16);
        if let Some((_, content)) = stores.get(&id) {
            assert!(content.len() <= 1 << 16);
        }
    }
}
