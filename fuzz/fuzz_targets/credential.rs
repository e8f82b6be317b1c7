#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aca::broker::fuzz::credential(bytes));
