#![no_main]
use aca::config::{FileKind, Source, read};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for kind in [FileKind::Administrator, FileKind::Project] {
        let source = Source {
            path: "f.toml".into(),
            text: text.to_owned(),
        };
        drop(read(source, kind));
    }
});
