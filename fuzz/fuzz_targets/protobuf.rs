#![no_main]

mod count;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    count::count(bytes);
    truckflow_fuzz::protobuf(bytes);
});
