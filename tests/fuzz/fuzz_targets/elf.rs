//! Any bytes are a shared object or an error, whatever is asked of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nvidia_ctk::elf::{Head, Object};

fuzz_target!(|bytes: &[u8]| {
    let mut head = Head::default();
    let Ok(object) = Object::read(bytes, &mut head) else {
        return;
    };
    let _ = (object.class(), object.endian(), object.machine(), object.flags());
    let _ = object.interpreter();
    let _ = object.os_version();
    let _ = object.isa_level();
    let _ = object.note_in_section(b".note.cuda.fwd_compatibility", b"NVIDIA Corporation");
    let _ = object.find_constant(|piece, firsts| {
        assert!(firsts <= piece.len());
        None::<()>
    });
    let Ok(dynamic) = object.dynamic() else {
        return;
    };
    let _ = object.strings_in_first_segment(&dynamic);
    let alone = object.soname(&dynamic);
    if let (Ok(alone), Ok((soname, _))) = (alone, object.soname_and_needs(&dynamic, &[b"libc.so.6"])) {
        assert_eq!(alone, soname);
    }
});
