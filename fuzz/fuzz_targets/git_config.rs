#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aca::facts::fuzz::git_config(bytes));
