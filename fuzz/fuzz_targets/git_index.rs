#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aca::git::fuzz::index(bytes));
