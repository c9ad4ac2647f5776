#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| qcow2_web_fuzz::volumes::btrfs(input));
