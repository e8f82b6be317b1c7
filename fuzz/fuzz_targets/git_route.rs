#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aca::proxy::fuzz::git_route(bytes));
