//! The images on which the tests of writing begin: every kind, small.

use qcow2_web::{
    BackingFile, BackingFormat, CipherMode, CipherSpec, CompressionType, CreateOptions, DataFileLayout, EncryptOptions,
    Error, HashAlgorithm, Image, IvGenerator, KeyOptions, OpenOptions, Preallocation, Storage,
};

use super::machine::{Failure, File, Machine};
use super::operation::{Mix, TABLE_CACHES};
use crate::common::index;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{now, whole};
use crate::common::secret::{PASSPHRASE, options};

/// The machine's files.
pub const IMAGE: usize = 0;
pub const BACKING: usize = 1;
pub const DATA: usize = 2;

/// What an image is like.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Setup {
    pub cluster_bits: u32,
    pub version: u32,
    pub refcount_bits: u32,
    pub extended_l2: bool,
    pub zstd: bool,
    pub size: u64,
    pub backing: Option<Backing>,
    pub data_file: DataFile,
    /// It has one, which shares all clusters with the disk.
    pub snapshot: bool,
    pub lazy_refcounts: bool,
    pub preallocation: Preallocation,
    pub table_cache: usize,
    /// Every request is durable when it ends.
    pub write_through: bool,
    pub encryption: Option<Cipher>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backing {
    pub qcow2: bool,
    pub size: u64,
}

impl Backing {
    fn format(self) -> BackingFormat {
        if self.qcow2 { BackingFormat::Qcow2 } else { BackingFormat::Raw }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFile {
    None,
    Plain,
    Raw,
}

/// How the disk is encrypted: by QEMU's legacy method, or by LUKS with AES-128 in that mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    LegacyAes,
    LuksXts,
    LuksCbcEssiv,
}

pub const LUKS: [Cipher; 2] = [Cipher::LuksXts, Cipher::LuksCbcEssiv];

impl Cipher {
    fn options(self) -> EncryptOptions {
        let spec = match self {
            Self::LegacyAes => return EncryptOptions::legacy_aes(PASSPHRASE),
            Self::LuksXts => CipherSpec::default(),
            Self::LuksCbcEssiv => {
                let iv = IvGenerator::Essiv(HashAlgorithm::Sha256);
                CipherSpec { mode: CipherMode::Cbc, iv, ..CipherSpec::default() }
            }
        };
        let keys = KeyOptions::new(|bytes: &mut [u8]| {
            bytes.fill(0x5a);
            Ok(())
        });
        EncryptOptions::luks(PASSPHRASE, keys.iterations(1000)).cipher(spec, 128)
    }
}

impl Setup {
    /// The plainest image.
    pub fn plain(cluster_bits: u32, size: u64) -> Self {
        Self {
            cluster_bits,
            version: 3,
            refcount_bits: 16,
            extended_l2: false,
            zstd: false,
            size,
            backing: None,
            data_file: DataFile::None,
            snapshot: false,
            lazy_refcounts: false,
            preallocation: Preallocation::Off,
            table_cache: 4 << 20,
            write_through: false,
            encryption: None,
        }
    }

    /// Any image with clusters of that size; half of them extended where they can be.
    pub fn random(cluster_bits: u32, clusters: u64, random: &mut Random) -> Self {
        let version = if random.one_in(5) { 2 } else { 3 };
        let whole = clusters << cluster_bits;
        let size = (whole - random.below(1 << cluster_bits)).next_multiple_of(512);
        let mut setup = Self { version, table_cache: random.pick(&TABLE_CACHES), ..Self::plain(cluster_bits, size) };
        if random.one_in(2) {
            let size = random.pick(&[size, size / 2, size * 3 / 2]) / 512 * 512;
            setup.backing = Some(Backing { qcow2: random.one_in(2), size });
        }
        if version == 2 {
            setup.snapshot = random.one_in(4);
            setup.preallocate(random);
            setup.encrypt(random);
            return setup;
        }
        setup.refcount_bits = 1 << random.below(7);
        setup.extended_l2 = cluster_bits >= 14 && random.one_in(2);
        setup.zstd = random.one_in(4);
        // A count of one bit has no room for a snapshot's reference.
        setup.snapshot = setup.refcount_bits > 1 && random.one_in(4);
        if !setup.snapshot && random.one_in(6) {
            setup.data_file = DataFile::Plain;
            if setup.backing.is_none() && random.one_in(2) {
                setup.data_file = DataFile::Raw;
            }
        }
        setup.lazy_refcounts = random.one_in(6);
        setup.preallocate(random);
        setup.encrypt(random);
        setup
    }

    /// One in five, but for those whose snapshot QEMU makes: it would ask for the passphrase. By the legacy method, whose
    /// header is as short as any.
    fn encrypt(&mut self, random: &mut Random) {
        if random.one_in(5) && !self.snapshot {
            self.encryption = Some(Cipher::LegacyAes);
        }
    }

    /// One in six, where QEMU allows it.
    fn preallocate(&mut self, random: &mut Random) {
        if random.one_in(6) && (self.backing.is_none() || self.extended_l2) {
            self.preallocation = random.pick(&[Preallocation::Metadata, Preallocation::Full]);
        }
    }

    pub fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Operations that suit it.
    pub fn mix(&self) -> Mix {
        Mix {
            size: self.size,
            cluster_size: self.cluster_size(),
            longest: 3 * self.cluster_size(),
            // Where compressed bytes are packed, a cluster has a reference for each stream.
            compressed: self.data_file == DataFile::None && self.refcount_bits >= 8 && self.encryption.is_none(),
            flushes: 6,
            reopens: 40,
            compacts: 25,
        }
    }

    pub fn create_options(&self) -> CreateOptions {
        let mut options = CreateOptions::new(self.size)
            .version(self.version)
            .cluster_size(self.cluster_size())
            .refcount_bits(self.refcount_bits)
            .extended_l2(self.extended_l2)
            .lazy_refcounts(self.lazy_refcounts)
            .preallocation(self.preallocation);
        if self.zstd {
            options = options.compression(CompressionType::Zstd);
        }
        if let Some(cipher) = self.encryption {
            options = options.encryption(cipher.options());
        }
        if let Some(backing) = self.backing {
            options = options.backing_file("base", backing.format());
        }
        match self.data_file {
            DataFile::None => options,
            DataFile::Plain => options.data_file("data", DataFileLayout::Clusters),
            DataFile::Raw => options.data_file("data", DataFileLayout::Raw),
        }
    }

    /// QEMU's description of the file `image`, with its passphrase if it has one.
    pub fn image_options(&self) -> String {
        let plain = || "driver=qcow2,file.filename=image".into();
        self.encryption.map_or_else(plain, |_| options("image"))
    }

    /// A machine with the image, of which nothing is written.
    pub fn make_empty(&self, random: &mut Random) -> Machine {
        let base = self.backing.map(|backing| base(backing, random));
        let machine = Machine::new(vec![Vec::new(), base.unwrap_or_default(), Vec::new()]);
        let (file, data) = (machine.file(IMAGE), machine.file(DATA));
        let data = (self.data_file != DataFile::None).then_some(&data);
        now(self.create_options().write_to(&file, data)).expect("an image that can be");
        machine
    }

    /// A machine with the image, and what its disk holds: if it has a snapshot, some of it is written.
    pub fn make(&self, random: &mut Random) -> (Machine, Vec<u8>) {
        let machine = self.make_empty(random);
        if !self.snapshot {
            return (machine.clone(), self.contents(&machine));
        }
        let image = self.open(&machine).expect("a new image opens");
        let mut written = self.mix();
        written.longest = self.size / 4 + 1;
        for _ in 0..6 {
            let operation = written.pick(random);
            now(operation.run(&image)).expect("a new image can be written");
        }
        now(image.close()).expect("a new image can be closed");
        let mut files = machine.files();
        files[IMAGE] = with_snapshot(&files);
        let machine = Machine::new(files);
        (machine.clone(), self.contents(&machine))
    }

    fn contents(&self, machine: &Machine) -> Vec<u8> {
        now(whole(&self.open_to_read(machine).expect("the image opens"))).expect("the image can be read")
    }

    fn options(&self, machine: &Machine) -> OpenOptions<File, Vec<BackingFile<File>>> {
        let backing = self
            .backing
            .map(|backing| BackingFile { format: Some(backing.format()), ..BackingFile::from(machine.file(BACKING)) });
        let options =
            OpenOptions::new().passphrase(PASSPHRASE).table_cache(self.table_cache).write_through(self.write_through);
        let options = if self.data_file == DataFile::None { options } else { options.data_file(machine.file(DATA)) };
        options.backing(backing.into_iter().collect())
    }

    pub fn open(&self, machine: &Machine) -> Result<Image<File>, Error<Failure>> {
        now(self.opening(machine))
    }

    pub async fn opening(&self, machine: &Machine) -> Result<Image<File>, Error<Failure>> {
        Image::open_writable(machine.file(IMAGE), self.options(machine)).await
    }

    pub fn open_to_read(&self, machine: &Machine) -> Result<Image<File>, Error<Failure>> {
        now(Image::open(machine.file(IMAGE), self.options(machine)))
    }

    /// Opens other storages as this image.
    pub fn open_storages<S: Storage + Clone>(&self, files: &[S]) -> Result<Image<S>, Error<S::Error>> {
        let backing = self
            .backing
            .map(|backing| BackingFile { format: Some(backing.format()), ..BackingFile::from(files[BACKING].clone()) });
        let options = OpenOptions::new().passphrase(PASSPHRASE);
        let options = if self.data_file == DataFile::None { options } else { options.data_file(files[DATA].clone()) };
        let backing: Vec<_> = backing.into_iter().collect();
        now(Image::open(files[IMAGE].clone(), options.backing(backing)))
    }
}

/// Puts the machine's files into the folder, by the names that the image records.
pub fn put(lab: &Lab, files: &[Vec<u8>]) {
    for (name, bytes) in ["image", "base", "data"].iter().zip(files) {
        lab.put(name, bytes);
    }
}

fn base(backing: Backing, random: &mut Random) -> Vec<u8> {
    let mut bytes = random.noise(index(backing.size));
    for piece in bytes.chunks_mut(1536).skip(2).step_by(3) {
        piece.fill(0);
    }
    if !backing.qcow2 {
        return bytes;
    }
    let machine = Machine::new(vec![Vec::new()]);
    let file = machine.file(IMAGE);
    now(CreateOptions::new(backing.size).cluster_size(2048).write_to(&file, None)).expect("an image that can be");
    let image = now(Image::open_writable(file, OpenOptions::new())).expect("a new image opens");
    for (number, piece) in bytes.chunks(5000).enumerate().filter(|(number, _)| number % 3 != 1) {
        now(image.write_at(number as u64 * 5000, piece)).expect("a new image can be written");
    }
    now(image.close()).expect("a new image can be closed");
    machine.files().swap_remove(IMAGE)
}

/// The image with a snapshot, which QEMU makes.
fn with_snapshot(files: &[Vec<u8>]) -> Vec<u8> {
    let lab = Lab::new();
    put(&lab, files);
    lab.snapshot("image", "before");
    lab.bytes("image")
}
