//! Ciphers and codecs: disks in memory of which the engine reads or writes clusters of 64 KiB, against the plain crates a
//! block or a cluster at a time, and against `qemu-img convert`. MB/s of CPU time, both in one run.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plain::{cbc_decrypt, cbc_encrypt, xts_decrypt, xts_encrypt};
use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CompressionType, CreateOptions, EncryptOptions, Image, KeyOptions, OpenOptions, now_or_never};

#[path = "../cpu.rs"]
mod cpu;

const CLUSTER: usize = 64 << 10;
const SIZE: usize = 32 << 20;
const ROUNDS: usize = 5;
const PASSPHRASE: &str = "open sesame";

fn main() {
    let bytes = contents();
    println!("{:<28}{:>14}{:>22}{:>10}", "MB/s of CPU time, medians", "this engine", "plain crate or QEMU", "ratio");
    let one = |work: &mut dyn FnMut()| SIZE as f64 / 1e6 / median((0..ROUNDS).map(|_| cpu::time(&mut *work)).collect());
    for (name, encryption, plain) in [
        ("legacy AES", EncryptOptions::legacy_aes(PASSPHRASE), [cbc_encrypt as fn(&mut [u8]), cbc_decrypt]),
        ("LUKS aes-256-xts", EncryptOptions::luks(PASSPHRASE, keys()), [xts_encrypt, xts_decrypt]),
    ] {
        let image = Disk::new(CreateOptions::new(SIZE as u64).encryption(encryption));
        let mut copy = bytes.clone();
        row(&format!("{name}, write"), one(&mut || image.write(&bytes)), one(&mut || plain[0](&mut copy)));
        row(&format!("{name}, read"), one(&mut || image.read()), one(&mut || plain[1](&mut copy)));
    }
    for (name, compression, option) in
        [("deflate", CompressionType::Zlib, "zlib"), ("zstd", CompressionType::Zstd, "zstd")]
    {
        let options = CreateOptions::new(SIZE as u64).compression(compression);
        let packed = Disk::new(options.clone());
        packed.write_compressed(&bytes);
        let (pack, unpack) = qemu(&bytes, option);
        row(&format!("{name}, write"), one(&mut || Disk::new(options.clone()).write_compressed(&bytes)), pack);
        row(&format!("{name}, read"), one(&mut || packed.read()), unpack);
    }
}

fn row(name: &str, ours: f64, theirs: f64) {
    println!("{name:<28}{ours:>14.0}{theirs:>22.0}{:>10.2}", ours / theirs);
}

/// An open image in memory.
struct Disk(Image<std::rc::Rc<MemoryStorage>>);

impl Disk {
    fn new(options: CreateOptions) -> Self {
        let file = std::rc::Rc::new(MemoryStorage::default());
        now(options.write_to(file.clone(), None)).expect("an image that can be");
        Self(now(Image::open_writable(file, OpenOptions::new().passphrase(PASSPHRASE))).expect("a new image opens"))
    }

    fn write(&self, bytes: &[u8]) {
        for (cluster, offset) in bytes.chunks(CLUSTER).zip((0..).step_by(CLUSTER)) {
            now(self.0.write_at(offset, cluster)).expect("memory takes it");
        }
    }

    fn write_compressed(&self, bytes: &[u8]) {
        now(self.0.write_compressed(0, bytes)).expect("memory takes it");
    }

    fn read(&self) {
        let mut into = vec![0; CLUSTER];
        for offset in (0..SIZE as u64).step_by(CLUSTER) {
            now(self.0.read_at(offset, &mut into)).expect("memory gives it");
        }
    }
}

/// What `qemu-img convert` packs and unpacks.
fn qemu(bytes: &[u8], compression: &str) -> (f64, f64) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/bench");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let path = |name: &str| folder.join(name);
    std::fs::write(path("codecs.raw"), bytes).expect("there is room");
    let convert = |before: &[&str], from: &Path, to: &Path| {
        let status =
            Command::new("qemu-img").arg("convert").args(before).args([from, to]).stdout(Stdio::null()).status();
        assert!(status.expect("qemu-img runs (of the package qemu-utils)").success());
    };
    let kind = format!("compression_type={compression}");
    let (raw, packed, unpacked) = (path("codecs.raw"), path("codecs.qcow2"), path("codecs.out"));
    let speed =
        |work: &dyn Fn()| SIZE as f64 / 1e6 / median((0..ROUNDS).map(|_| cpu::time_of_children(work)).collect());
    let pack = speed(&|| convert(&["-c", "-f", "raw", "-O", "qcow2", "-o", &kind], &raw, &packed));
    let unpack = speed(&|| convert(&["-f", "qcow2", "-O", "raw"], &packed, &unpacked));
    for file in [raw, packed, unpacked] {
        std::fs::remove_file(file).expect("it was made");
    }
    (pack, unpack)
}

/// Half machine code, half text: what disks are full of.
fn contents() -> Vec<u8> {
    let program = std::fs::read(std::env::current_exe().expect("it runs")).expect("it is readable");
    let text = include_str!("../../../../README.md").as_bytes();
    let mut bytes = Vec::with_capacity(SIZE);
    let mut parts = [program.iter().cycle(), text.iter().cycle()];
    for index in 0..SIZE / CLUSTER {
        bytes.extend(parts[index % 2].by_ref().take(CLUSTER));
    }
    bytes
}

fn keys() -> KeyOptions {
    let number = Cell::new(1_u8);
    KeyOptions::new(move |bytes: &mut [u8]| {
        bytes.fill_with(|| number.replace(number.get().wrapping_mul(5).wrapping_add(3)));
        Ok(())
    })
    .iterations(1000)
}

fn now<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("memory is always ready")
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
