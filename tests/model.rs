//! Random operations against a flat array, with QEMU's check at the end of each run.
//!
//! A failure names its seed: `SEED=17 SEEDS=1 cargo test --test model` runs that one alone, `SEEDS=1000` many.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are small")]

use std::ops::Range;
use std::process::Command;
use std::rc::Rc;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{
    BackingFile, BackingFormat, CipherMode, CipherSpec, CompressionType, CreateOptions, EncryptOptions, Encryption,
    Image, IvGenerator, KeyOptions, OpenOptions, now_or_never,
};

const STEPS: u32 = 300;
const CACHES: [usize; 4] = [1, 8 << 10, 64 << 10, 4 << 20];

#[test]
fn random_operations() {
    let number = |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first = number("SEED", 0);
    for seed in first..first + number("SEEDS", 40) {
        let mut run = Run::new(seed);
        for step in 0..STEPS {
            run.step(step);
        }
        run.ends_as_qemu_reads_it();
    }
}

/// One image, and what it should hold.
struct Run {
    seed: u64,
    random: Random,
    shape: Shape,
    storage: Rc<MemoryStorage>,
    backing: Option<Vec<u8>>,
    image: Image<Rc<MemoryStorage>>,
    model: Vec<u8>,
}

#[derive(Debug)]
struct Shape {
    cluster_bits: u32,
    version: u32,
    extended_l2: bool,
    refcount_bits: u32,
    compression: CompressionType,
    encryption: Option<Encryption>,
    size: u64,
}

const PASSPHRASE: &str = "open sesame";

impl Shape {
    fn random(random: &mut Random) -> Self {
        let cluster_bits = [9, 10, 12, 14, 16, 16, 18][random.below(7) as usize];
        let version = if random.below(4) == 0 { 2 } else { 3 };
        let zstd = version == 3 && random.below(3) == 0;
        let clusters = 1 + random.below(200);
        Self {
            cluster_bits,
            version,
            extended_l2: version == 3 && cluster_bits >= 14 && random.below(2) == 0,
            refcount_bits: if version == 2 { 16 } else { 1 << random.below(7) },
            compression: if zstd { CompressionType::Zstd } else { CompressionType::Deflate },
            size: ((clusters << cluster_bits) - random.below(1 << cluster_bits)).next_multiple_of(512),
            encryption: [None, None, Some(Encryption::Aes), Some(Encryption::Luks)][random.below(4) as usize],
        }
    }

    fn create(&self, has_backing: bool) -> CreateOptions {
        let options = CreateOptions::new(self.size)
            .version(self.version)
            .cluster_size(1 << self.cluster_bits)
            .refcount_bits(self.refcount_bits)
            .extended_l2(self.extended_l2)
            .compression(self.compression);
        let options = match self.encryption {
            None => options,
            Some(Encryption::Aes) => options.encryption(EncryptOptions::legacy_aes(PASSPHRASE)),
            Some(_) => options.encryption(self.luks()),
        };
        if has_backing { options.backing_file("base.raw", BackingFormat::Raw) } else { options }
    }

    /// One of the quicker kinds.
    fn luks(&self) -> EncryptOptions {
        let keys = KeyOptions::new(|bytes: &mut [u8]| {
            bytes.fill(0x5a);
            Ok(())
        });
        let spec = match self.version {
            2 => CipherSpec { mode: CipherMode::Cbc, iv: IvGenerator::Plain, ..CipherSpec::default() },
            _ => CipherSpec::default(),
        };
        EncryptOptions::luks(PASSPHRASE, keys.iterations(1000)).cipher(spec, 128)
    }

    /// The smallest part that can be given back.
    fn grain(&self) -> u64 {
        (1 << self.cluster_bits) / if self.extended_l2 { 32 } else { 1 }
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let shape = Shape::random(&mut random);
        let backing = (random.below(2) == 0).then(|| {
            let length = random.below(2 * shape.size) / 512 * 512;
            (0..length).map(|_| random.next() as u8).collect::<Vec<u8>>()
        });
        let storage = Rc::new(MemoryStorage::default());
        now(shape.create(backing.is_some()).create(&*storage, None)).unwrap();
        let mut model = vec![0; shape.size as usize];
        if let Some(backing) = &backing {
            let length = model.len().min(backing.len());
            model[..length].copy_from_slice(&backing[..length]);
        }
        let image = open(&storage, backing.as_ref(), &mut random);
        Self { seed, random, shape, storage, backing, image, model }
    }

    fn step(&mut self, step: u32) {
        let range = self.range();
        let offset = range.start as u64;
        let length = range.len() as u64;
        match self.random.below(12) {
            0 if self.shape.encryption.is_none() => self.write_compressed(&range),
            0..=5 => {
                let first = self.random.next() as u8 | 1;
                let data: Vec<u8> = (0..length).map(|at| first.wrapping_add(at as u8)).collect();
                now(self.image.write_at(offset, &data)).unwrap();
                self.model[range].copy_from_slice(&data);
            }
            6 | 7 => {
                let unmap = self.random.below(2) == 0;
                now(self.image.write_zeroes(offset, length, unmap)).unwrap();
                self.model[range].fill(0);
            }
            8 | 9 => self.discard(step, &range),
            10 => now(self.image.flush()).unwrap(),
            _ => {
                now(self.image.close()).unwrap();
                self.image = open(&self.storage, self.backing.as_ref(), &mut self.random);
            }
        }
        if step.is_multiple_of(20) {
            self.holds_what_it_should(&format!("step {step}"));
        }
    }

    fn range(&mut self) -> Range<usize> {
        let (size, bits) = (self.shape.size, self.shape.cluster_bits);
        let mut offset = self.random.below(size);
        let longest = (size - offset).min(if self.random.below(4) == 0 { size } else { 3 << bits });
        let mut length = 1 + self.random.below(longest);
        if self.random.below(3) == 0 {
            offset = offset >> bits << bits;
            length = length.next_multiple_of(1 << bits).min(size - offset);
        }
        offset as usize..(offset + length) as usize
    }

    fn write_compressed(&mut self, range: &Range<usize>) {
        let cluster = 1 << self.shape.cluster_bits;
        let start = range.start / cluster * cluster;
        let end = range.end.next_multiple_of(cluster).min(self.model.len());
        let noise = self.random.next() as u8;
        let data: Vec<u8> = (start..end).map(|at| (at as u8 & 0x1f) | noise).collect();
        now(self.image.write_compressed(start as u64, &data)).unwrap();
        self.model[start..end].copy_from_slice(&data);
    }

    /// What was given back reads as zeros; nothing else changes, least of all outside the range.
    fn discard(&mut self, step: u32, range: &Range<usize>) {
        let (offset, length) = (range.start as u64, range.len() as u64);
        now(self.image.discard(offset, length)).unwrap();
        let mut after = vec![0; range.len()];
        now(self.image.read_at(offset, &mut after)).unwrap();
        let grain = self.shape.grain();
        for (at, byte) in (offset..).zip(&after) {
            let before = self.model[at as usize];
            let part = at / grain * grain;
            let whole = part >= offset && (part + grain <= offset + length || offset + length == self.shape.size);
            let allowed = *byte == before || (whole && *byte == 0);
            assert!(allowed, "seed {} step {step}: byte {at} was {before}, is {byte}; {:?}", self.seed, self.shape);
        }
        self.model[range.clone()].copy_from_slice(&after);
    }

    fn holds_what_it_should(&self, when: &str) {
        let mut disk = vec![0; self.model.len()];
        now(self.image.read_at(0, &mut disk)).unwrap();
        let differs = disk.iter().zip(&self.model).position(|(is, should)| is != should);
        assert_eq!(differs, None, "seed {} {when}: this byte differs; {:?}", self.seed, self.shape);
    }

    fn ends_as_qemu_reads_it(self) {
        now(self.image.close()).unwrap();
        self.holds_what_it_should("at the end");
        let Self { seed, shape, storage, backing, image, model, .. } = self;
        drop(image);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.qcow2");
        std::fs::write(&path, Rc::try_unwrap(storage).unwrap().into_bytes()).unwrap();
        if let Some(backing) = &backing {
            std::fs::write(folder.path().join("base.raw"), backing).unwrap();
        }
        let qemu =
            |arguments: &[&str]| Command::new("qemu-img").args(arguments).current_dir(folder.path()).output().unwrap();
        let raw = folder.path().join("out.raw");
        let secret = format!("secret,id=key,data={PASSPHRASE}");
        let unlocked = "driver=qcow2,file.filename=image.qcow2,encrypt.key-secret=key";
        let (check, convert) = match shape.encryption {
            None => (qemu(&["check", "image.qcow2"]), qemu(&["convert", "-O", "raw", "image.qcow2", "out.raw"])),
            Some(_) => (
                qemu(&["check", "--object", &secret, "--image-opts", unlocked]),
                qemu(&["convert", "-O", "raw", "--object", &secret, "--image-opts", unlocked, "out.raw"]),
            ),
        };
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(check.status.success(), "seed {seed}, {shape:?}: {said}");
        assert!(convert.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&convert.stderr));
        assert!(std::fs::read(&raw).unwrap() == model, "seed {seed}, {shape:?}: qemu-img reads something else");
    }
}

fn open(storage: &Rc<MemoryStorage>, backing: Option<&Vec<u8>>, random: &mut Random) -> Image<Rc<MemoryStorage>> {
    let raw = |bytes: &Vec<u8>| BackingFile {
        format: Some(BackingFormat::Raw),
        ..BackingFile::from(Rc::new(MemoryStorage::from(bytes.clone())))
    };
    let chain: Vec<_> = backing.map(raw).into_iter().collect();
    let cache = CACHES[random.below(4) as usize];
    let options = OpenOptions::new().backing(chain).table_cache(cache).passphrase(PASSPHRASE);
    now(Image::open_writable(storage.clone(), options)).unwrap()
}

fn now<F: Future>(future: F) -> F::Output {
    now_or_never(future).expect("memory is always ready")
}

/// xorshift64*: the same sequence for a seed on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
