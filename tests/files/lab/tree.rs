//! The tree that all images hold: awkward names, and sizes around the edges of blocks.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

/// Bytes that differ in every block, and between files.
pub(crate) fn content(seed: usize, length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed as u64 + 1);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A tree for file systems of Windows: names that all of them can hold.
pub(crate) fn dos_tree(root: &Path) {
    let sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 32767, 32768, 65536, 65537, 1 << 20, (3 << 20) + 17];
    fs::create_dir(root.join("sizes")).unwrap();
    for (seed, size) in sizes.into_iter().enumerate() {
        fs::write(root.join("sizes").join(format!("{size}.bin")), content(seed, size)).unwrap();
    }
    fs::create_dir(root.join("names")).unwrap();
    let long = "long ".repeat(40) + "name";
    let names = [
        "SHORT.TXT",
        "lower case with spaces.txt",
        "Grüße aus Köln.txt",
        "日本語のファイル.txt",
        "many.dots.in.the.name..txt",
        ".hidden",
        "it's {a} [b] (c) & 100% #1 @home = + ~ ^ ! $ , `.txt",
        &long,
    ];
    for (seed, name) in names.into_iter().enumerate() {
        fs::write(root.join("names").join(name), content(100 + seed, 100 + seed)).unwrap();
    }
    let mut deep = root.join("deep");
    for level in 0..20 {
        fs::create_dir(&deep).unwrap();
        fs::write(deep.join("file"), content(200 + level, 10 * level)).unwrap();
        deep.push(format!("level {level}"));
    }
    fs::create_dir(root.join("many")).unwrap();
    for index in 0..400 {
        fs::write(root.join("many").join(format!("entry with a long name {index:04}")), content(300 + index, index))
            .unwrap();
    }
    fs::create_dir(root.join("empty")).unwrap();
}

/// A tree for file systems of Unix: what Windows cannot hold too.
pub(crate) fn unix_tree(root: &Path) {
    dos_tree(root);
    let names = root.join("names");
    let odd: [&[u8]; 9] = [
        "emoji 🦀; semicolon.bin".as_bytes(),
        b"back\\slash",
        b"line\nbreak",
        b"colon: \"quoted\" <and> |piped| *?",
        b"trailing dot.",
        b"trailing space ",
        b"not \xff\xfe UTF-8",
        b"-rf",
        &[b'n'; 255],
    ];
    for (seed, name) in odd.into_iter().enumerate() {
        fs::write(names.join(OsStr::from_bytes(name)), content(1000 + seed, 50 + seed)).unwrap();
    }
    let links = root.join("links");
    fs::create_dir(&links).unwrap();
    symlink("../sizes/4097.bin", links.join("relative")).unwrap();
    symlink("/sizes/4097.bin", links.join("absolute")).unwrap();
    symlink("../sizes", links.join("to a directory")).unwrap();
    symlink("nowhere", links.join("dangling")).unwrap();
    symlink("loop", links.join("loop")).unwrap();
    symlink("../../../../../../sizes/1.bin", links.join("above the root")).unwrap();
    symlink("../names/".to_owned() + &"n".repeat(255), links.join("long target")).unwrap();
    fs::hard_link(root.join("sizes/4096.bin"), links.join("hard")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    sparse.write_all_at(&content(2000, 5000), 3 << 20).unwrap();
    sparse.write_all_at(&content(2001, 100), (10 << 20) - 100).unwrap();
    let modes = root.join("modes");
    fs::create_dir(&modes).unwrap();
    for mode in [0o000, 0o600, 0o644, 0o755, 0o4755, 0o1777] {
        let file = modes.join(format!("{mode:o}"));
        fs::write(&file, b"mode").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
}
