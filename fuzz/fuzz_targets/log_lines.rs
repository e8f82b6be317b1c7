#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aca::audit::fuzz::log_lines(bytes));
