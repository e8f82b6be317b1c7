#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aca::config::fuzz::config_file(bytes));
