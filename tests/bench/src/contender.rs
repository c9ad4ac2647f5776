//! Who reads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use imago::{FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate};
use qcow2_rs::dev::{Qcow2Dev, Qcow2DevParams};
use qcow2_rs::sync_io::Qcow2IoSync;
use qcow2_rs::utils::qcow2_setup_dev_sync;
use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, now_or_never};

use crate::cpu;
use crate::images::Images;
use crate::workload::{Pattern, Workload};

/// The engine's name in the tables.
pub(crate) const ENGINE: &str = "qcow2-web";
/// The raw file as it is in the page cache when a pipe has written it: in pages of a few KiB. It is no peer.
pub(crate) const SMALL_PAGES: &str = "raw, in small pages";

pub(crate) enum Contender {
    /// In this process; or why not.
    Reader { name: &'static str, reader: Result<Box<dyn Reader>, String> },
    /// A program of its own, which tells its CPU time.
    Program { name: &'static str, command: Box<dyn Fn(&Workload) -> f64> },
}

pub(crate) trait Reader {
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), String>;
}

impl Contender {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Reader { name, .. } | Self::Program { name, .. } => name,
        }
    }
}

/// What everything is compared with.
pub(crate) fn raw(path: &Path) -> Contender {
    reader("raw", File::open(path).map_err(describe))
}

/// Everybody who reads the image `name`.
pub(crate) fn all(images: &Images, name: &str) -> Vec<Contender> {
    let path = images.qcow2(name);
    let mut contenders = vec![
        reader(ENGINE, open_engine(&path)),
        reader("imago 0.2.6, sync", open_imago(&path)),
        reader("qcow2-rs 0.1.6, sync", open_qcow2_rs(&path)),
        qemu_img_bench(&path, images.size),
    ];
    if name == "allocated" {
        contenders.push(reader(SMALL_PAGES, File::open(images.raw_in_small_pages()).map_err(describe)));
    }
    contenders
}

fn reader<R: Reader + 'static>(name: &'static str, reader: Result<R, String>) -> Contender {
    Contender::Reader { name, reader: reader.map(|reader| Box::new(reader) as Box<dyn Reader>) }
}

fn describe(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Reader for File {
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), String> {
        self.read_exact_at(buf, offset).map_err(describe)
    }
}

fn open_engine(path: &Path) -> Result<Image<FileStorage>, String> {
    let storage = FileStorage::open(path).map_err(describe)?;
    now_or_never(Image::open(storage, OpenOptions::new())).expect("files are always ready").map_err(describe)
}

impl Reader for Image<FileStorage> {
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), String> {
        now_or_never(self.read_at(offset, buf)).expect("files are always ready").map_err(describe)
    }
}

type Imago = FormatAccess<imago::file::File>;

fn open_imago(path: &Path) -> Result<Imago, String> {
    let image = imago::qcow2::Qcow2::<imago::file::File>::builder_path(path)
        .open(PermissiveImplicitOpenGate::default())
        .map_err(describe)?;
    Ok(FormatAccess::new(image))
}

impl Reader for Imago {
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), String> {
        FormatAccess::read(self, buf, offset).map_err(describe)
    }
}

type Qcow2Rs = Qcow2Dev<Qcow2IoSync>;

fn open_qcow2_rs(path: &Path) -> Result<Qcow2Rs, String> {
    let image = qcow2_setup_dev_sync(path, &Qcow2DevParams::new(9, None, None, true, false)).map_err(describe)?;
    now_or_never(image.qcow2_prep_io()).expect("files are always ready").map_err(describe)?;
    Ok(image)
}

impl Reader for Qcow2Rs {
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), String> {
        match now_or_never(self.read_at(buf, offset)).expect("files are always ready") {
            Ok(length) if length == buf.len() => Ok(()),
            Ok(length) => Err(format!("reads {length} bytes")),
            Err(error) => Err(describe(error)),
        }
    }
}

/// `qemu-img bench` has no random reads: it steps by a fraction of the disk that comes by everywhere.
fn qemu_img_bench(path: &Path, size: u64) -> Contender {
    let path = path.to_path_buf();
    let command = move |workload: &Workload| {
        let length = workload.length() as u64;
        let step = match workload.pattern {
            Pattern::Sequential => length,
            Pattern::Random | Pattern::RandomFew => (size as f64 * 0.618_034) as u64 / length * length,
        };
        let bench = |count: usize| {
            cpu::time_of_children(|| {
                let status = Command::new("qemu-img")
                    .args(["bench", "-f", "qcow2", "-d", "1"])
                    .args(["-c", &count.to_string(), "-s", &length.to_string(), "-S", &step.to_string()])
                    .arg(&path)
                    .stdout(Stdio::null())
                    .status();
                assert!(status.is_ok_and(|status| status.success()), "qemu-img bench failed");
            })
        };
        // Without what starting it costs.
        (bench(workload.offsets().len()) - bench(1)).max(0.0)
    };
    Contender::Program { name: "qemu-img bench -d 1", command: Box::new(command) }
}
