#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aca::proxy::fuzz::client_hello(bytes));
